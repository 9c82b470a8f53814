"""What only the demo's services have: settings from `SHOP_…` variables, migrations at start, faults on demand, a
process. What every team's service needs is `bff-service`."""

from upstreams.kit.app import shop_service
from upstreams.kit.faults import Faults
from upstreams.kit.server import run
from upstreams.kit.settings import ShopSettings

__all__ = ["Faults", "ShopSettings", "run", "shop_service"]
