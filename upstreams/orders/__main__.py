"""`python -m upstreams.orders` serves orders on port 8106."""

from upstreams.kit import run
from upstreams.orders.app import build
from upstreams.orders.settings import OrdersSettings

if __name__ == "__main__":
    run(build, OrdersSettings())
