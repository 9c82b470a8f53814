"""The settings of payments, from `SHOP_…` variables."""

from __future__ import annotations

from typing import ClassVar

from upstreams.kit import ShopSettings


class PaymentsSettings(ShopSettings):
    """Those of every service, and no more."""

    service: ClassVar[str] = "payments"
    own_port: ClassVar[int] = 8104
