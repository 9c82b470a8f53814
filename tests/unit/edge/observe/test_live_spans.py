"""Spans of events, their delivery and streams."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from bff.calls import SagaStatus
from bff.edge.observe.live_spans import MAX_EVENTS, LiveSpans, StreamSpan
from bff.edge.observe.request_traces import RequestTraces
from bff.edge.observe.spans import Spans
from bff.edge.state import RequestState
from bff.live.traces import is_sampled, traceparent_of
from bff.stores.events import BrokerEvent
from bff.stores.journal import Entry

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
EVENT = BrokerEvent("events:orders:3", "1-0", b"", "redis")
ABOUT = ("shop.order.status", "/services/orders", "o1:2")


def world() -> tuple[LiveSpans, Spans, InMemorySpanExporter]:
    out = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(out), Resource.create({}))
    return LiveSpans(spans), spans, out


def entry(traceparent: str | None) -> bytes:
    saga = SagaStatus(id="o1", type="order", status="RUNNING", version=2, at="2026-01-01T00:00:00Z")
    return Entry.of(saga, traceparent, now_ms=0).body


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_whether_the_trace_of_an_entry_is_sampled_shows_at_its_end(flags: str, sampled: bool) -> None:
    parent = f"00-{TRACE}-{SPAN}-{flags}"
    assert is_sampled(entry(parent)) is sampled
    assert traceparent_of(entry(parent)) == parent


def test_an_entry_without_a_trace_is_in_no_sampled_one() -> None:
    assert not is_sampled(entry(None))
    assert not is_sampled(b"")


def made(out: InMemorySpanExporter) -> list[ReadableSpan]:
    return list(out.get_finished_spans())


def test_an_event_is_a_consumer_span_below_its_producer_and_what_follows_is_below_it() -> None:
    live, _, out = world()
    received = live.receive(EVENT)
    follows = received.follow(*ABOUT, f"00-{TRACE}-{SPAN}-01")
    received.end("appended")
    (span,) = made(out)
    assert span.context is not None and span.parent is not None
    assert (span.name, span.kind) == ("process events:orders:3", SpanKind.CONSUMER)
    assert f"{span.parent.span_id:016x}" == SPAN and f"{span.context.trace_id:032x}" == TRACE
    assert follows == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert dict(span.attributes or {}) == {
        "messaging.system": "redis",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "events:orders:3",
        "messaging.message.id": "1-0",
        "cloudevents.event_type": ABOUT[0],
        "cloudevents.event_source": ABOUT[1],
        "cloudevents.event_id": ABOUT[2],
        "bff.outcome": "appended",
    }


@pytest.mark.parametrize(
    ("given", "follows"),
    [(None, None), ("x", None), (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00")],
)
def test_an_event_outside_a_sampled_trace_is_not_recorded(given: str | None, follows: str | None) -> None:
    live, _, out = world()
    received = live.receive(EVENT)
    assert received.follow(*ABOUT, given) == follows
    received.end("appended")
    assert made(out) == []


def test_an_event_that_fails_says_so() -> None:
    live, _, out = world()
    received = live.receive(EVENT)
    received.follow(*ABOUT, f"00-{TRACE}-{SPAN}-01")
    received.end("dead-letter", failed=True)
    (span,) = made(out)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None and span.attributes["error.type"] == "dead-letter"


def opened(spans: Spans, live: LiveSpans, sample: float) -> StreamSpan | None:
    traces = RequestTraces(spans, TraceIdRatioBased(sample))
    scope: Any = {"method": "GET", "path": "/bff/live", "headers": []}
    span = traces.begin(scope)
    try:
        return live.stream(2)
    finally:
        traces.end(span, scope, RequestState(), status=200)


def test_a_stream_is_recorded_when_its_request_is() -> None:
    live, spans, out = world()
    assert opened(spans, live, 0.0) is None
    stream = opened(spans, live, 1.0)
    assert stream is not None
    stream.add_event("bff.stream.join", {"bff.join": "state"})
    for _ in range(MAX_EVENTS + 5):
        stream.add_event("bff.stream.lagging")
    stream.add_event("bff.stream.end", {"bff.reason": "age"})
    stream.end()
    server, span = made(out)
    assert span.parent is not None and server.context is not None
    assert span.parent.span_id == server.context.span_id
    names = [event.name for event in span.events]
    assert (names[0], names[-1], len(names)) == ("bff.stream.join", "bff.stream.end", MAX_EVENTS)
    assert dict(span.attributes or {}) == {"bff.stream.values": 2}


def test_a_delivery_is_one_span_in_the_trace_of_the_event_with_links_to_its_streams() -> None:
    live, spans, out = world()
    stream = opened(spans, live, 1.0)
    assert stream is not None
    began = live.begin_delivery()
    live.delivered(entry(f"00-{TRACE}-{SPAN}-01"), began, iter([None, stream, None]))
    span = made(out)[-1]
    assert span.context is not None and span.parent is not None
    assert (span.name, f"{span.context.trace_id:032x}") == ("deliver", TRACE)
    assert f"{span.parent.span_id:016x}" == SPAN and span.start_time == began
    assert dict(span.attributes or {}) == {"bff.streams": 3}
    assert [link.context for link in span.links] == [stream.context]
