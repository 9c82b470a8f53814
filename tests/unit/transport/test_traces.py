"""What is recorded of the attempts of a call, and what services are told of the trace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from bff.policies.hedge import HedgeRule
from bff.transport.hedging import Hedging
from bff.transport.traces import AttemptRecord, CallTrace
from bff.transport.wire import WireConnectionError, WireResponse

from .test_pipeline import GOOD, OneUpstream, Thing, TwoBackends, Wire, forever, shelf

PARENT = SpanContext(
    0x0AF7651916CD43DD8448EB211C80319C, 7, False, TraceFlags(1), TraceState([("vendor", "x")])
)
BROKEN = WireResponse(500, {}, b"")
DOWN = WireConnectionError("reset", stale=False)


class Recorder:
    """A recorded trace, and what it got."""

    def __init__(self, baggage: str = "") -> None:
        self.attempts: list[AttemptRecord] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._trace = CallTrace(PARENT, self.attempts.append, baggage)

    def current(self) -> CallTrace:
        return self._trace

    def add_event(self, name: str, attributes: Mapping[str, Any], link: object = None) -> None:
        self.events.append((name, dict(attributes)))


def traced(upstream: OneUpstream, baggage: str = "") -> Recorder:
    upstream.pipeline.traces = recorder = Recorder(baggage)
    return recorder


async def test_each_attempt_is_recorded_and_is_the_parent_that_its_service_sees() -> None:
    upstream = OneUpstream(BROKEN, DOWN, GOOD, failures=9, attempts=3)
    recorder = traced(upstream, "tenant=a7")
    assert await upstream.ask(shelf.thing()) == Thing(name="good")
    found = [(one.resent, one.status, one.outcome) for one in recorder.attempts]
    assert found == [(0, 500, "failed"), (1, None, "unreachable"), (2, 200, "ok")]
    assert all(one.parent is PARENT and one.began <= one.ended for one in recorder.attempts)
    sent = [request.headers for request in upstream.wire.sent]
    assert [one["traceparent"] for one in sent] == [
        f"00-{PARENT.trace_id:032x}-{attempt.span_id:016x}-01" for attempt in recorder.attempts
    ]
    assert len({one["traceparent"] for one in sent}) == 3
    assert {(one["tracestate"], one["baggage"]) for one in sent} == {("vendor=x", "tenant=a7")}
    assert recorder.events == []


async def test_both_copies_of_a_hedged_read_are_recorded_and_the_slower_one_is_cancelled() -> None:
    class Soon:
        def after(self) -> float:
            return 0.0

        def record(self, seconds: float) -> None:
            pass

    upstream = OneUpstream(GOOD, timeout=30, failures=9)
    upstream.client.backends = TwoBackends(Wire(forever), Wire(GOOD))
    upstream.client.hedge = hedging = Hedging(HedgeRule())
    hedging._latencies["Shelf.thing"] = Soon()  # type: ignore[assignment]  # learns nothing
    recorder = traced(upstream)
    assert await upstream.ask(shelf.thing()) == Thing(name="good")
    assert {(one.address, one.hedge, one.outcome) for one in recorder.attempts} == {
        ("one", False, "cancelled"),
        ("two", True, "ok"),
    }
    assert len({one.span_id for one in recorder.attempts}) == 2


async def test_a_call_that_was_not_sent_is_an_event() -> None:
    upstream = OneUpstream(BROKEN, failures=1)
    recorder = traced(upstream)
    for _ in range(2):
        await upstream.ask(shelf.thing())
    assert len(recorder.attempts) == 1
    about = {"bff.service": "shelf", "bff.call": "Shelf.thing"}
    assert recorder.events == [
        ("bff.call.failed", about | {"error.type": "failed"}),
        ("bff.call.rejected", about | {"bff.reason": "circuit-open"}),
        ("bff.call.failed", about | {"error.type": "circuit-open"}),
    ]


async def test_a_cancelled_attempt_is_recorded() -> None:
    upstream = OneUpstream(forever, timeout=30)
    recorder = traced(upstream)
    asking = asyncio.create_task(upstream.ask(shelf.thing()))
    while not upstream.wire.sent:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [(one.status, one.outcome) for one in recorder.attempts] == [(None, "cancelled")]
