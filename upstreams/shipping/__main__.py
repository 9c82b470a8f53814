"""`python -m upstreams.shipping` serves shipping on port 8105."""

from upstreams.kit import ServiceSettings, run
from upstreams.shipping.app import build

if __name__ == "__main__":
    run(build, ServiceSettings(), port=8105)
