"""The spans of a service: requests, its calls and its events, in the trace of the caller."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from bff_service import (
    EventSource,
    TraceContext,
    configure_traces,
    current_trace,
    http_client,
    set_trace,
    span,
)
from bff_service.middleware import RequestContext
from bff_service.tracing import ServiceSpan, export_to
from fastapi import FastAPI

from tests.conftest import ROOT, closed_port
from tests.otlp import Collector
from tests.wire.served import served

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
EVENTS = EventSource("tea", domain="shop")


@pytest.fixture
def exported() -> Iterator[list[ServiceSpan]]:
    found: list[ServiceSpan] = []
    export_to(found.append)
    yield found
    export_to(None)


def service() -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestContext)

    @app.get("/teas/{id}")
    async def tea(id: str) -> str:
        trace = current_trace()
        assert trace is not None
        if id == "broken":
            raise RuntimeError("password=hunter2")
        event = EVENTS.value("tea", id, version=1, data={}, traceparent=trace.traceparent)
        return str(event.traceparent)

    @app.get("/livez")
    async def livez() -> str:
        return "alive"

    return app


async def asked(path: str, traceparent: str | None = None) -> httpx.Response:
    transport = httpx.ASGITransport(service(), raise_app_exceptions=False)
    headers = {} if traceparent is None else {"traceparent": traceparent}
    async with httpx.AsyncClient(transport=transport, base_url="http://tea") as client:
        return await client.get(path, headers=headers)


async def test_a_request_and_the_event_that_it_makes_are_spans_of_the_callers_trace(
    exported: list[ServiceSpan],
) -> None:
    told = (await asked("/teas/green?secret=hunter2", SAMPLED)).json()
    event, server = exported
    assert (server.name, server.kind, server.context.parent_id) == ("GET /teas/{id}", "server", CALLER)
    assert server.context.trace_id == TRACE and server.began <= server.ended
    assert server.attributes["http.response.status_code"] == 200 and server.error is None
    assert (event.name, event.kind) == ("create events:tea", "producer")
    assert event.context.parent_id == server.context.span_id
    assert told == f"00-{TRACE}-{event.context.span_id}-01"
    assert "hunter2" not in str(exported)


async def test_a_crash_is_a_failed_span_without_its_text(exported: list[ServiceSpan]) -> None:
    assert (await asked("/teas/broken", SAMPLED)).status_code == 500
    (server,) = exported
    assert server.error == "500" and "hunter2" not in str(server)


async def test_a_trace_that_is_not_sampled_and_probes_are_not_recorded(exported: list[ServiceSpan]) -> None:
    told = (await asked("/teas/green", UNSAMPLED)).json()
    assert told.startswith(f"00-{TRACE}-") and told.endswith("-00")
    await asked("/livez")
    assert exported == []
    await asked("/teas/green")
    assert [one.kind for one in exported] == ["producer", "server"], "a trace that begins here"


async def test_a_call_is_a_client_span_and_the_parent_of_what_it_calls(exported: list[ServiceSpan]) -> None:
    async with served(service()) as url, http_client(url) as client:
        set_trace(TraceContext.continued({"traceparent": SAMPLED}))
        with span("brew") as brew:
            answer = await client.get("/teas/green", params={"secret": "hunter2"})
            assert answer.status_code == 200
        here = current_trace()
    by_kind = {one.kind: one for one in exported}
    call, server = by_kind["client"], by_kind["server"]
    assert here is not None and brew.context.parent_id == here.span_id, "the context is as it was"
    assert call.context.parent_id == brew.context.span_id
    assert server.context.parent_id == call.context.span_id
    assert call.attributes["url.full"] == f"{url}/teas/green"
    async with http_client(f"http://127.0.0.1:{closed_port()}") as client:
        with pytest.raises(httpx.TransportError):
            await client.get("/")
    assert exported[-1].kind == "client" and exported[-1].error


async def test_without_a_collector_no_id_changes_and_no_exporter_is_imported() -> None:
    set_trace(trace := TraceContext.continued({"traceparent": SAMPLED}))
    with span("brew") as made:
        assert made.context == trace
    assert EVENTS.value("tea", "a", version=1, data={}, traceparent=SAMPLED).traceparent == SAMPLED
    script = (
        "import sys; from bff_service import configure_traces; configure_traces('tea')();"
        "print([n for n in sys.modules if n.startswith('opentelemetry.exporter')])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


async def test_the_standard_variables_decide_where_spans_go(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    async with served(collector) as otlp:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        for variable, value in (("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")):
            with monkeypatch.context() as off:
                off.setenv(variable, value)
                configure_traces("tea")
                with span("off"):
                    pass
        end = configure_traces("tea")
        try:
            with span("brew", "consumer", context=TraceContext.continued({"traceparent": SAMPLED})) as made:
                made.error = "cold"
            (seen,) = await collector.until(bool)
        finally:
            end()
    assert (seen.service, seen.name, seen.kind, seen.failed) == ("tea", "brew", "CONSUMER", True)
    assert (seen.trace, seen.parent) == (TRACE, CALLER)
    assert seen.attributes == {"error.type": "cold"}
