"""Metrics in Prometheus' text format: rate, errors and durations of screens, commands and upstream calls, and the state
of the policies between them.

It is an observer and changes nothing. It has a registry to itself, so that an application that the gateway is mounted
in keeps its metrics. Labels are only names from the gateway's declarations (routes, services, calls, addresses), never
anything that a browser sent: their number is bounded. States are read when the page is requested.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.types import Receive, Scope, Send

from ...live.hub import Hub
from ...live.ingest import EventDispatcher
from ...policies.events import (
    Attempted,
    BreakerChanged,
    BulkheadFull,
    CallRejected,
    Ejected,
    Hedged,
    Readmitted,
    Retried,
    Served,
    Shed,
    SurrogatesReplaced,
)
from ...transport.client import UpstreamClient
from .observers import Event, RequestEnded, ScreenIncomplete

STREAM = "/bff/live"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Seconds. From a cached part to the longest deadline.
DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AGES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
STATES = {"closed": 0, "half-open": 1, "open": 2}

M = TypeVar("M", Counter, Histogram)


class Lateness(Protocol):
    def now(self) -> float:
        """Seconds."""
        ...


class Load(Protocol):
    """in_flight: requests being answered; lag: how late the event loop is."""

    @property
    def in_flight(self) -> int: ...

    @property
    def lag(self) -> Lateness: ...


class _Children(dict[tuple[str, ...], M]):
    """A metric's children by their labels' values: looking one up costs a tenth of `labels()`."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric

    def __missing__(self, values: tuple[str, ...]) -> M:
        child: M = self._metric.labels(*values)
        self[values] = child
        return child


class Metrics:
    """`observe` counts an event, `text` gives the page. screens, commands: the routes that are such."""

    def __init__(self, screens: Container[str | None], commands: Container[str | None]) -> None:
        self._screens, self._commands = screens, commands
        registry = self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, help: str, *labels: str) -> _Children[Counter]:
            return _Children(Counter(name, help, labels, registry=registry))

        def histogram(
            name: str, help: str, *labels: str, buckets: tuple[float, ...] = DURATIONS
        ) -> _Children[Histogram]:
            return _Children(Histogram(name, help, labels, buckets=buckets, registry=registry))

        self._requests = counter("bff_requests", "Answers to browsers.", "kind", "route", "status")
        self._request_seconds = histogram(
            "bff_request_seconds", "Seconds until the end of the answer.", "kind", "route"
        )
        self._missing = counter("bff_screen_missing_parts", "Optional parts that were missing.", "route")
        self._attempts = counter(
            "bff_upstream_attempts",
            "Attempts by who ended them; side: local (not sent), client (cancelled), origin (the upstream).",
            "service",
            "call",
            "outcome",
            "side",
        )
        self._attempt_seconds = histogram(
            "bff_upstream_attempt_seconds", "Seconds of attempts that were sent.", "service", "call"
        )
        self._retries = counter("bff_upstream_retries", "Attempts after the first.", "service", "call", "why")
        self._rejections = counter(
            "bff_upstream_rejections", "Calls that were not sent.", "service", "call", "why"
        )
        self._waited = histogram(
            "bff_bulkhead_wait_seconds",
            "Seconds waited for a permit that did not come free.",
            "service",
            "call",
        )
        self._hedges = counter(
            "bff_upstream_hedges",
            "Second copies of slow reads; won: it answered first.",
            "service",
            "call",
            "won",
        )
        self._breaker_moves = counter(
            "bff_breaker_moves", "Changes of a breaker's state.", "service", "group", "to"
        )
        self._ejections = counter("bff_address_ejections", "Addresses ejected for a while.", "service")
        self._served = counter("bff_reads_served", "Reads by what answered them.", "service", "call", "how")
        self._ages = histogram(
            "bff_reads_age_seconds", "Age of cached answers in seconds.", "service", "call", buckets=AGES
        )
        self._shed = counter(
            "bff_shed", "Requests refused, or answered without their optional parts.", "where"
        )
        self._replaced = counter(
            "bff_upstream_surrogates", "Lone surrogates in answers that became U+FFFD.", "service", "call"
        )
        self._on: Mapping[type[Any], Callable[[Any], None]] = {
            RequestEnded: self._request_ended,
            ScreenIncomplete: lambda event: self._missing[event.route,].inc(event.missing),
            Attempted: self._attempted,
            Retried: lambda event: self._retries[event.service, event.call, event.why].inc(),
            CallRejected: lambda event: self._rejections[event.service, event.call, event.why].inc(),
            BulkheadFull: lambda event: self._waited[event.service, event.call].observe(event.waited),
            Hedged: lambda event: self._hedges[event.service, event.call, str(event.won).lower()].inc(),
            BreakerChanged: lambda event: self._breaker_moves[event.service, event.group, event.state].inc(),
            Ejected: lambda event: self._ejections[event.service,].inc(),
            Readmitted: lambda event: None,
            Served: self._was_served,
            Shed: lambda event: self._shed[event.where,].inc(),
            SurrogatesReplaced: lambda event: self._replaced[event.service, event.call].inc(event.count),
        }

    def observe(self, event: Event) -> None:
        """An Observer: one or two additions."""
        self._on[type(event)](event)

    def _request_ended(self, event: RequestEnded) -> None:
        if event.method == "POST":
            kind = "command" if event.route in self._commands else "other"
        else:
            kind = "screen" if event.route in self._screens else "other"
        name = event.route or "none"
        self._requests[kind, name, str(event.status)].inc()
        if name != STREAM:
            # A stream lasts until its client leaves.
            self._request_seconds[kind, name].observe(event.seconds)

    def watch(
        self, clients: Mapping[str, UpstreamClient], admission: Load, hub: Hub, dispatcher: EventDispatcher
    ) -> None:
        """The parts whose states the page shows."""
        self._registry.register(_States(clients, admission, hub, dispatcher))

    def text(self) -> bytes:
        """The page, in Prometheus' text format 0.0.4."""
        page: bytes = generate_latest(self._registry)
        return page

    def _attempted(self, event: Attempted) -> None:
        self._attempts[event.service, event.call, event.outcome, event.side].inc()
        if event.side != "local":
            self._attempt_seconds[event.service, event.call].observe(event.milliseconds / 1000)

    def _was_served(self, event: Served) -> None:
        self._served[event.service, event.call, event.how].inc()
        if event.how in ("hit", "stale"):
            self._ages[event.service, event.call].observe(event.age)


class _States(Collector):
    """Gauges that are read when the page is requested."""

    def __init__(
        self, clients: Mapping[str, UpstreamClient], admission: Load, hub: Hub, dispatcher: EventDispatcher
    ) -> None:
        self._clients = clients
        self._gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
            (
                "bff_requests_in_flight",
                "Requests being answered, without open streams.",
                lambda: admission.in_flight,
            ),
            ("bff_loop_lag_seconds", "How late the event loop is.", admission.lag.now),
            ("bff_streams", "Open event streams.", lambda: hub.count),
            (
                "bff_journals_waiting",
                "Journals waiting to be restored from the services.",
                lambda: hub.restoring,
            ),
        )
        self._dispatcher = dispatcher

    def collect(self) -> Iterable[Metric]:
        for name, help, value in self._gauges:
            yield GaugeMetricFamily(name, help, value=value())
        losses = self._dispatcher.losses
        yield CounterMetricFamily(
            "bff_events_losses", "How often a broker dropped events unread.", value=losses
        )

        def gauge(name: str, help: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, help, labels=labels)

        state = gauge("bff_breaker_state", "0 closed, 1 half-open, 2 open.", "service", "group", "address")
        used = gauge("bff_bulkhead_used", "Permits in use.", "service")
        permits = gauge("bff_bulkhead_permits", "Permits in all.", "service")
        waiting = gauge("bff_bulkhead_waiting", "Calls waiting for a permit.", "service")
        active = gauge("bff_upstream_active", "Calls under way, retries and waits included.", "service")
        spent = gauge("bff_retry_budget_spent", "Retries and hedges under way.", "service")
        pending = gauge("bff_address_pending", "Attempts under way.", "service", "address")
        out = gauge("bff_address_ejected", "1 while it is ejected.", "service", "address")
        for service, client in self._clients.items():
            for (group, address), breaker in client.breakers:
                state.add_metric([service, group, address], STATES[breaker.state])
            bulkhead = client.permits.bulkhead
            used.add_metric([service], bulkhead.used)
            permits.add_metric([service], bulkhead.rule.permits)
            waiting.add_metric([service], bulkhead.waiting)
            active.add_metric([service], client.budget.active)
            spent.add_metric([service], client.budget.spent)
            for backend in client.backends:
                pending.add_metric([service, backend.name], backend.pending)
                out.add_metric([service, backend.name], backend.ejected_until is not None)
        yield from (state, used, permits, waiting, active, spent, pending, out)


class MetricsRoute:
    """The endpoint; for the admin port only."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = self._metrics.text()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
