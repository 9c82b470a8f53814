"""`python -m upstreams.catalog` serves the catalog on port 8102."""

from upstreams.catalog.app import build
from upstreams.kit import ServiceSettings, run

if __name__ == "__main__":
    run(build, ServiceSettings(), port=8102)
