"""Every panel against a real Prometheus that scraped the real shop under a little load, with some faults: no panel
without data, and no metric that does not exist."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from bff.cli.slo.dashboards import DASHBOARDS, model
from bff.edge.observe.instruments import GROUPS

from ..shop.system import Follower, Shop, basket, following, key, place, running
from ..waiting import GUARD, until
from .observed import RATE, prometheus
from .shop_export import EXPORT, SHOP, alerts

INSTRUMENTS = [one for group in GROUPS.values() for one in group]
KNOWN = {one.prometheus + end for one in INSTRUMENTS for end in ("", "_bucket", "_sum", "_count")}
FOREIGN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
NAMES = re.compile(r"\b((?:bff|http|process)_[a-z_]+|up)\b(?=[{\[])")
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]


def query_of(expr: str) -> str:
    return expr.replace("$__rate_interval", RATE).replace("$job", "shop")


def test_every_query_and_rule_names_metrics_of_the_reference() -> None:
    queries = [
        target["expr"] for d in DASHBOARDS for p in model(d, "shop")["panels"] for target in p["targets"]
    ]
    rules = [alert.expr for alert in alerts()]
    rules += [rule.expr for group in EXPORT.rules(SHOP) for rule in group.rules]
    named = {name for expr in (*queries, *rules) for name in NAMES.findall(expr)}
    assert len(named) > 40
    assert named - KNOWN - FOREIGN == set()


def test_every_instrument_that_says_something_of_its_own_is_on_a_dashboard() -> None:
    shown = " ".join(query.expr for _, panel in PANELS for query in panel.queries)
    hidden = {one.name for one in INSTRUMENTS if one.family not in shown}
    # They are for a closer look, by hand.
    assert hidden == CLOSER


CLOSER = {
    "bff.address.ejections",
    "bff.address.pending",
    "bff.bulkhead.wait",
    "bff.cache.age",
    "bff.limit.refusals",
    "bff.retry_budget.spent",
    "bff.shed",
    "bff.slo.good",
    "bff.traces.dropped",
    "bff.upstream.active",
    "bff.upstream.hedges",
    "bff.upstream.surrogates",
    "bff.worker.restarts",
    "bff.worker.up",
}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_dashboard_is_what_grafana_reads(dashboard: Any) -> None:
    made = json.loads(json.dumps(model(dashboard, "shop")))
    assert re.fullmatch(r"[a-z-]{1,40}", made["uid"]) and made["schemaVersion"] >= 36
    assert [panel["id"] for panel in made["panels"]] == list(range(1, len(dashboard.panels) + 1))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]]
    assert len(set(places)) == len(places) and all(x + 8 <= 24 for x, _ in places)
    titles = [panel.title for panel in dashboard.panels]
    assert len(set(titles)) == len(titles)
    assert all(panel.look_for.endswith(".") for panel in dashboard.panels)


async def _load(shop: Shop) -> None:
    """Some people look around and order; one service fails for a while; one event cannot be read."""
    async with shop.api("ada") as ada, shop.api(None) as anybody, following(shop, "ada") as [stream]:
        await asyncio.gather(*(_look_around(anybody) for _ in range(3)))
        for _ in range(2):
            answer = await place(ada, basket(), click := key())
            saga = answer.json()["saga"]["id"]
            await stream.until(lambda one, saga=saga: one.ended(saga))
            assert (await ada.get(f"/api/screens/orders/{saga}")).status_code == 200
            phases = {"optimistic": 20, "answer": 200, "final": 800}
            painted = {"id": click, "method": "POST", "path": "/api/orders", "age": 900, "phases": phases}
            screen = {"path": "/api/screens/orders", "vitals": {"lcp": 900, "inp": 40, "cls": 0.02}}
            report = {"mutations": [painted], "screens": [screen]}
            assert (await ada.post("/bff/browser", json=report)).status_code == 204
        for service in ("shipping", "orders"):
            shop.world.faults(service, error_rate=1.0)
        for _ in range(12):
            await anybody.get("/api/screens/products/mug-01")
            await ada.get("/api/screens/orders")
        shop.world.calm("shipping", "orders")
        await _broken_events(shop)
        lost = Follower(shop, "ada")
        lost.last_id = "nowhere-7"
        reader = asyncio.create_task(lost.run())
        await lost.until(lambda one: any(event.name == "reset" for event in one.events))
        reader.cancel()
        headers = {"idempotency-key": key()}
        await ada.post("/api/orders", json={"lines": "none"}, headers=headers)


async def _look_around(api: httpx.AsyncClient) -> None:
    for _ in range(4):
        await api.get("/api/screens/products")
        await api.get("/api/screens/products/mug-01")


async def _broken_events(shop: Shop) -> None:
    import redis.asyncio as redis

    client = redis.from_url(shop.world.valkey.url)
    await client.xadd("events:orders:0", {"event": b"nonsense", "data": b"nonsense"})
    await client.aclose()


@pytest.mark.slow
async def test_every_panel_has_data_of_a_shop_under_load(tmp_path: Path) -> None:
    with (
        running(tmp_path / "shop", **{"STEP_PAUSE_MS": "0"}) as shop,
        prometheus(tmp_path / "prometheus", f"127.0.0.1:{shop.admin_port}") as server,
    ):
        shop.kill_gateway()
        shop.extra = {"BFF_TELEMETRY__BROWSER": "1"}
        shop.start_gateway()
        found: set[tuple[str, str, str]] = set()

        def look() -> bool:
            for dashboard, panel in PANELS:
                for target in model(dashboard, "shop")["panels"][dashboard.panels.index(panel)]["targets"]:
                    values = server.query(query_of(target["expr"]))
                    if any(one["value"][1] != "NaN" for one in values):
                        found.add((dashboard.uid, panel.title, target["refId"]))
            return found == wanted

        wanted = {
            (dashboard.uid, panel.title, chr(65 + number))
            for dashboard, panel in PANELS
            for number in range(len(panel.queries))
        }
        # A rate needs two scrapes, one of them before the event: so the load is repeated while it is looked at.
        looking = asyncio.create_task(until(lambda: asyncio.to_thread(look), seconds=2 * GUARD))
        while not looking.done():
            await _load(shop)
        try:
            await looking
        except AssertionError:
            raise AssertionError(f"no data: {sorted(wanted - found)}") from None
        unknown = {name for name in server.names() if name.startswith(("bff_", "http_"))} - KNOWN
        assert {name for name in unknown if not name.endswith("_created")} == set()
