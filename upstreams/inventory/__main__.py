"""`python -m upstreams.inventory` serves inventory on port 8103."""

from upstreams.inventory.app import build
from upstreams.kit import ServiceSettings, run

if __name__ == "__main__":
    run(build, ServiceSettings(), port=8103)
