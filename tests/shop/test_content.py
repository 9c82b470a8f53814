"""The catalog as the shop's content source: an edit is in the shop at once, and cached products bridge an outage."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.upstreams.world import eventually
from tests.waiting import GUARD
from upstreams.kit.tariff import parcel_cents

from .system import Shop

SECRET = "the-secret-of-this-test-alone"
FORM = {"name": "Harbour mug, large", "description": "Holds half a litre.", "price_cents": "2390"}


@pytest.fixture
def content(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path, EDITING="1", WEBHOOK_SECRET=SECRET)
    shop.world.settings["WEBHOOK_URL"] = f"{shop.url}/bff/changes/catalog"
    shop.extra = {
        "BFF_WEBHOOKS__CATALOG__SECRET": SECRET,
        "BFF_WEBHOOKS__CATALOG__SUBJECT": "entry.sku",
    }
    with shop:
        yield shop


def test_an_edit_is_in_the_shop_at_once_and_the_cache_bridges_an_outage(content: Shop) -> None:
    with httpx.Client(base_url=content.url, trust_env=False, timeout=GUARD) as browser:

        def product() -> httpx.Response:
            return browser.get("/api/screens/products/mug-01")

        def listed() -> list[str]:
            products = browser.get("/api/screens/products").json()["products"]
            return [one["name"] for one in products if one["sku"] == "mug-01"]

        assert product().json()["product"]["name"] == "Harbour mug"
        assert listed() == ["Harbour mug"]
        assert re.search(
            r'Catalog\.product;dur=0\.0;start=[\d.]+;desc="hit"', product().headers["server-timing"]
        )

        edit = content.world.url("catalog")
        began = time.monotonic()
        saved = browser.post(f"{edit}/edit/mug-01", data=FORM, headers={"origin": edit})
        assert saved.status_code == 303
        eventually(lambda: product().json()["product"]["name"] == FORM["name"])
        assert listed() == [FORM["name"]]
        # Sooner than the half minute for which it is cached.
        assert time.monotonic() - began < 25

        content.world.programs["catalog"].kill()
        assert product().json()["product"]["price_cents"] == 2390
        assert listed() == [FORM["name"]]


def test_an_order_at_a_price_from_before_an_edit_is_refused_and_nothing_is_charged(content: Shop) -> None:
    edit = content.world.url("catalog")
    with httpx.Client(base_url=content.url, trust_env=False, timeout=GUARD) as browser:
        shown = browser.get("/api/screens/products/mug-01").json()["product"]["price_cents"]
        assert browser.post(f"{edit}/edit/mug-01", data=FORM, headers={"origin": edit}).status_code == 303
        headers = {"authorization": f"Bearer {content.token('ada')}"}

        def place(price: int, key: str) -> httpx.Response:
            body = {"lines": [{"sku": "mug-01", "quantity": 1, "price_cents": price}]}
            return browser.post("/api/orders", json=body, headers={**headers, "idempotency-key": key})

        refused = place(shown, "old")
        assert (refused.status_code, refused.json()["code"]) == (409, "price-changed")
        assert refused.json()["owner"]["team"] == "Orders"
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/lines/0/price_cents"]
        assert content.world.charges() == []
        accepted = place(int(FORM["price_cents"]), "new")
        assert accepted.status_code == 202
        order_id = accepted.json()["saga"]["id"]
        content.world.ended(order_id)
        paid = [charge["amount_cents"] for charge in content.world.charges(order_id)]
        assert paid == [int(FORM["price_cents"]) + parcel_cents(0)]
