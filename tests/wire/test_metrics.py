"""The metrics page of the admin port after real requests: its numbers, and no text that a browser sent."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from bff.edge.observe.metrics import Metrics
from bff.policies import events
from bff.stores.redis.client import RedisClient

from ..events import cloud_event
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD
from .gateway import World, keyed, running
from .served import served


@asynccontextmanager
async def page_of(world: World) -> AsyncIterator[httpx.AsyncClient]:
    runtime = world.gateway.runtime
    if runtime is None:
        raise RuntimeError("not running")
    async with served(runtime.admin) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


def value(page: str, name: str, **labels: str) -> float | None:
    """The value of the sample with this name and at least these labels."""
    for line in page.splitlines():
        match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if match:
            found = dict(re.findall(r'(\w+)="([^"]*)"', match.group(1) or ""))
            if labels.items() <= found.items():
                return float(match.group(2))
    return None


async def test_the_page_has_rate_errors_and_durations_of_screens_commands_and_calls(redis_url: str) -> None:
    async with running(redis_url) as world, page_of(world) as admin:
        for _ in range(3):
            await world.get("/api/optional/ok")
        await world.get("/api/optional/broken")
        await world.get("/api/required/404")
        await world.client.post("/api/things/ok", json={"name": "x"}, headers=keyed())
        await world.client.get("/no/such/place")
        answer = await admin.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        page = answer.text
        screen = {"bff_kind": "screen", "http_route": "/api/optional/{how}", "http_request_method": "GET"}
        seconds = "http_server_request_duration_seconds_count"
        assert value(page, seconds, **screen, http_response_status_code="200") == 4
        complete = {
            answer: value(
                page, "bff_screen_answers_total", http_route="/api/optional/{how}", bff_complete=answer
            )
            for answer in ("true", "false")
        }
        assert complete == {"true": 3, "false": 1}
        call = {"bff_service": "shelf", "bff_call": "Shelf.thing"}
        missing = {"http_route": "/api/optional/{how}", "bff_reason": "failed", **call}
        assert value(page, "bff_screen_missing_parts_total", **missing) == 1
        required = {"bff_kind": "screen", "http_route": "/api/required/{how}"}
        assert value(page, seconds, **required, http_response_status_code="404", error_type="") == 1
        done = {"bff_kind": "command", "http_route": "/api/things/{how}", "http_request_method": "POST"}
        assert value(page, seconds, **done, http_response_status_code="200") == 1
        unknown = {"bff_kind": "other", "http_route": "", "http_request_method": "GET"}
        assert value(page, seconds, **unknown, http_response_status_code="404") == 1
        ok = value(page, "bff_upstream_attempts_total", **call, bff_outcome="ok", bff_side="origin")
        assert ok is not None and ok >= 4
        failed = value(page, "bff_upstream_attempts_total", **call, bff_outcome="failed", bff_side="origin")
        retried = value(page, "bff_upstream_retries_total", **call, bff_reason="500")
        assert failed is not None and failed == 1 + (retried or 0)
        sent = "http_client_request_duration_seconds_count"
        got = {"http_request_method": "GET", **call}
        assert value(page, sent, **got, http_response_status_code="200", error_type="") == ok
        assert value(page, sent, **got, http_response_status_code="500", error_type="failed") == failed
        assert value(page, sent, **got, http_response_status_code="404", error_type="refused") == 1
        assert value(page, "bff_breaker_state", bff_service="shelf", bff_group="Shelf.thing") == 0
        assert value(page, "bff_bulkhead_used", bff_service="shelf") == 0
        assert value(page, "http_server_active_requests") == 0
        assert value(page, "process_resident_memory_bytes")
        assert "no/such" not in page, "no label has text that a browser sent"


async def test_the_page_is_on_the_admin_port_only(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await world.client.get("/metrics")).status_code == 404


async def test_the_age_of_cached_answers_is_measured(redis_url: str) -> None:
    async with running(redis_url) as world, page_of(world) as admin:
        for _ in range(3):
            await world.client.get("/api/open/ok")
        page = (await admin.get("/metrics")).text
        hits = value(page, "bff_cache_reads_total", bff_call="Shelf.open_thing", bff_result="hit")
        assert hits is not None and hits >= 2
        assert value(page, "bff_cache_age_seconds_count", bff_call="Shelf.open_thing") == hits


async def test_events_that_a_broker_dropped_unread_are_counted(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        for _ in range(3):
            await link.call("XADD", "events:x", "MAXLEN", "=", 1, "*", "event", "{}")
    async with (
        running(redis_url, live={"stream_keys": ["events:x"]}) as world,
        page_of(world) as admin,
        asyncio.timeout(GUARD),
    ):
        while value((await admin.get("/metrics")).text, "bff_events_losses_total") != 1:
            await asyncio.sleep(0.05)


async def test_events_that_cannot_be_used_are_counted_by_what_is_wrong(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        for body in ("{}", "[]", "[]"):
            await link.call("XADD", "events:x", "*", "event", body)
    async with (
        running(redis_url, live={"stream_keys": ["events:x"]}) as world,
        page_of(world) as admin,
        asyncio.timeout(GUARD),
    ):
        counter = "bff_events_dead_letters_total"
        while value((await admin.get("/metrics")).text, counter, bff_reason="not-json") != 2:
            await asyncio.sleep(0.05)
        page = (await admin.get("/metrics")).text
        assert value(page, counter, bff_reason="attribute") == 1
        assert value(page, counter, bff_reason="undeclared-saga") == 0, (
            "a counter begins before its first event"
        )


async def test_the_page_has_open_sagas_and_the_age_of_unread_events(redis_url: str) -> None:
    def event(saga: str, version: int, status: str) -> bytes:
        told = {
            "status": status,
            "owner": f"{ISSUER}|ada",
            "at": "2026-03-01T10:00:00Z",
            "data": {"name": "x"},
        }
        return cloud_event("desk.job.status", saga, version, told)

    async with RedisClient(redis_url, timeout=10) as link:
        for told in (
            ("j1", 1, "RUNNING"),
            ("j2", 1, "NEEDS_ATTENTION"),
            ("j3", 1, "RUNNING"),
            ("j3", 2, "COMPLETED"),
        ):
            await link.call("XADD", "events:jobs", "*", "event", event(*told))
        await link.call("XADD", "events:jobs", "*", "event", "no json")
    async with (
        running(redis_url, live={"stream_keys": ["events:jobs"]}) as world,
        page_of(world) as admin,
        asyncio.timeout(GUARD),
    ):
        job = {"bff_saga": "job"}
        while value(page := (await admin.get("/metrics")).text, "bff_saga_open", **job) != 2:
            await asyncio.sleep(0.1)
        assert value(page, "bff_saga_needs_attention", **job) == 1
        assert (value(page, "bff_saga_oldest_seconds", **job) or 0) > 3600
        assert value(page, "bff_saga_ended_total", **job, bff_outcome="confirmed") == 1
        assert value(page, "bff_events_dead_letters_total", bff_reason="not-json") == 1
        assert value(page, "bff_events_oldest_unread_seconds", bff_source="redis") == 0


def test_every_policy_event_is_counted() -> None:
    metrics = Metrics()
    every: list[events.PolicyEvent] = [
        events.Attempted("s", "c", "http://a", 1.0, "ok", "origin", "GET", 200),
        events.Attempted("s", "c", "", 0.0, "circuit-open", "local"),
        events.Retried("s", "c", 2, 0.01, "timeout"),
        events.CallRejected("s", "c", "deadline"),
        events.BreakerChanged("s", "c", "http://a", "open", 2.0),
        events.BulkheadFull("s", "c", 0.1),
        events.Hedged("s", "c", True),
        events.Ejected("s", "http://a", 5.0),
        events.Readmitted("s", "http://a"),
        events.Served("s", "c", "stale", 3.0),
        events.Served("s", "c", "miss", 0.0),
        events.Shed("request", 0.1, 7),
        events.SurrogatesReplaced("s", "c", 2),
    ]
    assert {type(event) for event in every} == set(events.PolicyEvent.__args__), "count a new event, too"  # type: ignore[attr-defined]
    for event in every:
        metrics.observe(event)
    page = metrics.text().decode()
    for line in (
        'bff_upstream_attempts_total{bff_call="c",bff_outcome="circuit-open",bff_service="s",bff_side="local"} 1.0',
        'http_client_request_duration_seconds_count{bff_call="c",bff_service="s",error_type="",'
        'http_request_method="GET",http_response_status_code="200"} 1.0',
        'bff_upstream_hedges_total{bff_call="c",bff_service="s",bff_won="true"} 1.0',
        'bff_breaker_transitions_total{bff_group="c",bff_service="s",bff_state="open"} 1.0',
        'bff_address_ejections_total{bff_service="s"} 1.0',
        'bff_shed_total{bff_where="request"} 1.0',
    ):
        assert line in page


@pytest.mark.slow
@pytest.mark.alone
def test_an_attempt_is_counted_in_a_few_microseconds() -> None:
    metrics = Metrics()
    attempt = events.Attempted("s", "c", "http://a", 1.0, "ok", "origin")
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            metrics.observe(attempt)
        best = min(best, (time.perf_counter() - began) / 100)
    assert best < 20e-6, "about 2 µs on a quiet machine"
    print(f"{best * 1e6:.2f} µs for each attempt counted")
