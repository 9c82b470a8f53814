"""Traces: every request has a trace id and a correlation id.

The tracer belongs to the gateway, not to the process, so an application that mounts the gateway keeps its own. Without
an OTLP address, a request is recorded only if its caller's trace is; ids are made and passed on in any case. Only
`traceparent` and `tracestate` are passed on, never baggage.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Sequence
from contextvars import Token
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..._version import __version__
from ...calls import Call
from ...network import Network
from ..settings import TelemetrySettings
from .tracestate import trace_members

TRACES = "/v1/traces"
"""Where a collector takes traces, below its base address (OTLP over HTTP)."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Flags of traces that are not recorded (W3C Trace Context level 2, section 3.2.2.5).
_NO_FLAGS, _RANDOM = TraceFlags(0), TraceFlags(TraceFlags.RANDOM_TRACE_ID)
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_SCOPE = InstrumentationScope("bff", __version__)
_FINE = Status(StatusCode.UNSET)


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
    return _uuid(), inbound or None


def _uuid() -> str:
    """A random UUID (version 4). It is no secret, so that the random generator of the process is good enough."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


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


class TraceIds(RandomIdGenerator):
    """Random ids. chosen: the next trace id, where one was chosen before the trace had a span."""

    def __init__(self) -> None:
        self.chosen: int | None = None

    def generate_trace_id(self) -> int:
        chosen, self.chosen = self.chosen, None
        return super().generate_trace_id() if chosen is None else chosen


class CallSpans:
    """The client spans of calls, each made as a whole when the call has ended: a span of the SDK that is started takes
    eight times as long. Nothing is made current, because nothing of an application runs inside a call.

    processor  exports them; None: nothing is recorded
    resource   of the gateway
    sampler    decides for calls outside a request
    ids        of the tracer's provider
    """

    def __init__(
        self,
        processor: SpanProcessor | None,
        resource: Resource,
        sampler: TraceIdRatioBased | None = None,
        ids: TraceIds | None = None,
    ) -> None:
        self._processor = processor
        self._resource = resource
        self._bound = 0 if sampler is None else sampler.bound
        self._ids = ids or TraceIds()

    def begin(self, parent: SpanContext) -> SpanContext:
        if parent.is_valid:
            flags, trace_id, state = parent.trace_flags, parent.trace_id, parent.trace_state
            if not flags.sampled:
                return parent
        else:
            trace_id, state = self._ids.generate_trace_id(), None
            recorded = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound
            flags = TraceFlags(TraceFlags.RANDOM_TRACE_ID | (TraceFlags.SAMPLED if recorded else 0))
        return SpanContext(trace_id, self._ids.generate_span_id(), False, flags, state)

    def end(
        self,
        call: Call[Any],
        span: SpanContext,
        parent: SpanContext,
        began: int,
        status: int | None,
        error: str | None,
    ) -> None:
        if self._processor is None or not span.trace_flags.sampled:
            return
        attributes: dict[str, str | int] = {
            "http.request.method": call.method,
            "url.template": call.template,
        }
        if status is not None:
            attributes["http.response.status_code"] = status
        self._processor.on_end(
            ReadableSpan(
                call.name,
                span,
                parent if parent.is_valid else None,
                self._resource,
                attributes,
                kind=SpanKind.CLIENT,
                status=_FINE if error is None else Status(StatusCode.ERROR, error),
                start_time=began,
                end_time=time.time_ns(),
                instrumentation_scope=_SCOPE,
            )
        )


class RequestTraces:
    """The server span of each request. Whether a trace is recorded is decided before a span is made: one that is not
    recorded has its ids and nothing else.

    tracer   starts the spans that are recorded
    sampler  decides for traces that begin here
    ids      of the tracer's provider
    """

    def __init__(
        self, tracer: Tracer, sampler: TraceIdRatioBased | None = None, ids: TraceIds | None = None
    ) -> None:
        self._tracer = tracer
        self._bound = 0 if sampler is None else sampler.bound
        self._ids = ids or TraceIds()

    def begin(self, name: str, headers: Sequence[tuple[bytes, bytes]]) -> tuple[Span, Token[Context]]:
        """Make a span the current one: the caller's child, or the first of a trace. Give the token to `end`."""
        context = extract(headers)
        parent = get_current_span(context).get_span_context() if context else None
        trace_id: int
        if parent is not None and parent.is_valid:
            flags, trace_id, state = parent.trace_flags, parent.trace_id, parent.trace_state
            recorded, random_id = flags.sampled, flags.random_trace_id
        else:
            trace_id, state, random_id = self._ids.generate_trace_id(), None, True
            recorded = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound
            self._ids.chosen = trace_id if recorded else None
        span: Span
        if recorded:
            span = self._tracer.start_span(name, context, SpanKind.SERVER, record_exception=False)
        else:
            flags = _RANDOM if random_id else _NO_FLAGS
            span = NonRecordingSpan(SpanContext(trace_id, self._ids.generate_span_id(), False, flags, state))
        return span, attach(set_span_in_context(span, context))

    def end(self, span: Span, token: Token[Context]) -> None:
        """The request has ended."""
        detach(token)
        span.end()


def sampler(settings: TelemetrySettings) -> TraceIdRatioBased | None:
    """Decides which of the traces that begin here are recorded; None: none."""
    return TraceIdRatioBased(settings.sample) if settings.otlp else None


def processor(settings: TelemetrySettings, network: Network | None = None) -> SpanProcessor | None:
    """Sends finished spans to the collector, None where there is none. network: the way to it; None: the usual
    certificate authorities and no proxy."""
    if not settings.otlp:
        return None
    from .otlp import exporter

    def headers() -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in settings.headers.items()}

    sender = exporter(
        f"{settings.otlp}{TRACES}",
        network=network or Network(),
        headers=headers,
        timeout=settings.timeout,
    )
    return BatchSpanProcessor(sender)


def provider(
    service: str,
    settings: TelemetrySettings,
    processor: SpanProcessor | None = None,
    ids: TraceIds | None = None,
) -> TracerProvider:
    """The gateway's own tracer provider. Call its `shutdown()` at the end, which sends the last spans."""
    made = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(sampler(settings) or ALWAYS_OFF),
        shutdown_on_exit=False,
        id_generator=ids,
    )
    if processor is not None:
        made.add_span_processor(processor)
    return made
