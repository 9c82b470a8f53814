"""The settings of inventory, from `SHOP_…` variables."""

from __future__ import annotations

from typing import ClassVar

from upstreams.kit import ShopSettings


class InventorySettings(ShopSettings):
    """Those of every service, and no more."""

    service: ClassVar[str] = "inventory"
    own_port: ClassVar[int] = 8103
