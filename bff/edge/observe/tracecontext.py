"""The caller's trace in the headers of a request: W3C Trace Context, else B3."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import b3
from .tracestate import trace_members

TRACEPARENT, TRACESTATE, BAGGAGE = b"traceparent", b"tracestate", b"baggage"
NAMES = frozenset({TRACEPARENT, TRACESTATE, BAGGAGE}) | b3.NAMES
"""The headers that are read, in lower case."""
TRACE_CONTEXT = TraceContextTextMapPropagator()


def caller_of(headers: Sequence[tuple[bytes, bytes]]) -> tuple[SpanContext, bool] | None:
    """The caller's span, and whether it has decided if the trace is sampled; None without one. A malformed or repeated
    traceparent is ignored (W3C Trace Context level 2), and B3 is not read beside it."""
    parents = [value for name, value in headers if name == TRACEPARENT]
    if not parents:
        return b3.caller_of([pair for pair in headers if pair[0] in b3.NAMES])
    found = parsed(parents[0].decode("latin-1")) if len(parents) == 1 else None
    if found is None:
        return None
    members = trace_members(value for name, value in headers if name == TRACESTATE)
    if members:
        found = SpanContext(found.trace_id, found.span_id, True, found.trace_flags, members)
    return found, True


def parsed(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names; None for a malformed one."""
    context = TRACE_CONTEXT.extract({"traceparent": traceparent}, Context())
    found = get_current_span(context).get_span_context()
    return found if found.is_valid else None
