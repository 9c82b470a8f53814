"""`python -m upstreams.shipping` serves shipping on port 8105."""

from upstreams.kit import run
from upstreams.shipping.app import build
from upstreams.shipping.settings import ShippingSettings

if __name__ == "__main__":
    run(build, ShippingSettings())
