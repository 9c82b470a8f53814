"""Traces are exported over OTLP when a collector is configured, with each attempt below its request; otherwise nothing
is exported."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from bff import Gateway, Principal
from bff.edge.internal_tokens import InternalTokens
from bff.edge.observe.otlp_grpc import GrpcExporter
from bff.edge.observe.spans import SpanData, Spans
from bff.edge.observe.telemetry import processor
from bff.edge.settings import Settings, load
from bff.edge.signing_keys import SigningKeys, rotate
from bff.network import TlsTrust

from ..otlp import Collector, Seen, grpc_collector
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD
from .authority import Authority
from .gateway import World, bearer, declare, running, shelf
from .scripted import Gate
from .served import served
from .upstream import http

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-00"}


def servers(spans: list[Seen]) -> list[Seen]:
    return [span for span in spans if span.kind == "SERVER"]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_spans_are_exported_to_the_collector_as_one_trace(redis_url: str, protocol: str) -> None:
    collector = Collector()
    async with contextlib.AsyncExitStack() as stack:
        if protocol == "http":
            otlp = await stack.enter_async_context(served(collector))
        else:
            otlp = f"http://127.0.0.1:{stack.enter_context(grpc_collector(collector))}"
        headers = {"x-key": "key"}
        async with running(
            redis_url, telemetry={"otlp": otlp, "protocol": protocol, "headers": headers}
        ) as world:
            assert (await world.client.get("/api/open/ok", headers=PARENT)).status_code == 200
            sent = world.upstream.last.headers["traceparent"]
        # The gateway has ended, so every buffered span has been exported.
        spans = await collector.until(lambda spans: any(one.kind == "SERVER" for one in spans))
    (server,) = servers(spans)
    hops = [span for span in spans if span.kind == "CLIENT"]
    assert {span.trace for span in spans} == {TRACE} and {span.service for span in spans} == {"wire"}
    assert (server.name, server.parent) == ("GET /api/open/{how}", CALLER)
    assert {hop.name for hop in hops} == {"GET /things/{how}"}
    assert {hop.parent for hop in hops} == {server.id} and len({hop.id for hop in hops}) == len(hops) == 2
    assert sent in {f"00-{TRACE}-{hop.id}-01" for hop in hops}, "the service's parent is the attempt"
    assert all(server.began <= hop.began <= hop.ended <= server.ended for hop in hops)
    assert set(collector.keys) == {"key"}


async def test_without_a_collector_nothing_is_exported_and_ids_are_still_made(redis_url: str) -> None:
    async with running(redis_url) as world:
        problem = (await world.client.get("/api/nowhere")).json()
        assert int(problem["trace_id"], 16) != 0
        assert world.gateway.runtime is not None
        assert world.gateway.runtime.traces is None


@contextlib.asynccontextmanager
async def observed(redis_url: str, **changes: Any) -> Any:
    """A gateway whose spans go to a collector, and its settings of telemetry besides."""
    collector = Collector()
    telemetry = {"sample": 0.0} | changes.pop("telemetry", {})
    async with (
        served(collector) as otlp,
        running(redis_url, telemetry={"otlp": otlp, **telemetry}, **changes) as world,
    ):
        yield world, collector
        assert world.gateway.runtime is not None and world.gateway.runtime.traces is not None
        await asyncio.to_thread(world.gateway.runtime.traces.force_flush)


async def test_each_retry_is_a_span_of_its_own(redis_url: str) -> None:
    async with observed(redis_url, telemetry={"sample": 1.0}) as (world, collector):
        world.upstream.answers["/things/away"] = http(503, b"{}")
        assert (await world.get("/api/required/away")).status_code == 503
    (server,) = servers(collector.spans)
    attempts = [span for span in collector.spans if span.kind == "CLIENT"]
    assert len(attempts) == 3 and len({one.id for one in attempts}) == 3
    assert [one.attributes.get("http.request.resend_count") for one in attempts] == [None, 1, 2]
    assert all(one.parent == server.id and one.failed for one in attempts)
    assert server.failed and server.attributes["error.type"] == "overloaded"
    assert "bff.call.failed" in server.events


async def test_a_cached_answer_and_a_coalesced_one_are_events(redis_url: str) -> None:
    async with observed(redis_url, telemetry={"sample": 1.0}) as (world, collector):
        await world.client.get("/api/open/ok")
        await world.client.get("/api/open/ok")
    first, second = servers(collector.spans)
    attempts = [span for span in collector.spans if span.kind == "CLIENT"]
    assert {one.trace for one in attempts} == {first.trace}
    assert second.events == ["bff.cache.hit", "bff.cache.hit"]


async def test_a_follower_links_to_the_trace_of_its_leader(redis_url: str) -> None:
    async with observed(redis_url, telemetry={"sample": 1.0}) as (world, collector):
        world.upstream.answers["/things/slow"] = gate = Gate()
        flights = world.gateway.runtime.calls.coalescer.flights
        asking = [asyncio.create_task(world.client.get("/api/open/slow")) for _ in range(2)]
        async with asyncio.timeout(GUARD):
            while not any(flight.followers and "slow" in str(flight.key) for flight in flights):
                await asyncio.sleep(0.01)
        gate.open.set()
        assert [one.status_code for one in await asyncio.gather(*asking)] == [200, 200]
    followers = [span for span in servers(collector.spans) if "bff.call.coalesced" in span.events]
    ids = {span.id for span in servers(collector.spans)}
    assert followers and all(set(one.links) <= ids and one.links for one in followers)


async def test_failed_and_incomplete_screens_are_exported_although_they_were_not_sampled(
    redis_url: str,
) -> None:
    async with observed(redis_url) as (world, collector):
        assert (await world.get("/api/required/broken", **UNSAMPLED)).status_code == 502
        assert world.upstream.last.headers["traceparent"].endswith("-00"), "the service does not record it"
        assert (await world.get("/api/optional/broken")).headers["bff-complete"] == "false"
        assert (await world.get("/api/required/ok")).status_code == 200
        assert (await world.get("/api/required/404")).status_code == 404
        metrics = world.gateway.runtime.metrics.text().decode()
    found = {span.attributes["http.route"]: span for span in servers(collector.spans)}
    assert set(found) == {"/api/required/{how}", "/api/optional/{how}"}
    failed, incomplete = found["/api/required/{how}"], found["/api/optional/{how}"]
    assert (failed.trace, failed.parent) == (TRACE, CALLER)
    assert failed.attributes["bff.exported_because"] == "error"
    assert incomplete.attributes["bff.exported_because"] == "incomplete"
    assert incomplete.attributes["bff.missing_parts"] == 1
    below = [span for span in collector.spans if span.kind == "CLIENT" and span.parent == failed.id]
    assert below and below[-1].attributes["http.response.status_code"] == 500
    assert "bff_traces_dropped_total 0.0" in metrics


async def test_beyond_the_rate_the_export_after_the_fact_is_counted(redis_url: str) -> None:
    # So slow a rate that none is added meanwhile.
    async with observed(redis_url, telemetry={"late_traces": 0.001}) as (world, collector):
        for _ in range(4):
            assert (await world.client.get("/api/bug")).status_code == 500
        metrics = world.gateway.runtime.metrics.text().decode()
    assert len(servers(collector.spans)) == 1
    assert "bff_traces_dropped_total 3.0" in metrics


async def sampled(world: World, times: int, **headers: str) -> int:
    """How many of these requests have a service record the caller's trace."""
    found = 0
    for _ in range(times):
        assert (await world.client.get("/api/unkept", headers=PARENT | headers)).status_code == 200
        found += world.upstream.last.headers["traceparent"].endswith("-01")
    return found


@pytest.mark.parametrize("otlp", [True, False])
async def test_the_flag_of_a_browser_counts_at_a_rate_and_inside_a_network_always(
    redis_url: str, otlp: bool
) -> None:
    telemetry: dict[str, Any] = {"caller_traces": 0.001, "sample": 0.0}
    if otlp:
        telemetry["otlp"] = "http://127.0.0.1:1"
    browser = {"x-forwarded-for": "203.0.113.9"}
    async with running(redis_url, telemetry=telemetry) as world:
        assert await sampled(world, 5) == 1
    inside = {"http": {"proxies": ["127.0.0.0/8"]}}
    async with running(redis_url, telemetry=telemetry, **inside) as world:
        assert await sampled(world, 5) == 5
        assert await sampled(world, 5, **browser) == 1, "a browser behind the proxy stays a browser"


async def test_the_flag_of_a_service_with_an_internal_token_counts(redis_url: str, tmp_path: Path) -> None:
    rotate(keys := tmp_path / "keys.pem")
    issuer = "https://gateway.test"
    telemetry = {"caller_traces": 0.001, "sample": 0.0}
    internal = {"keys": str(keys), "issuer": issuer}
    async with running(redis_url, telemetry=telemetry, internal=internal) as world:
        assert await sampled(world, 3) == 1
        ada = Principal(ISSUER, "ada", "", time.time() + 60)
        token = InternalTokens(SigningKeys(keys), issuer).for_reads(ada, "orders")
        assert await sampled(world, 3, **{"bff-identity": token}) == 3
        assert await sampled(world, 3, **{"bff-identity": token[:-8] + "AAAAAAAA"}) == 0


async def test_a_trace_in_b3_goes_on_in_w3c(redis_url: str) -> None:
    async with running(redis_url) as world:
        b3 = {"b3": f"{TRACE}-{CALLER}-1"}
        assert (await world.client.get("/api/unkept", headers=b3)).status_code == 200
        assert world.upstream.last.headers["traceparent"].startswith(f"00-{TRACE}-")
        assert "b3" not in world.upstream.last.headers


async def test_baggage_reaches_services_by_the_list_alone(redis_url: str) -> None:
    sent = {"baggage": "tenant=a7,role=admin"}
    async with running(redis_url) as world:
        await world.client.get("/api/unkept", headers=sent)
        assert "baggage" not in world.upstream.last.headers
    async with running(redis_url, telemetry={"baggage": ["tenant"]}) as world:
        await world.client.get("/api/unkept", headers=sent)
        assert world.upstream.last.headers["baggage"] == "tenant=a7"


async def test_a_stream_is_a_span_with_its_joins_and_its_end(redis_url: str) -> None:
    async with observed(redis_url, telemetry={"sample": 1.0}) as (world, collector):
        async with asyncio.timeout(GUARD):
            async with world.client.stream("GET", "/bff/live", headers=bearer() | PARENT) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("event: snapshot"):
                        break
                await world.gateway.runtime.end_streams(0)
        await collector_idle(world)
    (server,) = servers(collector.spans)
    (stream,) = [span for span in collector.spans if span.name == "stream"]
    assert (stream.trace, stream.parent) == (TRACE, server.id)
    assert stream.events == ["bff.stream.join", "bff.stream.end"]
    assert stream.ended >= server.ended


def forwarding(settings: Settings) -> Gateway:
    gateway = declare(settings)
    gateway.forward("/files/{name}", shelf, "/things/{name}", public=True)
    return gateway


async def test_a_forwarded_exchange_has_its_client_span(redis_url: str) -> None:
    async with observed(redis_url, telemetry={"sample": 1.0}, declared=forwarding) as (world, collector):
        assert (await world.client.get("/files/ok")).status_code == 200
        sent = world.upstream.last.headers["traceparent"]
    (server,) = servers(collector.spans)
    (hop,) = [span for span in collector.spans if span.kind == "CLIENT"]
    assert (hop.parent, hop.id) == (server.id, sent[36:52])
    assert hop.attributes["http.response.status_code"] == 200


async def collector_idle(world: World) -> None:
    """Wait until every stream has left."""
    async with asyncio.timeout(GUARD):
        while world.gateway.runtime is not None and world.gateway.runtime.live.hub.count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_the_key_of_the_collector_follows_its_file(tmp_path: Path, protocol: str) -> None:
    key, collector = tmp_path / "key", Collector()
    key.write_text("first-key")
    async with contextlib.AsyncExitStack() as stack:
        if protocol == "http":
            otlp = await stack.enter_async_context(served(collector))
        else:
            otlp = f"http://127.0.0.1:{stack.enter_context(grpc_collector(collector))}"
        settings = load(
            {
                "BFF_TELEMETRY__OTLP": otlp,
                "BFF_TELEMETRY__PROTOCOL": protocol,
                "BFF_TELEMETRY__HEADERS__X-KEY_FILE": str(key),
            }
        )
        assert settings.secret_files is not None
        sender = processor(settings.telemetry)
        assert sender is not None
        spans, now = Spans(sender, Resource.create({})), time.time_ns()
        context = SpanContext(1, 1, False, TraceFlags(1))
        try:
            for value in ("first-key", "second-key"):
                key.write_text(value)
                await settings.secret_files.watch.check()
                spans.add(SpanData(value, SpanKind.INTERNAL, context, None, now, now, {}))
                assert await asyncio.to_thread(sender.force_flush)
        finally:
            await asyncio.to_thread(sender.shutdown)
    assert collector.keys == ["first-key", "second-key"]


class Ways:
    """A network whose trust changes."""

    def __init__(self, trust: TlsTrust) -> None:
        self.trust = trust

    def proxy_for(self, host: str) -> None:
        return None


async def test_a_changed_certificate_opens_a_new_channel_over_grpc(tmp_path: Path) -> None:
    collector, authority = Collector(), Authority(tmp_path / "ours")
    other = Authority(tmp_path / "other")
    own = authority.pair("collector", host="127.0.0.1")
    ways: Any = Ways(TlsTrust("collector", ca=other.file))
    now = time.time_ns()
    span = ReadableSpan("late", SpanContext(1, 1, False, TraceFlags(1)), start_time=now, end_time=now)
    with grpc_collector(collector, tls=(own.key.read_bytes(), own.cert.read_bytes())) as port:
        sender = GrpcExporter(f"https://127.0.0.1:{port}", network=ways, headers=dict, timeout=1)
        try:
            failed = await asyncio.to_thread(sender.export, [span])
            assert failed is SpanExportResult.FAILURE and collector.spans == []
            ways.trust = TlsTrust("collector", ca=authority.file)
            async with asyncio.timeout(GUARD):
                while await asyncio.to_thread(sender.export, [span]) is not SpanExportResult.SUCCESS:
                    pass
        finally:
            await asyncio.to_thread(sender.shutdown)
    assert [one.name for one in collector.spans] == ["late"]
