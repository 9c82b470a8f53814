"""What is exported of the shop, as deploy/observability has it."""

from __future__ import annotations

from typing import Any

from bff.cli.slo import Export
from bff.cli.slo.rules import Alert
from web.shop.gateway import shop

from ..conftest import ROOT

FOLDER = ROOT / "deploy" / "observability"
EXPORT = Export(team="Shop", contact="#shop")
SHOP = shop


def alerts() -> list[Alert]:
    return EXPORT.alerts(shop)


def written(alert: Alert) -> dict[str, Any]:
    return alert.written(EXPORT.links)
