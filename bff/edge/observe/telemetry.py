"""Ids of requests and traces, and the way of spans to a collector.

The exporter belongs to the gateway, not to the process, so an application that mounts the gateway keeps its own.
Without an OTLP address nothing is recorded; ids are made and passed on in any case.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import format_trace_id, get_current_span

from ...network import Network
from ..settings import TelemetrySettings
from .tracecontext import TRACE_CONTEXT

TRACES = "/v1/traces"
"""Where a collector takes traces, below its base address (OTLP over HTTP)."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def trace_id() -> str:
    """The current request's trace id as 32 hex digits."""
    return format_trace_id(get_current_span().get_span_context().trace_id)


def traceparent() -> str | None:
    """The current span's traceparent, for work that continues after the request; None without a span."""
    carrier: dict[str, str] = {}
    TRACE_CONTEXT.inject(carrier)
    return carrier.get("traceparent")


def correlation_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str | None]:
    """The correlation id of a request with these headers, and the value that it replaces because that is no UUID."""
    inbound = next((value.decode("latin-1") for name, value in headers if name == b"x-correlation-id"), None)
    return correlation_id(inbound)


def correlation_id(inbound: str | None) -> tuple[str, str | None]:
    """A UUID: the caller's, or a new one; and the caller's value if the new one replaces it because it is no UUID."""
    if inbound and _UUID.fullmatch(inbound):
        return inbound.lower(), None
    return _uuid(), inbound or None


def _uuid() -> str:
    """A random UUID (version 4). It is no secret, so that the random generator of the process is good enough."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def sampler(settings: TelemetrySettings) -> TraceIdRatioBased | None:
    """Decides which of the traces that begin here are recorded; None: none."""
    return TraceIdRatioBased(settings.sample) if settings.otlp else None


def processor(settings: TelemetrySettings, network: Network | None = None) -> SpanProcessor | None:
    """Sends finished spans to the collector, None where there is none. network: the way to it; None: the usual
    certificate authorities and no proxy. Raises DeclarationError where a package for that is not installed."""
    if not settings.otlp:
        return None

    def headers() -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in settings.headers.items()}

    if settings.protocol == "grpc":
        from .otlp_grpc import grpc_exporter

        sender = grpc_exporter(
            settings.otlp, network=network or Network(), headers=headers, timeout=settings.timeout
        )
        return BatchSpanProcessor(sender)
    from .otlp import exporter

    return BatchSpanProcessor(
        exporter(
            f"{settings.otlp}{TRACES}",
            network=network or Network(),
            headers=headers,
            timeout=settings.timeout,
        )
    )


def resource(service: str) -> Resource:
    """What the gateway's spans say of it; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    return Resource.create({"service.name": service})
