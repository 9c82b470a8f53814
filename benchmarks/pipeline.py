"""What one upstream call costs in the gateway when nothing fails: the call pipeline over a wire that responds at once,
and each policy alone. The figure is CPU time of one thread, the minimum of many rounds, which other processes disturb
least."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import uvloop
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from pydantic import BaseModel

from bff import Call, Raw, Upstream
from bff.calls import Deadline, RequestContext, RequestRecord, use_context
from bff.edge.app.clients import upstream_client
from bff.edge.observe.event_log import log_event
from bff.edge.observe.metrics import Metrics
from bff.edge.settings.upstream import UpstreamSettings
from bff.policies.balance import Backend, Balancer
from bff.policies.events import Attempted, Guarded, Observer, ignore
from bff.policies.hedge import HedgeRule, Latencies
from bff.transport.pipeline import CallPipeline
from bff.transport.request import wire_request
from bff.transport.response import decode
from bff.transport.wire import WireRequest, WireResponse

ROUNDS, TIMES = 60, 300


class Thing(BaseModel):
    name: str


class Store(Upstream, team="Bench", contact="#bench"):
    def thing(self) -> Call[Thing]:
        return self.get("/thing", Thing).public()


class InstantWire:
    """A wire without a network."""

    def __init__(self) -> None:
        self._response = WireResponse(200, {"content-type": "application/json"}, b'{"name":"x"}')

    async def send(self, request: WireRequest) -> WireResponse:
        return self._response

    async def close(self) -> None:
        pass


def _pipeline(observe: Observer, **changes: object) -> CallPipeline:
    settings = UpstreamSettings.model_validate({"url": "http://127.0.0.1:1"} | changes)
    client = upstream_client("store", settings, observe)
    for backend in client.backends:
        backend.wire = InstantWire()
    return CallPipeline({"store": client}, observe=observe)


async def _least(work: Callable[[], Awaitable[object]]) -> float:
    best = 1.0
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(TIMES):
            await work()
        best = min(best, (time.thread_time() - began) / TIMES)
    return best * 1e6


def _least_sync(work: Callable[[], object]) -> float:
    best = 1.0
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(TIMES):
            work()
        best = min(best, (time.thread_time() - began) / TIMES)
    return best * 1e6


async def _measure() -> list[tuple[str, float]]:
    call = Store().thing()
    found: list[tuple[str, float]] = []
    observe = Guarded(Metrics().observe, log_event)
    provider = TracerProvider(sampler=ALWAYS_OFF)

    async def measure(name: str, pipeline: CallPipeline) -> None:
        scope = RequestContext(
            Deadline.after(3600), pipeline, "6f1c1d6e-0000-4000-8000-000000000000", record=RequestRecord()
        )

        async def once() -> None:
            scope.record.timings.clear()
            await pipeline.run(call, scope)

        # As inside a request whose trace is not sampled.
        with use_context(scope), provider.get_tracer("bench").start_as_current_span("GET /"):
            found.append((name, await _least(once)))

    async def alone() -> None:
        scope = RequestContext(Deadline.after(3600), pipeline, "id")
        wire = InstantWire()

        async def once() -> None:
            decode(call, await wire.send(wire_request(call, scope, 1.0)))

        found.append(("request and decode alone", await _least(once)))

    pipeline = _pipeline(ignore)
    await alone()
    await measure("the pipeline, without observers", pipeline)
    await measure("the pipeline with metrics and log", _pipeline(observe))
    hedged = {"on": True, "minimum": 10}
    await measure("the pipeline with metrics, hedging on", _pipeline(observe, hedge=hedged))
    several = {"urls": ["http://127.0.0.1:2", "http://127.0.0.1:3"]}
    await measure("the pipeline with metrics, three backends", _pipeline(observe, balance=several))

    client = pipeline.clients["store"]
    breaker = client.breakers.of("g", "a")
    balance = Balancer("s", [Backend(f"http://{number}", None) for number in range(3)])
    latencies = Latencies(HedgeRule())
    event = Attempted("s", "c", "http://a", 1.0, "ok", "origin")

    def through_breaker() -> None:
        client.breakers.of("g", "a").admit()
        breaker.record_success(breaker.generation, 0.001)

    def through_bulkhead() -> None:
        client.permits.bulkhead.acquire()
        client.permits.release()

    def through_budget() -> None:
        client.budget.acquire()
        client.budget.release()

    def through_balance() -> None:
        balance.record_success(balance.pick())

    async def through_limit() -> None:
        async with asyncio.timeout(1.0):  # noqa: ASYNC100 - the cost of setting one is measured
            pass

    found += [
        ("breaker: admit and report", _least_sync(through_breaker)),
        ("bulkhead: enter and leave", _least_sync(through_bulkhead)),
        ("retry budget: take and give (retries only)", _least_sync(through_budget)),
        ("balance: pick of three and report", _least_sync(through_balance)),
        ("hedging: learning one answer", _least_sync(lambda: latencies.record(0.001))),
        ("metrics: one attempt counted", _least_sync(lambda: observe(event))),
        ("attempt's time limit", await _least(through_limit)),
    ]
    body = b'{"a":[' + b",".join([b'{"name":"thing","price":1.5}'] * 60) + b"]}"
    found.append((f"Raw: checking {len(body)} bytes", _least_sync(lambda: Raw(body))))
    return found


def table() -> str:
    """The report as Markdown."""
    rows = uvloop.run(_measure())
    width = max(len(name) for name, _ in rows)
    lines = [f"| {'one upstream call':<{width}} | CPU µs |", f"|{'-' * (width + 2)}|-------:|"]
    return "\n".join(lines + [f"| {name:<{width}} | {cost:6.2f} |" for name, cost in rows])
