"""Collectors for tests: what an OpenTelemetry collector takes over HTTP and over gRPC."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from .waiting import GUARD

KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@dataclass
class Seen:
    """One span. ids in hex; parent: "" for the first of a trace; links: span ids; events: their names."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, Any]
    events: list[str]
    links: list[str]


@dataclass
class Collector:
    """The ASGI application of `/v1/traces`; spans in the order of their arrival. keys: the header `x-key` of each
    batch."""

    spans: list[Seen] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding") == b"gzip":
            body = gzip.decompress(body)
        if scope["path"] == "/v1/traces":
            self.keys.append(headers.get(b"x-key", b"").decode())
            self.take(ExportTraceServiceRequest.FromString(body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_seen(named.get("service.name", ""), span) for span in scope.spans]

    def of(self, trace: str) -> list[Seen]:
        """The spans of a trace."""
        return [span for span in self.spans if span.trace == trace]

    async def until(self, enough: Callable[[list[Seen]], bool]) -> list[Seen]:
        """Wait until the spans are enough."""
        async with asyncio.timeout(GUARD):
            while not enough(self.spans):
                await asyncio.sleep(0.05)
        return self.spans


def _seen(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == 2,
        {one.key: _value(one.value) for one in span.attributes},
        [event.name for event in span.events],
        [link.span_id.hex() for link in span.links],
    )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def grpc_collector(collector: Collector, *, tls: tuple[bytes, bytes] | None = None) -> Iterator[int]:
    """Serve a collector over gRPC on loopback; yields its port. tls: key and certificate chain."""
    import grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
        TraceServiceServicer,
        add_TraceServiceServicer_to_server,
    )

    class Service(TraceServiceServicer):  # type: ignore[misc]  # without types
        def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
            metadata = dict(context.invocation_metadata())
            collector.keys.append(metadata.get("x-key", ""))
            collector.take(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Service(), server)
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([tls]))
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
