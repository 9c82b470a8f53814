"""Traces and logs: every request has a trace id and a correlation id, and every log line of it has both.

The tracer belongs to the gateway, not to the process, so an application that mounts the gateway keeps its own. Without
an OTLP address, a request is recorded only if its caller's trace is; ids are made and passed on in any case. Only
`traceparent` and `tracestate` are passed on, never baggage.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import cast

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ...network import Network
from ..settings import TelemetrySettings
from .log_text import MESSAGE, exception_text, loggable, printable
from .tracestate import trace_members

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_ids: ContextVar[Mapping[str, str]] = ContextVar("bff_ids", default=MappingProxyType({}))


def bind(correlation_id: str, trace_id: str) -> None:
    """Add these ids to the log lines of the current task, and of the tasks it starts."""
    _ids.set({"correlation_id": correlation_id, "trace_id": trace_id})


def trace_id() -> str:
    """The current request's trace id as 32 hex digits."""
    return format_trace_id(get_current_span().get_span_context().trace_id)


def traceparent() -> str | None:
    """The current span's traceparent, for work that continues after the request; None without a span."""
    carrier: dict[str, str] = {}
    _TRACE_CONTEXT.inject(carrier)
    return carrier.get("traceparent")


def correlation_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str | None]:
    """The correlation id of a request with these headers, and the value that it replaces because that is no UUID."""
    inbound = next((value.decode("latin-1") for name, value in headers if name == b"x-correlation-id"), None)
    return correlation_id(inbound)


def correlation_id(inbound: str | None) -> tuple[str, str | None]:
    """A UUID: the caller's, or a new one; and the caller's value if the new one replaces it because it is no UUID."""
    if inbound and _UUID.fullmatch(inbound):
        return inbound.lower(), None
    return str(uuid.uuid4()), inbound or None


def extract(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The caller's trace context. A malformed or repeated traceparent is ignored (W3C Trace Context level 2)."""
    parents = [value for name, value in headers if name == b"traceparent"]
    if len(parents) != 1:
        return Context()
    carrier = {"traceparent": parents[0].decode("latin-1")}
    context = _TRACE_CONTEXT.extract(carrier, Context())
    members = trace_members(value for name, value in headers if name == b"tracestate")
    if not members:
        return context
    caller = get_current_span(context).get_span_context()
    if not caller.is_valid:
        return context
    span = SpanContext(caller.trace_id, caller.span_id, True, caller.trace_flags, members)
    return set_span_in_context(NonRecordingSpan(span), context)


def provider(service: str, settings: TelemetrySettings, network: Network | None = None) -> TracerProvider:
    """The gateway's own tracer provider. network: the way to the collector; None: the usual certificate authorities
    and no proxy. Call its `shutdown()` at the end, which sends the last spans."""
    local = TraceIdRatioBased(settings.sample) if settings.otlp else ALWAYS_OFF
    made = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(local),
        shutdown_on_exit=False,
    )
    if settings.otlp:
        from .otlp import exporter

        def headers() -> dict[str, str]:
            return {name: value.get_secret_value() for name, value in settings.headers.items()}

        sender = exporter(
            settings.otlp, network=network or Network(), headers=headers, timeout=settings.timeout
        )
        made.add_span_processor(BatchSpanProcessor(sender))
    return made


# Made once: `json.dumps` with options makes a new encoder for each line.
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, both ids, and the members of `extra={"fields": {…}}`. Every
    text is escaped and shortened as log_text.py describes."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": printable(record.getMessage(), MESSAGE),
        }
        line |= _ids.get()
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= cast("dict[str, object]", loggable(fields))
        if record.exc_info:
            line["exception"] = record.exc_text or exception_text(record.exc_info)
        return _ENCODER.encode(line)


def log_to_stderr(level: str) -> None:
    """Send all logging of the process to standard error as JSON lines."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    # The access log has one line for each request already; these two would repeat it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
