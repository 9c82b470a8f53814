"""Which traces are recorded, what is exported of them, and what an unrecorded one keeps."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    use_span,
)

from bff import Call, Raw, Upstream
from bff.edge.observe import telemetry
from bff.edge.observe.request_traces import (
    MAX_ATTEMPTS,
    MAX_EVENTS,
    CallSpans,
    PerSecond,
    RequestSpan,
    RequestTraces,
    on_missing,
)
from bff.edge.observe.spans import CONVENTIONS, Spans
from bff.edge.state import RequestState
from bff.transport.traces import AttemptRecord

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOLD = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
NOT_TOLD = (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())


class Shop(Upstream, team="Test", contact="#test"):
    def thing(self, id: str) -> Call[Raw]:
        return self.get("/things/{id}", Raw, id=id, secret="hunter2")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    """Request traces with an exporter in memory."""

    def __init__(self, sample: float = 0.0, **options: Any) -> None:
        self.out = InMemorySpanExporter()
        self.spans = Spans(SimpleSpanProcessor(self.out), Resource.create({"service.name": "desk"}))
        sampler = TraceIdRatioBased(sample)
        self.traces = RequestTraces(self.spans, sampler, **options)
        self.calls = CallSpans(self.spans, sampler)

    def request(
        self,
        *headers: tuple[bytes, bytes],
        status: int = 200,
        during: Callable[[RequestSpan], None] = lambda span: None,
        path: str = "/things/7",
        method: str = "GET",
    ) -> RequestSpan:
        scope: Any = {"method": method, "path": path, "headers": list(headers), "scheme": "https"}
        span = self.traces.begin(scope)
        assert get_current_span() is span
        during(span)
        state = RequestState(correlation="c", route="/things/{id}")
        self.traces.end(span, scope, state, status=status)
        assert not get_current_span().get_span_context().is_valid
        return span

    @property
    def exported(self) -> tuple[ReadableSpan, ...]:
        return tuple(self.out.get_finished_spans())

    def attempt(self, status: int | None = 200, outcome: str = "ok", **changes: Any) -> None:
        trace = self.calls.current()
        fields = {"resent": 0, "hedge": False} | changes
        if trace.record is not None:
            trace.record(
                AttemptRecord(
                    call=Shop().thing("7"),
                    address="http://shop.test:8080/base",
                    parent=trace.context,
                    span_id=5,
                    began=1,
                    ended=2,
                    status=status,
                    outcome=outcome,
                    **fields,
                )
            )


@pytest.mark.parametrize("sample", [0.0, 0.25, 1.0])
def test_the_share_of_requests_that_is_recorded_is_the_setting(sample: float) -> None:
    world = World(sample)
    spans = [world.request() for _ in range(2_000)]
    recorded = sum(span.get_span_context().trace_flags.sampled for span in spans)
    assert abs(recorded - 2_000 * sample) <= 150
    assert len(world.exported) == recorded
    assert len({span.get_span_context().trace_id for span in spans}) == 2_000


def test_a_server_span_has_the_names_of_the_conventions_and_nothing_of_the_query() -> None:
    world = World(1.0)
    world.request(TOLD, status=503)
    (span,) = world.exported
    assert span.attributes is not None and span.context is not None and span.parent is not None
    assert (span.name, span.kind) == ("GET /things/{id}", SpanKind.SERVER)
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.route": "/things/{id}",
        "url.path": "/things/7",
        "url.scheme": "https",
        "network.protocol.version": "1.1",
        "http.response.status_code": 503,
        "error.type": "503",
        "bff.correlation_id": "c",
    }
    assert span.status.status_code is StatusCode.ERROR
    assert f"{span.context.trace_id:032x}" == TRACE and f"{span.parent.span_id:016x}" == SPAN
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == f"https://opentelemetry.io/schemas/{CONVENTIONS}"


def test_a_method_that_a_client_made_up_is_not_named() -> None:
    world = World(1.0)
    world.request(method="X" * 100)
    (span,) = world.exported
    assert span.name == "HTTP /things/{id}"
    assert span.attributes is not None and span.attributes["http.request.method"] == "_OTHER"


@pytest.mark.parametrize("trusted", [True, False])
def test_the_callers_flag_counts_without_a_bound_only_where_it_is_trusted(trusted: bool) -> None:
    clock = Clock()
    world = World(0.0, trusts=lambda scope: trusted, callers=PerSecond(3, clock))

    def recorded(times: int) -> int:
        spans = [world.request(TOLD) for _ in range(times)]
        assert {f"{span.get_span_context().trace_id:032x}" for span in spans} == {TRACE}
        return sum(span.get_span_context().trace_flags.sampled for span in spans)

    assert recorded(20) == (20 if trusted else 3)
    clock.now += 1
    assert recorded(20) == (20 if trusted else 3)


def test_beyond_the_bound_the_share_decides_and_not_the_id_that_the_caller_chose() -> None:
    world = World(0.5, callers=PerSecond(0))
    low = (b"traceparent", f"00-{1:032x}-{SPAN}-01".encode())
    recorded = sum(world.request(low).get_span_context().trace_flags.sampled for _ in range(1_000))
    assert 400 <= recorded <= 600


def test_a_trace_that_its_caller_does_not_record_is_not_recorded() -> None:
    world = World(1.0, trusts=lambda scope: True)
    assert not world.request(NOT_TOLD).get_span_context().trace_flags.sampled
    assert world.exported == ()


def test_without_a_collector_ids_are_made_and_nothing_is_kept() -> None:
    traces = RequestTraces(callers=PerSecond(1))
    scope: Any = {"method": "GET", "path": "/", "headers": [TOLD, (b"tracestate", b"a=1")]}
    span = traces.begin(scope)
    context = span.get_span_context()
    assert context.trace_flags.sampled and context.trace_state.to_header() == "a=1" and not context.is_remote
    assert not span.is_recording() and span.calls.record is None
    assert telemetry.trace_id() == TRACE
    assert telemetry.traceparent() == f"00-{TRACE}-{context.span_id:016x}-01"
    traces.end(span, scope, RequestState(), status=500)
    assert traces.dropped == 0


def test_an_attempt_is_a_client_span_of_its_own() -> None:
    world = World(1.0)

    def during(span: RequestSpan) -> None:
        world.attempt(None, "timeout")
        world.attempt(503, "overloaded", resent=1)
        world.attempt(None, "cancelled")
        world.attempt(hedge=True)

    world.request(during=during)
    *attempts, server = world.exported
    assert server.context is not None
    for one in attempts:
        assert (one.name, one.kind) == ("GET /things/{id}", SpanKind.CLIENT)
        assert one.parent is not None and one.parent.span_id == server.context.span_id
        assert one.attributes is not None
        assert one.attributes["url.full"] == "http://shop.test:8080/base/things/7"
        assert (one.attributes["server.address"], one.attributes["server.port"]) == ("shop.test", 8080)
        assert one.attributes["bff.call"] == "Shop.thing" and "hunter2" not in one.to_json()
    timeout, refused, cancelled, hedge = (dict(one.attributes or {}) for one in attempts)
    assert timeout["error.type"] == "timeout" and "http.response.status_code" not in timeout
    assert refused["error.type"] == "503" and refused["http.request.resend_count"] == 1
    assert "error.type" not in cancelled and cancelled["bff.outcome"] == "cancelled"
    assert hedge["bff.hedge"] is True
    codes = [one.status.status_code for one in attempts]
    assert codes == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET]


def late(**options: Any) -> World:
    return World(0.0, late=PerSecond(100), **options)


@pytest.mark.parametrize(
    ("status", "missing", "slow", "reason"),
    [(500, 0, 60.0, "error"), (200, 2, 60.0, "incomplete"), (200, 0, 0.0, "slow"), (404, 0, 60.0, None)],
)
def test_what_failed_was_slow_or_incomplete_is_exported_after_the_fact(
    status: int, missing: int, slow: float, reason: str | None
) -> None:
    world = late(slow=slow)

    def during(span: RequestSpan) -> None:
        assert not span.is_recording()
        world.attempt()
        world.calls.add_event("bff.cache.hit", {"bff.call": "Shop.thing"})
        if missing:
            on_missing(missing)

    span = world.request(status=status, during=during)
    assert not span.get_span_context().trace_flags.sampled, "services were told nothing else"
    if reason is None:
        assert world.exported == ()
        return
    server, attempt = world.exported
    assert server.attributes is not None and server.context is not None and attempt.parent is not None
    assert server.attributes["bff.exported_because"] == reason
    assert attempt.parent.span_id == server.context.span_id and attempt.kind is SpanKind.CLIENT
    assert [event.name for event in server.events] == ["bff.cache.hit"]


def test_beyond_its_bound_the_export_after_the_fact_is_counted() -> None:
    clock = Clock()
    world = World(0.0, late=PerSecond(2, clock))
    for _ in range(5):
        world.request(status=500)
    assert (len(world.exported), world.traces.dropped) == (2, 3)
    clock.now += 0.5
    world.request(status=500)
    assert (len(world.exported), world.traces.dropped) == (3, 3)


def test_what_is_kept_of_an_unrecorded_request_is_bounded() -> None:
    world = late()

    def during(span: RequestSpan) -> None:
        for _ in range(MAX_ATTEMPTS + 10):
            world.attempt()
        for _ in range(MAX_EVENTS + 10):
            world.calls.add_event("e", {})
        span.set_attribute("of the application", 1)

    span = world.request(status=500, during=during)
    server, *attempts = world.exported
    assert len(attempts) == MAX_ATTEMPTS and len(server.events) == MAX_EVENTS
    assert "of the application" not in (server.attributes or {})
    assert span.attempts is None


def test_a_command_that_goes_on_after_its_request_keeps_nothing_of_an_unrecorded_trace() -> None:
    world, kept = late(), []
    world.request(status=500, during=lambda span: kept.append(span.calls.record))
    before = len(world.exported)
    assert kept[0] is not None
    kept[0](AttemptRecord(Shop().thing("7"), "http://a", INVALID_SPAN_CONTEXT, 1, 1, 2, 0, False, 200, "ok"))
    assert len(world.exported) == before


def test_the_span_of_a_request_is_freed_without_the_garbage_collector() -> None:
    world, freed = late(), []

    def during(span: RequestSpan) -> None:
        world.attempt()
        weakref.finalize(span, freed.append, True)

    gc.disable()
    try:
        for status in (200, 500):
            world.request(status=status, during=during)
    finally:
        gc.enable()
    assert freed == [True, True]


def test_without_an_export_after_the_fact_an_unrecorded_request_keeps_nothing() -> None:
    world = World(0.0)

    def during(span: RequestSpan) -> None:
        assert span.calls.record is None
        span.add_event("e")

    world.request(status=500, during=during)
    assert world.exported == () and world.traces.dropped == 0


def test_the_application_can_say_more_on_the_span_of_a_recorded_request() -> None:
    world = World(1.0)

    def during(span: RequestSpan) -> None:
        current = get_current_span()
        assert current.is_recording()
        current.set_attribute("basket.lines", 3)
        current.record_exception(ValueError("password=hunter2"))
        current.set_status(StatusCode.ERROR)
        current.end()

    world.request(during=during)
    (span,) = world.exported
    assert span.attributes is not None and span.attributes["basket.lines"] == 3
    assert span.status.status_code is StatusCode.ERROR
    assert [dict(event.attributes or {}) for event in span.events] == [{"exception.type": "ValueError"}]
    assert "hunter2" not in span.to_json()


def test_a_follower_links_to_the_trace_that_answered_it() -> None:
    world = World(1.0)
    leader = SpanContext(9, 8, False, TraceFlags(1))
    world.request(during=lambda span: world.calls.add_event("bff.call.coalesced", {}, leader))
    (span,) = world.exported
    assert [link.context for link in span.links] == [leader]


def test_a_span_that_the_application_made_current_is_the_parent_of_calls() -> None:
    world = late()
    theirs = SpanContext(int(TRACE, 16), 77, False, TraceFlags(0))

    def during(span: RequestSpan) -> None:
        with use_span(NonRecordingSpan(theirs)):
            world.attempt()

    world.request(NOT_TOLD, status=500, during=during)
    _, attempt = world.exported
    assert attempt.parent is not None and attempt.parent.span_id == 77


@pytest.mark.parametrize(("sample", "recorded"), [(0.0, 0), (1.0, 1)])
def test_a_call_outside_a_request_begins_a_trace(sample: float, recorded: int) -> None:
    world = World(sample)
    trace = world.calls.current()
    assert trace.context.is_valid and trace.context.trace_flags.sampled is bool(recorded)
    world.attempt()
    assert [made.parent for made in world.exported] == [None] * recorded


def test_baggage_is_passed_on_by_the_list_alone() -> None:
    world = World(0.0, baggage=("tenant",))
    headers = [(b"baggage", b"role=admin, tenant=a7;x=1"), (b"baggage", b"tenant=b")]
    assert world.request(*headers).calls.baggage == "tenant=a7;x=1"
    assert World(0.0).request(*headers).calls.baggage == ""


def test_health_is_not_recorded() -> None:
    world = World(1.0)
    for path in ("/livez", "/readyz", "/metrics"):
        world.request(path=path)
    assert world.exported == ()
