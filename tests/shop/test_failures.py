"""A dead or slow service: optional parts are missing with their owner, required ones give the contract's problem."""

from __future__ import annotations

import re
import time

import pytest

from tests.waiting import IN_ANY_TIME_AND_TIMED

from .system import Shop, basket, place


@IN_ANY_TIME_AND_TIMED
async def test_a_screen_without_a_dead_optional_service_names_its_owner(shop: Shop, timed: bool) -> None:
    shop.world.kill("inventory")
    async with shop.api(None) as api:
        began = time.monotonic()
        answer = await api.get("/api/screens/products/mug-01")
        took = time.monotonic() - began
    assert took < 1 or not timed
    assert answer.status_code == 200
    assert answer.headers["bff-complete"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["product"]["sku"] == "mug-01"
    assert body["delivery"]["state"] == "ready"
    assert body["stock"]["state"] == "missing"
    assert body["stock"]["reason"] in ("unreachable", "circuit-open")
    assert body["stock"]["owner"] == {
        "service": "inventory",
        "team": "Inventory",
        "contact": "#inventory",
        "docs": "",
    }
    began_at = {
        name: float(start)
        for name, start in re.findall(r"([\w.]+);dur=[\d.]+;start=([\d.]+)", answer.headers["server-timing"])
    }
    assert began_at["Inventory.stock"] > began_at["Catalog.product"], "the second wave waited for the first"


async def test_a_dead_required_service_is_a_problem_that_names_its_owner(shop: Shop) -> None:
    shop.world.kill("catalog")
    async with shop.api(None) as api:
        statuses = []
        for number in range(7):
            # A product that was not requested lately: cached ones bridge an outage, see test_content.py.
            answer = await api.get(f"/api/screens/products/unseen-{number}")
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["owner"]["contact"] == "#catalog"
            statuses.append((answer.status_code, problem["code"]))
    assert statuses[0] == (502, "unreachable")
    assert statuses[-1] == (503, "circuit-open"), "after five failures in a row the answer comes at once"
    assert answer.headers["retry-after"]


@IN_ANY_TIME_AND_TIMED
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"latency_ms": 30_000}, 504, "timeout"),
        ({"error_rate": 1.0, "status": 500}, 502, "failed"),
        ({"error_rate": 1.0, "status": 503}, 503, "overloaded"),
    ],
)
async def test_each_fault_of_a_required_service_is_the_problem_of_the_contract(
    shop: Shop, fault: dict[str, object], status: int, code: str, timed: bool
) -> None:
    # A new breaker for each case, so that earlier cases have no influence.
    shop.kill_gateway()
    shop.start_gateway()
    shop.world.faults("catalog", **fault)
    async with shop.api(None) as api:
        began = time.monotonic()
        answer = await api.get("/api/screens/products")
        took = time.monotonic() - began
    assert took < 1.7 or not timed, "inside the deadline"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["owner"]["team"] == "Catalog"


async def test_an_unknown_product_is_the_404_of_the_service(shop: Shop) -> None:
    async with shop.api(None) as api:
        answer = await api.get("/api/screens/products/no-such-thing")
    assert answer.status_code == 404
    assert answer.json()["owner"]["service"] == "catalog"


async def test_the_trace_and_the_correlation_id_reach_the_last_service_of_a_saga(shop: Shop) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    correlation = "3e0f6f3a-7a51-4b5e-9a52-0d2b7a0e8c11"
    async with shop.api("ada") as api:
        api.headers.update(
            {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "x-correlation-id": correlation}
        )
        answer = await place(api, basket("mug-01"))
    assert answer.headers["x-correlation-id"] == correlation
    shop.world.ended(answer.json()["saga"]["id"])
    for service in ("orders", "inventory", "payments", "shipping"):
        log = shop.world.log(service).read_text()
        assert trace in log, f"{service} logged the trace"
        assert correlation in log, f"{service} logged the correlation id"
    events = shop.world.events(answer.json()["saga"]["id"])
    assert all(trace in event["traceparent"] for event in events)
    gateway = (shop.folder / "gateway.log").read_text()
    assert trace in gateway and correlation in gateway
