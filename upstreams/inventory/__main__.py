"""`python -m upstreams.inventory` serves inventory on port 8103."""

from upstreams.inventory.app import build
from upstreams.inventory.settings import InventorySettings
from upstreams.kit import run

if __name__ == "__main__":
    run(build, InventorySettings())
