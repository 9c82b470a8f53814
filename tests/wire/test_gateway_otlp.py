"""Traces are exported over OTLP when a collector is configured, with each hop below its request; otherwise nothing is
exported."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bff.edge.observe.telemetry import processor, provider
from bff.edge.settings import load

from ..waiting import GUARD
from .gateway import running
from .served import served

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


class Collector:
    """What an OpenTelemetry collector takes at /v1/traces: its spans by name."""

    def __init__(self) -> None:
        self.spans: dict[str, Any] = {}
        self.services: set[str] = set()
        self.keys: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if dict(scope["headers"]).get(b"content-encoding") == b"gzip":
            body = gzip.decompress(body)
        if scope["path"] == "/v1/traces":
            self.keys.append(dict(scope["headers"]).get(b"x-key", b"").decode())
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for attribute in resource.resource.attributes:
                    if attribute.key == "service.name":
                        self.services.add(attribute.value.string_value)
                for inner in resource.scope_spans:
                    self.spans |= {span.name: span for span in inner.spans}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def test_spans_are_exported_to_the_collector_as_one_trace(redis_url: str) -> None:
    collector = Collector()
    async with served(collector) as otlp:
        async with running(redis_url, telemetry={"otlp": otlp}) as world:
            assert (await world.client.get("/api/open/ok", headers=PARENT)).status_code == 200
        # The gateway has ended, so every buffered span has been exported.
        async with asyncio.timeout(GUARD):
            while "Shelf.open_thing" not in collector.spans:
                await asyncio.sleep(0.05)
    server = next(span for name, span in collector.spans.items() if name.startswith("GET /api/open"))
    hop = collector.spans["Shelf.open_thing"]
    assert server.trace_id.hex() == hop.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert hop.parent_span_id == server.span_id
    assert len(collector.services) == 1


async def test_without_a_collector_nothing_is_exported_and_ids_are_still_made(redis_url: str) -> None:
    async with running(redis_url) as world:
        problem = (await world.client.get("/api/nowhere")).json()
        assert int(problem["trace_id"], 16) != 0
        assert world.gateway.runtime is not None
        assert not world.gateway.runtime.traces._active_span_processor._span_processors


async def test_the_key_of_the_collector_follows_its_file(tmp_path: Path) -> None:
    key, collector = tmp_path / "key", Collector()
    key.write_text("first-key")
    async with served(collector) as otlp:
        settings = load({"BFF_TELEMETRY__OTLP": otlp, "BFF_TELEMETRY__HEADERS__X-KEY_FILE": str(key)})
        traces = provider("desk", settings.telemetry, processor(settings.telemetry))
        assert settings.secret_files is not None
        try:
            for value in ("first-key", "second-key"):
                key.write_text(value)
                await settings.secret_files.watch.check()
                traces.get_tracer("desk").start_span(value).end()
                assert await asyncio.to_thread(traces.force_flush)
        finally:
            await asyncio.to_thread(traces.shutdown)
    assert collector.keys == ["first-key", "second-key"]
