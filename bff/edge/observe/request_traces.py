"""The server span of each request, and which traces are recorded.

Whether a trace is recorded is decided before anything of it is kept:

    the caller has a trace that is not sampled     it is not recorded
    the caller's is sampled, and may be trusted    it is recorded
    the caller's is sampled, any other caller      up to a rate it is recorded; beyond it, as a trace that begins here
    the trace begins here                          a share of them is recorded

A request whose trace is not recorded keeps one small record of its attempts, at most MAX_ATTEMPTS. When it has failed,
was slow or was answered incompletely, its spans are made from that and exported after the fact, up to a rate; further
ones are counted. Services do not know of that, so their spans are missing in such a trace, unless they were recorded
for another reason. What a command does after its client has left is missing, too.

Without a collector nothing is kept, and the caller's flag is passed on within the same bounds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from typing import Any

from opentelemetry.context import Context, attach, detach, get_value
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from starlette.types import Scope

from ...transport.traces import NO_TRACE, AttemptRecord, CallTrace, Value, new_span_id
from ..state import RequestState
from .baggage import allowed_baggage
from .spans import MAX_PATH, METHODS, SpanData, Spans
from .tracecontext import BAGGAGE, NAMES, caller_of

MAX_ATTEMPTS = 64
"""Attempts that are kept of a request, for an export after the fact."""
MAX_EVENTS = 64
"""Events of one span; further ones are dropped."""
MAX_ATTRIBUTES = 64
"""Attributes that an application may set on the span of a request."""

_KEY = "bff-request"
_HEALTH = frozenset({"/livez", "/readyz", "/metrics"})
# By whether the trace is recorded, and whether its id is random (W3C Trace Context level 2, section 3.2.2.5).
_FLAGS = {
    (recorded, is_random): TraceFlags(
        (TraceFlags.SAMPLED if recorded else 0) | (TraceFlags.RANDOM_TRACE_ID if is_random else 0)
    )
    for recorded in (False, True)
    for is_random in (False, True)
}
_IDS = RandomIdGenerator()


class PerSecond:
    """At most `rate` a second, and as many at once (at least one, unless the rate is 0). clock: monotonic seconds."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = max(rate, 1.0) if rate else 0.0
        self._left = self._most
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        """Whether one more is allowed now; it is then counted."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class RequestSpan(Span):
    """The span of one request, made current while it runs. `is_recording` says whether its trace is recorded; only then
    does it take what an application sets on it. Its parts keep their events in any case that may be exported.

    calls     the trace of the request's calls
    parent    the caller's span, None for the first of a trace
    missing   optional parts that its answer has not
    failed    the answer broke off, or the application says that it failed
    """

    __slots__ = (
        "_attributes",
        "_events",
        "_links",
        "_recorded",
        "attempts",
        "began",
        "calls",
        "ended",
        "failed",
        "keeps",
        "missing",
        "name",
        "parent",
        "token",
    )

    def __init__(
        self, context: SpanContext, parent: SpanContext | None, *, recorded: bool, keeps: bool, baggage: str
    ) -> None:
        self.calls = CallTrace(context, None, baggage)
        self.parent = parent
        self.keeps = keeps
        self._recorded = recorded
        self.began = time.time_ns() if keeps else 0
        self.attempts: list[AttemptRecord] | None = None
        self.name = ""
        self.missing = 0
        self.failed = self.ended = False
        self._attributes: dict[str, Value] | None = None
        self._events: list[Event] | None = None
        self._links: list[Link] | None = None
        self.token: Token[Context] | None = None

    # ---- what the API of OpenTelemetry has ------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        return self.calls.context

    def is_recording(self) -> bool:
        return self._recorded and self.keeps and not self.ended

    def set_attribute(self, key: str, value: Any) -> None:
        if self.is_recording():
            if self._attributes is None:
                self._attributes = {}
            if key in self._attributes or len(self._attributes) < MAX_ATTRIBUTES:
                self._attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        if not self.keeps or self.ended:
            return
        if self._events is None:
            self._events = []
        if len(self._events) < MAX_EVENTS:
            self._events.append(Event(name, attributes, timestamp or time.time_ns()))

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        if self.keeps and not self.ended and context.is_valid:
            if self._links is None:
                self._links = []
            if len(self._links) < MAX_EVENTS:
                self._links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        if self.is_recording():
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        if code is StatusCode.ERROR:
            self.failed = True

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        # Without its message, which may hold what no trace should.
        named = {**(attributes or {}), "exception.type": type(exception).__qualname__}
        self.add_event("exception", named, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Nothing: its request ends it."""

    # ---- what the gateway has ---------------------------------------------------------------------------------------

    def keep_attempt(self, attempt: AttemptRecord) -> None:
        """Keep an attempt for an export after the fact."""
        if self.ended:
            return
        if self.attempts is None:
            self.attempts = []
        if len(self.attempts) < MAX_ATTEMPTS:
            self.attempts.append(attempt)

    def data(self, name: str, attributes: dict[str, Value], ended: int) -> SpanData:
        return SpanData(
            self.name or name,
            SpanKind.SERVER,
            self.calls.context,
            self.parent,
            self.began,
            ended,
            attributes | (self._attributes or {}),
            self._events or (),
            self._links or (),
            self.failed,
        )


class RequestTraces:
    """Begins and ends the span of each request.

    spans    exports what is recorded; None: nothing is
    sampler  decides for traces that begin here; None: they are not recorded
    trusts   whether the sampled flag of this request counts
    callers  bounds how often the flag of any other counts
    late     bounds how many requests are exported after the fact; None: none are
    slow     seconds from which a request is slow
    baggage  keys of the members that are passed on
    dropped  requests that were not exported after the fact because of the bound
    """

    def __init__(
        self,
        spans: Spans | None = None,
        sampler: TraceIdRatioBased | None = None,
        *,
        trusts: Callable[[Scope], bool] = lambda scope: False,
        callers: PerSecond | None = None,
        late: PerSecond | None = None,
        slow: float = float("inf"),
        baggage: Sequence[str] = (),
    ) -> None:
        self._spans = spans
        self._bound = 0 if sampler is None else sampler.bound
        self._ratio = 0.0 if sampler is None else sampler.rate
        self._trusts = trusts
        self._callers = callers or PerSecond(0)
        self._late = late if spans is not None else None
        self._slow_ns = slow * 1e9
        self._baggage = frozenset(baggage)
        self.dropped = 0

    def begin(self, scope: Scope) -> RequestSpan:
        """Make a span the current one: the caller's child, or the first of a trace. `end` must be called."""
        found = [pair for pair in scope["headers"] if pair[0] in NAMES]
        caller = caller_of(found) if found else None
        parent, state = None, None
        if caller is None:
            trace_id, random_id = _IDS.generate_trace_id(), True
            recorded = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound
            recorded = recorded and scope["path"] not in _HEALTH
        else:
            parent, decided = caller
            trace_id, state = parent.trace_id, parent.trace_state
            random_id = parent.trace_flags.random_trace_id
            if not decided or (parent.trace_flags.sampled and not self._counts(scope)):
                # Not by the trace's id, which the caller has chosen.
                recorded = random.random() < self._ratio  # noqa: S311 - no secret
            else:
                recorded = parent.trace_flags.sampled
        flags = _FLAGS[recorded, random_id]
        spans = self._spans
        span = RequestSpan(
            SpanContext(trace_id, new_span_id(), False, flags, state),
            parent,
            recorded=recorded,
            keeps=spans is not None and (recorded or self._late is not None),
            baggage=allowed_baggage([value for name, value in found if name == BAGGAGE], self._baggage)
            if found
            else "",
        )
        if span.keeps and spans is not None:
            span.calls.record = spans.add_attempt if recorded else span.keep_attempt
        span.token = attach(set_span_in_context(span, Context({_KEY: span})))
        return span

    def _counts(self, scope: Scope) -> bool:
        return self._trusts(scope) or self._callers.take()

    def end(
        self,
        span: RequestSpan,
        scope: Scope,
        state: RequestState,
        *,
        status: int | None,
        code: str = "",
    ) -> None:
        """The request has ended. status: None without an answer; code: of the problem that was answered."""
        if span.token is not None:
            detach(span.token)
            span.token = None
        spans = self._spans
        if spans is None or not span.keeps:
            return
        ended = time.time_ns()
        span.failed = span.failed or (status is not None and status >= 500)
        late = None
        if not span.calls.context.trace_flags.sampled:
            # It refers to the span, and the span to it: only the garbage collector would free them.
            span.calls.record = None
            late = self._reason(span, ended)
            if late is None:
                span.ended = True
                return
            if self._late is None or not self._late.take():
                self.dropped += 1
                span.ended = True
                return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.path": scope["path"][:MAX_PATH],
            "url.scheme": scope.get("scheme", "http"),
            "network.protocol.version": scope.get("http_version", "1.1"),
            "bff.correlation_id": state.correlation,
        }
        route = state.route
        if route:
            attributes["http.route"] = route
        if state.frontend is not None:
            attributes["bff.frontend"] = state.frontend
        if status is not None:
            attributes["http.response.status_code"] = status
        if span.missing:
            attributes["bff.missing_parts"] = span.missing
        if span.failed:
            attributes["error.type"] = code or (str(status) if status is not None else "_OTHER")
        if late is not None:
            attributes["bff.exported_because"] = late
        shown = "HTTP" if method == "_OTHER" else method
        spans.add(span.data(f"{shown} {route}" if route else shown, attributes, ended))
        span.ended = True
        attempts, span.attempts = span.attempts, None
        for attempt in attempts or ():
            spans.add_attempt(attempt)

    def _reason(self, span: RequestSpan, ended: int) -> str | None:
        if span.failed:
            return "error"
        if span.missing:
            return "incomplete"
        return "slow" if ended - span.began >= self._slow_ns else None


def on_missing(missing: int) -> None:
    """The current request is answered without this many of its optional parts."""
    span = get_current_span()
    if type(span) is not RequestSpan:
        span = get_value(_KEY)  # type: ignore[assignment]  # the API types values as objects
    if isinstance(span, RequestSpan):
        span.missing = missing


class CallSpans:
    """The traces of calls (`transport.traces.CallTraces`): of the current request, of a span that the application made
    current, or new ones for calls outside a request. spans, sampler: as in RequestTraces."""

    def __init__(self, spans: Spans | None = None, sampler: TraceIdRatioBased | None = None) -> None:
        self._spans = spans
        self._bound = 0 if sampler is None else sampler.bound

    def current(self) -> CallTrace:
        span = get_current_span()
        if type(span) is RequestSpan:
            return span.calls
        context = span.get_span_context()
        spans = self._spans
        if context.is_valid:
            request = get_value(_KEY)
            calls = request.calls if isinstance(request, RequestSpan) else NO_TRACE
            if context.trace_id == calls.context.trace_id:
                return CallTrace(context, calls.record, calls.baggage)
            record = spans.add_attempt if spans is not None and context.trace_flags.sampled else None
            return CallTrace(context, record, calls.baggage)
        trace_id = _IDS.generate_trace_id()
        recorded = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound
        context = SpanContext(trace_id, new_span_id(), False, _FLAGS[recorded, True])
        return CallTrace(context, spans.add_root_attempt if recorded and spans is not None else None)

    def add_event(self, name: str, attributes: Mapping[str, Value], link: SpanContext | None = None) -> None:
        span = get_current_span()
        if not isinstance(span, RequestSpan):
            found = get_value(_KEY)
            if not isinstance(found, RequestSpan):
                return
            span = found
        span.add_event(name, attributes)
        if link is not None and link.trace_id != span.calls.context.trace_id:
            span.add_link(link, {"bff.event": name})
