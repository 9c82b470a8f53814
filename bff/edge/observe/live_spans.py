"""Spans of live updates: `process` (consumer) of an event that was read from a broker, `deliver` of its way to the
streams, and one for each stream that was opened in a recorded trace, with its joins, resets and end as events.

A delivery is one span for all streams of a process, in the trace of the event, with links to the spans of the streams
that are recorded. A stream's span is exported when its client has left.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, SpanContext, SpanKind, get_current_span

from ...live.traces import StreamTrace, Value, traceparent_of
from ...stores.events import BrokerEvent
from ...transport.traces import new_span_id
from .request_traces import RequestSpan
from .spans import SpanData, Spans
from .tracecontext import parsed

MAX_EVENTS = 128
"""Events of one stream's span. Further ones are dropped, except the last."""
MAX_LINKS = 32
"""Streams that a delivery's span is linked to."""
_NONE: Mapping[str, Value] = {}


def _below(parent: SpanContext) -> SpanContext:
    return SpanContext(parent.trace_id, new_span_id(), False, parent.trace_flags, parent.trace_state)


class StreamSpan:
    """parent: the span of the request that opened the stream."""

    __slots__ = ("_began", "_events", "_spans", "_values", "context", "parent")

    def __init__(self, spans: Spans, parent: SpanContext, values: int) -> None:
        self._spans = spans
        self._values = values
        self._began = time.time_ns()
        self._events: list[Event] = []
        self.parent = parent
        self.context = _below(parent)

    def add_event(self, name: str, attributes: Mapping[str, Value] = _NONE) -> None:
        if len(self._events) == MAX_EVENTS:
            self._events.pop()
        self._events.append(Event(name, dict(attributes), time.time_ns()))

    def end(self) -> None:
        self._spans.add(
            SpanData(
                "stream",
                SpanKind.INTERNAL,
                self.context,
                self.parent,
                self._began,
                time.time_ns(),
                {"bff.stream.values": self._values},
                self._events,
            )
        )


class EventSpan:
    """The consumer span of one event."""

    __slots__ = ("_attributes", "_began", "_context", "_parent", "_spans")

    def __init__(self, spans: Spans | None, event: BrokerEvent) -> None:
        self._spans = spans
        self._began = time.time_ns()
        self._parent: SpanContext | None = None
        self._context: SpanContext | None = None
        self._attributes: dict[str, Value] = {
            "messaging.system": event.broker,
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": event.partition,
            "messaging.message.id": event.id,
        }

    def follow(self, type: str, source: str, id: str, traceparent: str | None) -> str | None:
        parent = None if traceparent is None else parsed(traceparent)
        if parent is None:
            return None
        if self._spans is None or not parent.trace_flags.sampled:
            return traceparent
        self._parent, self._context = parent, (span := _below(parent))
        self._attributes |= {
            "cloudevents.event_type": type,
            "cloudevents.event_source": source,
            "cloudevents.event_id": id,
        }
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"

    def end(self, outcome: str, *, failed: bool = False) -> None:
        if self._spans is None or self._context is None:
            return
        self._attributes["bff.outcome"] = outcome
        if failed:
            self._attributes["error.type"] = outcome
        self._spans.add(
            SpanData(
                f"process {self._attributes['messaging.destination.name']}",
                SpanKind.CONSUMER,
                self._context,
                self._parent,
                self._began,
                time.time_ns(),
                self._attributes,
                failed=failed,
            )
        )


class LiveSpans:
    """Answers `live.traces.LiveTraces`. spans: exports them; None: nothing is recorded."""

    def __init__(self, spans: Spans | None) -> None:
        self._spans = spans

    def stream(self, values: int) -> StreamSpan | None:
        span = get_current_span()
        if self._spans is None or not isinstance(span, RequestSpan) or not span.is_recording():
            return None
        return StreamSpan(self._spans, span.calls.context, values)

    def receive(self, event: BrokerEvent) -> EventSpan:
        return EventSpan(self._spans, event)

    def begin_delivery(self) -> int:
        return time.time_ns()

    def delivered(self, entry: bytes, began: int, streams: Iterable[StreamTrace | None]) -> None:
        parent = parsed(traceparent_of(entry))
        if self._spans is None or parent is None:
            return
        count = 0
        links: list[Link] = []
        for stream in streams:
            count += 1
            if isinstance(stream, StreamSpan) and len(links) < MAX_LINKS:
                links.append(Link(stream.context))
        self._spans.add(
            SpanData(
                "deliver",
                SpanKind.INTERNAL,
                _below(parent),
                parent,
                began,
                time.time_ns(),
                {"bff.streams": count},
                links=links,
            )
        )
