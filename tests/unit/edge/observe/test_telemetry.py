from __future__ import annotations

import json
import logging
import sys
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
)

from bff import Call, Raw, Upstream
from bff.edge.observe import log_lines, telemetry
from bff.edge.settings import TelemetrySettings

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@given(st.text(max_size=60))
def test_a_correlation_id_is_always_a_uuid_and_another_value_is_reported_as_replaced(
    inbound: str,
) -> None:
    id, replaced = telemetry.correlation_id(inbound)
    assert str(uuid.UUID(id)) == id
    assert replaced == (inbound if inbound and id != inbound.lower() else None)


def test_a_callers_uuid_is_used_in_lower_case() -> None:
    mine = str(uuid.uuid4())
    assert telemetry.correlation_id(mine.upper()) == (mine, None)
    assert telemetry.correlation_id(None)[1] is None
    for nearly in (mine.replace("-", ""), "{" + mine + "}", mine + "\n", f"urn:uuid:{mine}"):
        assert telemetry.correlation_id(nearly)[1] == nearly


def trace_of(*headers: tuple[str, str]) -> tuple[str, dict[str, str]]:
    context = telemetry.extract([(name.encode(), value.encode()) for name, value in headers])
    found = get_current_span(context).get_span_context()
    return format(found.trace_id, "032x"), dict(found.trace_state)


def test_the_callers_trace_and_state_continue() -> None:
    assert trace_of(("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")) == (
        TRACE,
        {"a": "1", "b": "2"},
    )


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("traceparent", PARENT.replace(TRACE, "0" * 32))],
        [("traceparent", PARENT.replace(SPAN, "0" * 16))],
        [("traceparent", "ff" + PARENT[2:])],
        [("traceparent", PARENT.upper())],
        [("traceparent", "x")],
        [("tracestate", "a=1")],
    ],
)
def test_a_missing_malformed_or_repeated_traceparent_is_ignored(headers: list[tuple[str, str]]) -> None:
    assert trace_of(*headers) == ("0" * 32, {})


def test_without_a_collector_only_traces_that_the_caller_records_are_recorded() -> None:
    provider = telemetry.provider("test", TelemetrySettings())
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("own") as span:
        assert not span.is_recording()
        assert len(telemetry.trace_id()) == 32 and set(telemetry.trace_id()) != {"0"}
        assert telemetry.traceparent() is not None
    with tracer.start_as_current_span(
        "theirs", context=telemetry.extract([(b"traceparent", PARENT.encode())])
    ):
        assert telemetry.trace_id() == TRACE
    provider.shutdown()


def test_a_log_line_is_json_with_both_ids_its_fields_and_its_exception() -> None:
    log_lines.bind("correlation", "trace")
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("bff.x", logging.ERROR, "", 0, "said %s", ("so",), sys.exc_info())
    record.fields = {"path": "/ü", "odd": object}
    text = log_lines.JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "bff.x", "said so")
    assert (line["correlation_id"], line["trace_id"], line["path"]) == ("correlation", "trace", "/ü")
    assert "ValueError: why" in line["exception"]
    assert line["at"].endswith("+00:00")


@pytest.mark.parametrize("sample", [0.0, 0.25, 1.0])
def test_the_share_of_requests_that_is_recorded_is_the_setting(sample: float) -> None:
    settings = TelemetrySettings(otlp="http://127.0.0.1:1", sample=sample)
    ids = telemetry.TraceIds()
    provider = TracerProvider(sampler=ParentBased(telemetry.sampler(settings)), id_generator=ids)
    traces = telemetry.RequestTraces(provider.get_tracer("t"), telemetry.sampler(settings), ids)
    recorded = 0
    for _ in range(2_000):
        span, token = traces.begin("GET /", [])
        context = span.get_span_context()
        assert get_current_span() is span and context.is_valid
        assert span.is_recording() == context.trace_flags.sampled
        recorded += span.is_recording()
        traces.end(span, token)
    assert not get_current_span().get_span_context().is_valid
    assert abs(recorded - 2_000 * sample) <= 150


@pytest.mark.parametrize(("flags", "recorded"), [("00", False), ("01", True)])
def test_the_caller_decides_about_its_trace(flags: str, recorded: bool) -> None:
    traces = telemetry.RequestTraces(TracerProvider(sampler=ParentBased(ALWAYS_OFF)).get_tracer("t"))
    headers = [(b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-{flags}".encode()), (b"tracestate", b"a=1")]
    span, token = traces.begin("GET /", headers)
    context = span.get_span_context()
    assert f"{context.trace_id:032x}" == TRACE
    assert span.is_recording() is recorded and context.trace_flags.sampled is recorded
    assert context.trace_state.to_header() == "a=1"
    assert context.span_id != 0x00F067AA0BA902B7 and not context.is_remote
    traces.end(span, token)


def test_ids_are_uuids_of_version_4() -> None:
    made = {telemetry.correlation_id(None)[0] for _ in range(500)}
    assert len(made) == 500
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 4 for one in made)
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in made)


class Shop(Upstream, team="Test", contact="#test"):
    def thing(self, id: str) -> Call[Raw]:
        return self.get("/things/{id}", Raw, id=id)


def call_spans(sample: float = 1.0) -> tuple[telemetry.CallSpans, InMemorySpanExporter]:
    out = InMemorySpanExporter()
    settings = TelemetrySettings(otlp="http://127.0.0.1:1", sample=sample)
    resource = Resource.create({"service.name": "desk"})
    return telemetry.CallSpans(SimpleSpanProcessor(out), resource, telemetry.sampler(settings)), out


@pytest.mark.parametrize(
    ("status", "error", "code"), [(200, None, StatusCode.UNSET), (None, "timeout", StatusCode.ERROR)]
)
def test_a_call_in_a_recorded_trace_is_a_client_span_below_its_request(
    status: int | None, error: str | None, code: StatusCode
) -> None:
    spans, out = call_spans()
    parent = SpanContext(int(TRACE, 16), 1, True, TraceFlags(TraceFlags.SAMPLED))
    span = spans.begin(parent)
    assert (span.trace_id, span.trace_flags) == (parent.trace_id, parent.trace_flags)
    assert span.is_valid and span.span_id != parent.span_id
    began = time.time_ns()
    spans.end(Shop().thing("a"), span, parent, began, status, error)
    (made,) = out.get_finished_spans()
    assert (made.name, made.kind, made.context, made.parent) == ("Shop.thing", SpanKind.CLIENT, span, parent)
    expected = {"http.request.method": "GET", "url.template": "/things/{id}"}
    assert made.attributes == expected | ({} if status is None else {"http.response.status_code": status})
    assert (made.status.status_code, made.status.description) == (code, error)
    assert made.start_time == began and made.end_time is not None and began <= made.end_time
    assert made.resource.attributes["service.name"] == "desk"


def test_a_call_in_a_trace_that_is_not_recorded_has_no_span() -> None:
    spans, _ = call_spans()
    parent = SpanContext(int(TRACE, 16), 1, True, TraceFlags(0))
    assert spans.begin(parent) is parent


@pytest.mark.parametrize(("sample", "recorded"), [(0.0, 0), (1.0, 1)])
def test_a_call_outside_a_request_begins_a_trace(sample: float, recorded: int) -> None:
    spans, out = call_spans(sample)
    span = spans.begin(INVALID_SPAN_CONTEXT)
    assert span.is_valid and span.trace_flags.sampled is bool(recorded)
    spans.end(Shop().thing("x"), span, INVALID_SPAN_CONTEXT, 1, 200, None)
    assert [made.parent for made in out.get_finished_spans()] == [None] * recorded
