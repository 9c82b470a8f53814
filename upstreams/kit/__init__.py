"""What only the demo's services have: settings from `SHOP_…` variables, migrations at start, faults on demand, a
process, the tariff of parcels. What every team's service needs is `bff-service`."""

from upstreams.kit.app import shop_service
from upstreams.kit.faults import Faults
from upstreams.kit.server import run
from upstreams.kit.settings import ShopSettings
from upstreams.kit.tariff import TARIFF_CURRENCY, parcel_cents

__all__ = ["TARIFF_CURRENCY", "Faults", "ShopSettings", "parcel_cents", "run", "shop_service"]
