"""Spans by the semantic conventions of OpenTelemetry, version 1.44.0 (HTTP is stable there; `url.template` and
messaging are in development). They are made as a whole when what they tell has ended: a span of the SDK that is started
takes eight times as long.

Names of our own begin with `bff.`. A span never has a header, a body, a query string, a person's id, an address of a
client or a message of an error: only names of declarations, paths, statuses and durations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from ..._version import __version__
from ...transport.traces import AttemptRecord, Value

CONVENTIONS = "1.44.0"
"""The version of the semantic conventions that all names of spans and attributes follow."""
SCOPE = InstrumentationScope("bff", __version__, f"https://opentelemetry.io/schemas/{CONVENTIONS}")
MAX_PATH = 1_000
"""Characters of a path; the rest is cut off."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"})
"""Methods that a span names. Of another one, which a client may make up, it says `_OTHER`."""

_FINE = Status(StatusCode.UNSET)
_ERROR = Status(StatusCode.ERROR)


class SpanData(NamedTuple):
    """What a span is made of. parent: None for the first of a trace; began, ended: nanoseconds since the epoch."""

    name: str
    kind: SpanKind
    context: SpanContext
    parent: SpanContext | None
    began: int
    ended: int
    attributes: Mapping[str, Value]
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    failed: bool = False


class Spans:
    """Makes spans and hands them to `processor`, which exports them. resource: of the gateway."""

    def __init__(self, processor: SpanProcessor, resource: Resource) -> None:
        self._processor = processor
        self._resource = resource

    def add(self, span: SpanData) -> None:
        """Export a span that has ended."""
        self._processor.on_end(
            ReadableSpan(
                span.name,
                sampled(span.context),
                span.parent,
                self._resource,
                dict(span.attributes),
                span.events,
                span.links,
                kind=span.kind,
                status=_ERROR if span.failed else _FINE,
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=SCOPE,
            )
        )

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """Export the client span of an attempt."""
        self._attempt(attempt, attempt.parent)

    def add_root_attempt(self, attempt: AttemptRecord) -> None:
        """Export the client span of an attempt that belongs to no request."""
        self._attempt(attempt, None)

    def _attempt(self, attempt: AttemptRecord, parent: SpanContext | None) -> None:
        call, status, trace = attempt.call, attempt.status, attempt.parent
        method = call.method if call.method in METHODS else "_OTHER"
        host, port = _server(attempt.address)
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.template": call.template,
            # Without the query, which may hold what no trace should.
            "url.full": f"{attempt.address}{call.path}"[:MAX_PATH],
            "server.address": host,
            "server.port": port,
            "bff.service": call.owner.service,
            "bff.call": call.name,
            "bff.outcome": attempt.outcome,
        }
        if attempt.resent:
            attributes["http.request.resend_count"] = attempt.resent
        if attempt.hedge:
            attributes["bff.hedge"] = True
        failed = attempt.outcome not in ("ok", "cancelled") if status is None else status >= 400
        if status is not None:
            attributes["http.response.status_code"] = status
        if failed:
            attributes["error.type"] = attempt.outcome if status is None else str(status)
        self.add(
            SpanData(
                f"{method} {call.template}",
                SpanKind.CLIENT,
                SpanContext(
                    trace.trace_id,
                    attempt.span_id,
                    False,
                    trace.trace_flags,
                    trace.trace_state or TraceState(),
                ),
                parent,
                attempt.began,
                attempt.ended,
                attributes,
                failed=failed,
            )
        )

    def force_flush(self, seconds: float) -> bool:
        """Send what waits; False if that took longer."""
        return self._processor.force_flush(int(seconds * 1000))


def sampled(span: SpanContext) -> SpanContext:
    """The same span with the flag of a sampled trace: a processor takes no other."""
    if span.trace_flags.sampled:
        return span
    flags = TraceFlags(span.trace_flags | TraceFlags.SAMPLED)
    return SpanContext(span.trace_id, span.span_id, span.is_remote, flags, span.trace_state)


@lru_cache(1024)
def _server(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
