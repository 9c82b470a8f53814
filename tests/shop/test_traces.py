"""One trace of a command: gateway, services, each step of the saga, the events, and the stream that delivers them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.otlp import Collector, Seen
from tests.waiting import GUARD
from tests.wire.served import served
from tests.zipkin import spans_of, zipkin

from .system import Shop, basket, following, place

CALLER = "00f067aa0ba902b7"


@asynccontextmanager
async def traced_shop(
    folder: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    """The shop, whose gateway and services send their spans to the collector."""
    async with served(collector) as otlp:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        shop = Shop(folder)
        # Only what the caller says is recorded: nothing else is in the way.
        shop.extra = {"BFF_TELEMETRY__OTLP": otlp, "BFF_TELEMETRY__SAMPLE": "0"}
        await asyncio.to_thread(shop.__enter__)
        try:
            yield shop
        finally:
            await asyncio.to_thread(shop.__exit__)


async def trace_of_an_order(shop: Shop, collector: Collector) -> list[Seen]:
    """Place an order in a sampled trace while its owner follows the stream; the trace, when all of it has arrived."""
    trace = secrets.token_hex(16)
    async with shop.api("ada") as api, following(shop, "ada") as (follower,):
        api.headers["traceparent"] = f"00-{trace}-{CALLER}-01"
        answer = await place(api, basket("mug-01"))
        assert answer.status_code == 202, answer.text
        order = answer.json()["saga"]["id"]
        await follower.until(lambda one: one.ended(order))
        told = [saga["traceparent"] for saga in follower.sagas(order)]
    async with asyncio.timeout(GUARD):
        while not (seen := collector.of(trace)) or not complete(seen, told):
            await asyncio.sleep(0.1)
    assert {one[3:35] for one in told} == {trace}
    return seen


def complete(seen: list[Seen], told: list[str]) -> bool:
    """Whether every event that the browser got has its span and its delivery, and nothing points nowhere."""
    ids = {span.id for span in seen}
    delivered = {span.parent for span in seen if span.name == "deliver"}
    follows = {one[36:52] for one in told}
    bell = [span for span in seen if span.name == "create events:notifications"]
    taken = {span.parent for span in seen if span.kind == "CONSUMER"}
    return (
        follows <= ids
        and follows <= delivered
        and bool(bell)
        and {span.id for span in bell} <= taken
        and all(span.parent in ids | {CALLER} for span in seen)
    )


def below(seen: list[Seen], span: Seen) -> list[Seen]:
    """The spans from this one up to the first."""
    by_id = {one.id: one for one in seen}
    found = [span]
    while (parent := by_id.get(found[-1].parent)) is not None:
        found.append(parent)
    return found


async def test_an_order_is_one_trace_from_the_command_to_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    async with traced_shop(tmp_path, collector, monkeypatch) as shop:
        seen = await trace_of_an_order(shop, collector)
    (command,) = [span for span in seen if span.parent == CALLER]
    assert (command.service, command.name, command.kind) == ("shop", "POST /api/orders", "SERVER")
    services = {"shop", "orders", "catalog", "inventory", "payments", "shipping", "notifications"}
    assert {span.service for span in seen} == services
    (placed,) = [span for span in seen if span.name == "POST /orders" and span.kind == "SERVER"]
    assert [(span.service, span.kind) for span in below(seen, placed)] == [
        ("orders", "SERVER"),
        ("shop", "CLIENT"),
        ("shop", "SERVER"),
    ]
    steps = [span for span in seen if span.name.startswith("order ")]
    assert [span.attributes["shop.order.action"] for span in sorted(steps, key=lambda one: one.began)] == [
        "reserve",
        "charge",
        "ship",
    ]
    assert {span.parent for span in steps} == {placed.id}
    for step, service in zip(
        sorted(steps, key=lambda one: one.began), ("inventory", "payments", "shipping"), strict=True
    ):
        (done,) = [
            span
            for span in seen
            if span.service == service and span.kind == "SERVER" and step in below(seen, span)
        ]
        assert [span.kind for span in below(seen, done)][:3] == ["SERVER", "CLIENT", "INTERNAL"]
    final = max((span for span in seen if span.name == "deliver"), key=lambda one: one.began)
    assert [(span.service, span.kind) for span in below(seen, final)] == [
        ("shop", "INTERNAL"),
        ("shop", "CONSUMER"),
        ("orders", "PRODUCER"),
        ("orders", "SERVER"),
        ("shop", "CLIENT"),
        ("shop", "SERVER"),
    ]
    reacted = [span for span in seen if span.service == "notifications" and span.kind == "CONSUMER"]
    assert reacted and all(below(seen, span)[1].kind == "PRODUCER" for span in reacted)


@pytest.mark.slow
async def test_zipkin_shows_an_order_as_one_connected_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    async with traced_shop(tmp_path, collector, monkeypatch) as shop:
        seen = await trace_of_an_order(shop, collector)
    with zipkin(tmp_path) as url, httpx.Client(base_url=url, trust_env=False, timeout=GUARD) as client:
        assert client.post("/api/v2/spans", json=spans_of(seen)).status_code == 202
        found = client.get(f"/api/v2/trace/{seen[0].trace}").raise_for_status().json()
        links = client.get("/api/v2/dependencies", params={"endTs": seen[0].ended // 1_000_000 + 60_000})
    ids = {span["id"] for span in found}
    assert len(found) == len(seen)
    assert {span["parentId"] for span in found if span["parentId"] not in ids} == {CALLER}, "one root"
    called = {(link["parent"], link["child"]) for link in links.raise_for_status().json()}
    assert {
        ("shop", "orders"),
        ("orders", "inventory"),
        ("orders", "payments"),
        ("orders", "shipping"),
    } <= called
