"""`python -m upstreams.catalog` serves catalog on port 8102."""

from upstreams.catalog.app import build
from upstreams.catalog.settings import CatalogSettings
from upstreams.kit import run

if __name__ == "__main__":
    run(build, CatalogSettings())
