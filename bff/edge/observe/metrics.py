"""Metrics in Prometheus' text format: rate, errors and durations of screens, commands and upstream calls, and the state
of the policies between them.

`Metrics` is an observer and changes nothing. It has its own registry, so that an application in which the gateway is
mounted keeps its metrics. Labels are only names from the gateway's declarations (routes, services, calls, addresses),
never anything that a browser sent, so their number is bounded. States are read when the page is requested.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.requests import Request
from starlette.responses import Response

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
# Seconds. From a cached part to the longest deadline.
DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AGES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
STATES = {"closed": 0, "half-open": 1, "open": 2}

# Name, help, labels, and the buckets of a histogram; what has none is a counter.
_METRICS: tuple[tuple[str, str, str, tuple[float, ...]], ...] = (
    ("bff_requests", "Answers to browsers.", "kind route status", ()),
    ("bff_request_seconds", "Seconds until the end of the answer.", "kind route", DURATIONS),
    ("bff_screen_missing_parts", "Optional parts that were missing.", "route", ()),
    (
        "bff_upstream_attempts",
        "Attempts by who ended them; side: local (not sent), client (cancelled), origin (the upstream).",
        "service call outcome side",
        (),
    ),
    ("bff_upstream_attempt_seconds", "Seconds of attempts that were sent.", "service call", DURATIONS),
    ("bff_upstream_retries", "Attempts after the first.", "service call why", ()),
    ("bff_upstream_rejections", "Calls that were not sent.", "service call why", ()),
    (
        "bff_bulkhead_wait_seconds",
        "Seconds waited for a permit that did not come free.",
        "service call",
        DURATIONS,
    ),
    (
        "bff_upstream_hedges",
        "Second copies of slow reads; won: it answered first.",
        "service call won",
        (),
    ),
    ("bff_breaker_moves", "Changes of a breaker's state.", "service group to", ()),
    ("bff_address_ejections", "Addresses ejected for a while.", "service", ()),
    ("bff_reads_served", "Reads by what answered them.", "service call how", ()),
    ("bff_reads_age_seconds", "Age of cached answers in seconds.", "service call", AGES),
    ("bff_shed", "Requests refused, or answered without their optional parts.", "where", ()),
    ("bff_upstream_surrogates", "Lone surrogates in answers that became U+FFFD.", "service call", ()),
)

_Gauge = tuple[str, str, Callable[[], float]]
# The gauges of an upstream: name, help, labels after `service`, and what reads the values, by those labels.
_UpstreamGauge = tuple[str, str, tuple[str, ...], Callable[[UpstreamClient], Mapping[tuple[str, ...], float]]]
_UPSTREAM_GAUGES: tuple[_UpstreamGauge, ...] = (
    (
        "bff_breaker_state",
        "0 closed, 1 half-open, 2 open.",
        ("group", "address"),
        lambda client: {key: STATES[breaker.state] for key, breaker in client.breakers},
    ),
    ("bff_bulkhead_used", "Permits in use.", (), lambda client: {(): client.permits.bulkhead.used}),
    (
        "bff_bulkhead_permits",
        "Permits in all.",
        (),
        lambda client: {(): client.permits.bulkhead.rule.permits},
    ),
    (
        "bff_bulkhead_waiting",
        "Calls waiting for a permit.",
        (),
        lambda client: {(): client.permits.bulkhead.waiting},
    ),
    (
        "bff_upstream_active",
        "Calls under way, retries and waits included.",
        (),
        lambda client: {(): client.budget.active},
    ),
    ("bff_retry_budget_spent", "Retries and hedges under way.", (), lambda client: {(): client.budget.spent}),
    (
        "bff_address_pending",
        "Attempts under way.",
        ("address",),
        lambda client: {(backend.name,): backend.pending for backend in client.backends},
    ),
    (
        "bff_address_ejected",
        "1 while it is ejected.",
        ("address",),
        lambda client: {(backend.name,): backend.ejected_until is not None for backend in client.backends},
    ),
)


class _Count:
    """A counter's value for one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        self.value += amount


class _Distribution:
    """A histogram's values for one set of labels. bounds: the upper bounds of its buckets, without infinity."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, amount: float) -> None:
        # Each bucket takes what is not above its bound.
        self.counts[bisect_left(self.bounds, amount)] += 1
        self.sum += amount


class _Family(dict[tuple[str, ...], Callable[[float], None]]):
    """One metric: by the values of its labels, what adds an amount. Plain numbers, which are read when the page is
    requested: an event costs one look-up and one addition."""

    def __init__(self, name: str, help: str, labels: str, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self._described = name, help, labels.split()
        self._bounds = bounds
        self._counts: dict[tuple[str, ...], _Count] = {}
        self._distributions: dict[tuple[str, ...], _Distribution] = {}

    def __missing__(self, values: tuple[str, ...]) -> Callable[[float], None]:
        if self._bounds:
            add = self._distributions.setdefault(values, _Distribution(self._bounds)).add
        else:
            add = self._counts.setdefault(values, _Count()).add
        self[values] = add
        return add

    def metric(self) -> Metric:
        """Its values now."""
        name, help, labels = self._described
        if not self._bounds:
            counter = CounterMetricFamily(name, help, labels=labels)
            for values, count in self._counts.items():
                counter.add_metric(values, count.value)
            return counter
        histogram = HistogramMetricFamily(name, help, labels=labels)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, one in self._distributions.items():
            histogram.add_metric(values, list(zip(bounds, accumulate(one.counts), strict=True)), one.sum)
        return histogram


class _Families(Collector):
    def __init__(self, families: Iterable[_Family]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return [family.metric() for family in self._families]


class Metrics:
    """`observe` counts an event, `text` gives the page, `respond` is the endpoint, for the admin port only. kinds:
    `screen` or `command` by the method and path of a declared route."""

    def __init__(self, kinds: Mapping[tuple[str, str | None], str]) -> None:
        self._kinds = kinds
        registry = self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        add = {name: _Family(name, help, labels, bounds) for name, help, labels, bounds in _METRICS}
        registry.register(_Families(add.values()))
        # Frequent events use these without a look-up by name.
        self._requests, self._request_seconds = add["bff_requests"], add["bff_request_seconds"]
        self._attempts, self._attempt_seconds = (
            add["bff_upstream_attempts"],
            add["bff_upstream_attempt_seconds"],
        )
        self._reads, self._ages = add["bff_reads_served"], add["bff_reads_age_seconds"]
        self._on: Mapping[type[Any], Callable[[Any], None]] = {
            RequestEnded: self._request_ended,
            ScreenIncomplete: lambda e: add["bff_screen_missing_parts"][e.route,](e.missing),
            Attempted: self._attempted,
            Retried: lambda e: add["bff_upstream_retries"][e.service, e.call, e.why](1),
            CallRejected: lambda e: add["bff_upstream_rejections"][e.service, e.call, e.why](1),
            BulkheadFull: lambda e: add["bff_bulkhead_wait_seconds"][e.service, e.call](e.waited),
            Hedged: lambda e: add["bff_upstream_hedges"][e.service, e.call, str(e.won).lower()](1),
            BreakerChanged: lambda e: add["bff_breaker_moves"][e.service, e.group, e.state](1),
            Ejected: lambda e: add["bff_address_ejections"][e.service,](1),
            Readmitted: lambda e: None,
            Served: self._served,
            Shed: lambda e: add["bff_shed"][e.where,](1),
            SurrogatesReplaced: lambda e: add["bff_upstream_surrogates"][e.service, e.call](e.count),
        }

    def observe(self, event: Event) -> None:
        """An Observer: one or two additions."""
        self._on[type(event)](event)

    def _request_ended(self, event: RequestEnded) -> None:
        kind = self._kinds.get((event.method, event.route), "other")
        name = event.route or "none"
        self._requests[kind, name, str(event.status)](1)
        if name != STREAM:
            # A stream lasts until its client leaves.
            self._request_seconds[kind, name](event.seconds)

    def _attempted(self, event: Attempted) -> None:
        self._attempts[event.service, event.call, event.outcome, event.side](1)
        if event.side != "local":
            self._attempt_seconds[event.service, event.call](event.milliseconds / 1000)

    def _served(self, event: Served) -> None:
        self._reads[event.service, event.call, event.how](1)
        if event.how in ("hit", "stale"):
            self._ages[event.service, event.call](event.age)

    def watch(
        self,
        clients: Mapping[str, UpstreamClient],
        hub: Hub,
        dispatcher: EventDispatcher,
        *,
        in_flight: Callable[[], float],
        lag: Callable[[], float],
    ) -> None:
        """Show the states of these parts on the page. in_flight: requests being answered, without open streams; lag:
        seconds that the event loop is late."""
        gauges: tuple[_Gauge, ...] = (
            ("bff_requests_in_flight", "Requests being answered, without open streams.", in_flight),
            ("bff_loop_lag_seconds", "How late the event loop is.", lag),
            ("bff_streams", "Open event streams.", lambda: hub.count),
            (
                "bff_journals_waiting",
                "Journals waiting to be restored from the services.",
                lambda: hub.restoring,
            ),
        )
        self._registry.register(_States(clients, gauges, lambda: dispatcher.losses))

    def text(self) -> bytes:
        """The page, in Prometheus' text format 0.0.4."""
        page: bytes = generate_latest(self._registry)
        return page

    async def respond(self, request: Request) -> Response:
        return Response(
            self.text(), headers={"cache-control": "no-store"}, media_type=CONTENT_TYPE_PLAIN_0_0_4
        )


class _States(Collector):
    """What is read when the page is requested. losses: how often a broker dropped events."""

    def __init__(
        self,
        clients: Mapping[str, UpstreamClient],
        gauges: tuple[_Gauge, ...],
        losses: Callable[[], float],
    ) -> None:
        self._clients, self._gauges, self._losses = clients, gauges, losses

    def collect(self) -> Iterable[Metric]:
        for name, help, read in self._gauges:
            yield GaugeMetricFamily(name, help, value=read())
        yield CounterMetricFamily(
            "bff_events_losses", "How often a broker dropped events unread.", value=self._losses()
        )
        for name, help, labels, values_of in _UPSTREAM_GAUGES:
            family = GaugeMetricFamily(name, help, labels=("service", *labels))
            for service, client in self._clients.items():
                for label_values, value in values_of(client).items():
                    family.add_metric((service, *label_values), value)
            yield family
