"""The two ids that follow a request through every service, the correlation id and the W3C trace context, and the spans
of a service in that trace.

Guarantees that each request has both ids, continued from the caller where its headers are valid. A span is recorded
when its trace is sampled and `configure_traces` has found a collector; without one it costs nothing and changes no id.
Refuses to pass on what is not valid.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Literal

# https://www.w3.org/TR/trace-context/#traceparent-header: version ff and all-zero ids are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

Kind = Literal["internal", "server", "client", "producer", "consumer"]


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids of one request in this service, and the headers that its outgoing calls get. parent_id: the caller's
    span, "" where the trace begins here."""

    correlation_id: str
    trace_id: str
    span_id: str
    flags: str = "01"
    tracestate: str | None = None
    parent_id: str = ""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @property
    def is_sampled(self) -> bool:
        return bool(int(self.flags, 16) & 1)

    def headers(self) -> dict[str, str]:
        """What to send along on every call made for this request."""
        headers = {"traceparent": self.traceparent, "X-Correlation-ID": self.correlation_id}
        if self.tracestate:
            headers["tracestate"] = self.tracestate
        return headers

    def child(self) -> TraceContext:
        """The context of a span below this one."""
        return replace(self, span_id=secrets.token_hex(8), parent_id=self.span_id)

    @classmethod
    def continued(cls, headers: Mapping[str, str]) -> TraceContext:
        """Continues the caller's ids (header names in lower case), or begins new ones."""
        try:
            correlation = str(uuid.UUID(headers.get("x-correlation-id", "")))
        except ValueError:
            correlation = str(uuid.uuid4())
        match = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
        if match is None:
            return cls(correlation, secrets.token_hex(16), secrets.token_hex(8))
        state = headers.get("tracestate", "").strip()
        valid_state = state if 0 < len(state) <= 512 else None
        return cls(correlation, match[1], secrets.token_hex(8), match[3], valid_state, match[2])


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def current_trace() -> TraceContext | None:
    """The trace context of the current task; None where nobody has set one."""
    return _current.get()


def set_trace(context: TraceContext) -> None:
    """Make this the current task's trace context, for its logs and its outgoing calls."""
    _current.set(context)


# ---- spans ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ServiceSpan:
    """A span while it runs, and what is exported of it. began, ended: nanoseconds since the epoch; error: a short code
    of why it failed, None when it did not."""

    name: str
    kind: Kind
    context: TraceContext
    began: int
    attributes: dict[str, str | int | bool] = field(default_factory=dict)
    error: str | None = None
    ended: int = 0


_export: Callable[[ServiceSpan], None] | None = None


def export_to(export: Callable[[ServiceSpan], None] | None) -> None:
    """Give every span that has ended to `export`, from now on; None: to nobody."""
    global _export
    _export = export


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    attributes: Mapping[str, str | int | bool] | None = None,
    *,
    context: TraceContext | None = None,
) -> Iterator[ServiceSpan]:
    """A span around the block, and the current trace context inside. context: its own, for what begins here (a request,
    an event); None: it is below the current span. Inside, its attributes, its name and its error may be set. An
    exception is its error, and is raised on."""
    current = _current.get()
    own = context
    if own is None:
        parent = current or TraceContext.continued({})
        own = parent.child() if _export is not None and parent.is_sampled else parent
    made = ServiceSpan(name, kind, own, time.time_ns(), dict(attributes or {}))
    _current.set(own)
    try:
        yield made
    except BaseException as error:
        made.error = made.error or type(error).__name__
        raise
    finally:
        _current.set(current)
        _finish(made)


def produced(name: str, attributes: Mapping[str, str | int | bool], traceparent: str | None) -> str | None:
    """Record that an event was made in the trace of this traceparent; returns the event's own, of its producer span.
    Unchanged where nothing is recorded."""
    if _export is None or traceparent is None or _TRACEPARENT.fullmatch(traceparent) is None:
        return traceparent
    context = TraceContext.continued({"traceparent": traceparent})
    if not context.is_sampled:
        return traceparent
    _finish(ServiceSpan(name, "producer", context, time.time_ns(), dict(attributes)))
    return context.traceparent


def follows_from(traceparent: str | None) -> str | None:
    """The traceparent for what follows from an event with this one: of the current span where that is recorded in the
    same trace, else the event's own."""
    current = _current.get()
    if (
        _export is None
        or current is None
        or not current.is_sampled
        or current.trace_id not in (traceparent or "")
    ):
        return traceparent
    return current.traceparent


def _finish(made: ServiceSpan) -> None:
    if _export is not None and made.context.is_sampled:
        made.ended = time.time_ns()
        _export(made)
