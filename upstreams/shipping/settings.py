"""The settings of shipping, from `SHOP_…` variables."""

from __future__ import annotations

from typing import ClassVar

from upstreams.kit import ShopSettings


class ShippingSettings(ShopSettings):
    """Those of every service, and no more."""

    service: ClassVar[str] = "shipping"
    own_port: ClassVar[int] = 8105
