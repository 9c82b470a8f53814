"""Counts what the gateway does, by the table of instruments.py: rate, errors and durations of screens, commands and
upstream calls, and the state of the policies between them.

`Metrics` is an observer and changes nothing. Everything is kept as plain numbers: an event costs one look-up and one
addition. The page of the admin port and OTLP read the same numbers when they are asked for. It has its own registry, so
that an application in which the gateway is mounted keeps its metrics.

Attributes are only names from the gateway's declarations (routes, services, calls, addresses), never anything that a
browser sent. In any case one instrument has at most MAX_SERIES sets of attributes; whatever comes beyond is counted
together, with every attribute `other`. Exemplars are trace ids of sampled requests, the last one of each bucket, and
only in OpenMetrics' format.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString
from starlette.requests import Request
from starlette.responses import Response

from ...live.hub import Hub
from ...live.ingest import EventDispatcher, Ingester
from ...live.saga_watch import SagaWatch
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
from ...stores.sagas import SagaStates
from ...transport.client import UpstreamClient
from .instruments import INSTRUMENTS, OTHER, Instrument
from .observers import Event, RequestEnded, ScreenIncomplete

STREAM = "/bff/live"
STATES = {"closed": 0, "half-open": 1, "open": 2}
MAX_SERIES = 5_000
"""Sets of attributes of one instrument."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"})
"""Methods that an attribute may name. Of another one, which a browser may make up, it says `_OTHER`."""

Values: TypeAlias = tuple[str, ...]
"""The values of an instrument's attributes, in its order."""
Reading: TypeAlias = Callable[[], Mapping[Values, float]]
"""Reads a state, when it is asked for."""


class Count:
    """A counter's value for one set of attributes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        self.value += amount


class Distribution:
    """A histogram's values for one set of attributes. bounds: the upper bounds of its buckets, without infinity;
    exemplars: by bucket, the value, trace id and Unix time of the last request that was sampled."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, tuple[float, str, float]] = {}

    def add_several(self, amount: float, times: int) -> None:
        self.counts[bisect_left(self.bounds, amount)] += times
        self.sum += amount * times

    def add(self, amount: float) -> None:
        # Each bucket takes what is not above its bound.
        self.counts[bisect_left(self.bounds, amount)] += 1
        self.sum += amount


class Series(dict[Values, Callable[[float], None]]):
    """What is counted of one instrument: by the values of its attributes, what adds an amount."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__()
        self.instrument = instrument
        self.counts: dict[Values, Count] = {}
        self.distributions: dict[Values, Distribution] = {}

    def __missing__(self, values: Values) -> Callable[[float], None]:
        if len(self) >= MAX_SERIES:
            # Not kept under these values: whatever is beyond the bound is one series.
            return self._add_of((OTHER,) * len(values))
        add = self[values] = self._add_of(values)
        return add

    def _add_of(self, values: Values) -> Callable[[float], None]:
        if self.instrument.kind == "counter":
            return self.counts.setdefault(values, Count()).add
        return self.distributions.setdefault(values, Distribution(self.instrument.buckets)).add

    def distribution(self, *values: str) -> Distribution:
        """The distribution for these values of its attributes, for several equal amounts at once."""
        if values not in self.distributions:
            self[values]
        return self.distributions[values]

    def keep_exemplar(self, values: Values, amount: float, trace_id: str, now: float) -> None:
        """Remember the trace of a value that was added. now: Unix seconds."""
        one = self.distributions.get(values)
        if one is not None:
            one.exemplars[bisect_left(one.bounds, amount)] = amount, trace_id, now


class Metrics:
    """`observe` counts an event, `text` gives the page, `respond` is the endpoint, for the admin port only. clock: Unix
    seconds.

    began  Unix time from which everything is counted
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.began = clock()
        self.series = {one.name: Series(one) for one in INSTRUMENTS if one.kind != "gauge"}
        self.readings: dict[str, Reading] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_Families(self))
        # Frequent events use these without a look-up by name.
        add = self.series
        self._requests = add["http.server.request.duration"]
        self._answers, self._missing = add["bff.screen.answers"], add["bff.screen.missing_parts"]
        self._attempts, self._attempt_seconds = (
            add["bff.upstream.attempts"],
            add["http.client.request.duration"],
        )
        self._reads, self._ages = add["bff.cache.reads"], add["bff.cache.age"]
        self._on: Mapping[type[Any], Callable[[Any], None]] = {
            RequestEnded: self._request_ended,
            # The end of the request says the same, and more.
            ScreenIncomplete: lambda e: None,
            Attempted: self._attempted,
            Retried: lambda e: add["bff.upstream.retries"][e.service, e.call, e.why](1),
            CallRejected: lambda e: add["bff.upstream.rejections"][e.service, e.call, e.why](1),
            BulkheadFull: lambda e: add["bff.bulkhead.wait"][e.service, e.call](e.waited),
            Hedged: lambda e: add["bff.upstream.hedges"][e.service, e.call, str(e.won).lower()](1),
            BreakerChanged: lambda e: add["bff.breaker.transitions"][e.service, e.group, e.state](1),
            Ejected: lambda e: add["bff.address.ejections"][e.service,](1),
            Readmitted: lambda e: None,
            Served: self._served,
            Shed: lambda e: add["bff.shed"][e.where,](1),
            SurrogatesReplaced: lambda e: add["bff.upstream.surrogates"][e.service, e.call](e.count),
        }

    def observe(self, event: Event) -> None:
        """An Observer: one or two additions."""
        self._on[type(event)](event)

    def _request_ended(self, event: RequestEnded) -> None:
        route, status = event.route or "", event.status
        if route == STREAM and status < 400:
            # A stream lasts until its client leaves.
            return
        method = event.method if event.method in METHODS else "_OTHER"
        error = (event.code or str(status)) if status >= 500 else ""
        values = method, route, str(status), error, event.kind
        self._requests[values](event.seconds)
        if event.is_sampled:
            self._requests.keep_exemplar(values, event.seconds, event.trace_id, self._clock())
        if event.code == "rate-limited":
            self.series["bff.limit.refusals"][route,](1)
        record = event.record
        if record is not None and event.kind == "screen":
            if status in (200, 304):
                self._answers[route, "false" if record.missing else "true"](1)
            for service, call, reason in record.missing_parts:
                self._missing[route, service, call, reason](1)

    def _attempted(self, event: Attempted) -> None:
        outcome = event.outcome
        self._attempts[event.service, event.call, outcome, event.side](1)
        if event.side != "local":
            status = "" if event.status is None else str(event.status)
            error = "" if outcome == "ok" else outcome
            self._attempt_seconds[event.service, event.call, event.method, status, error](
                event.milliseconds / 1000
            )

    def _served(self, event: Served) -> None:
        self._reads[event.service, event.call, event.how](1)
        if event.how in ("hit", "stale"):
            self._ages[event.service, event.call](event.age)

    def watch(
        self,
        clients: Mapping[str, UpstreamClient],
        hub: Hub,
        dispatcher: EventDispatcher,
        ingesters: Sequence[Ingester] = (),
        sagas: SagaWatch | None = None,
        *,
        in_flight: Callable[[], float],
        lag: Callable[[], float],
    ) -> None:
        """Show the states of these parts. in_flight: requests being answered, without open streams; lag: seconds that
        the event loop is late."""

        def states(of: Callable[[SagaStates], float]) -> Reading:
            return lambda: {} if sagas is None else {(name,): of(one) for name, one in sagas.states.items()}

        def upstreams(of: Callable[[UpstreamClient], Mapping[Values, float]]) -> Reading:
            return lambda: {
                (service, *values): value
                for service, client in clients.items()
                for values, value in of(client).items()
            }

        self.readings |= {
            "http.server.active_requests": lambda: {(): in_flight()},
            "bff.loop.lag": lambda: {(): lag()},
            "bff.stream.open": lambda: {(): hub.count},
            "bff.journals.waiting": lambda: {(): hub.restoring},
            "bff.events.oldest_unread": lambda: {
                (one.name,): age for one in ingesters if (age := one.oldest_unread) is not None
            },
            "bff.saga.open": states(lambda one: one.open),
            "bff.saga.oldest": states(lambda one: one.oldest),
            "bff.saga.needs_attention": states(lambda one: one.attention),
            "bff.events.losses": lambda: {(): dispatcher.losses},
            "bff.events.dead_letters": lambda: {
                (reason,): count for reason, count in dispatcher.dead_letters.items()
            },
            "bff.breaker.state": upstreams(
                lambda client: {key: STATES[breaker.state] for key, breaker in client.breakers}
            ),
            "bff.bulkhead.used": upstreams(lambda client: {(): client.permits.bulkhead.used}),
            "bff.bulkhead.limit": upstreams(lambda client: {(): client.permits.bulkhead.rule.permits}),
            "bff.bulkhead.waiting": upstreams(lambda client: {(): client.permits.bulkhead.waiting}),
            "bff.upstream.active": upstreams(lambda client: {(): client.budget.active}),
            "bff.retry_budget.spent": upstreams(lambda client: {(): client.budget.spent}),
            "bff.address.pending": upstreams(
                lambda client: {(backend.name,): backend.pending for backend in client.backends}
            ),
            "bff.address.ejected": upstreams(
                lambda client: {
                    (backend.name,): backend.ejected_until is not None for backend in client.backends
                }
            ),
        }

    def read(self) -> Iterator[tuple[Instrument, Mapping[Values, float | Distribution]]]:
        """Every instrument with its values now, by the values of its attributes."""
        for instrument in INSTRUMENTS:
            reading, series = self.readings.get(instrument.name), self.series.get(instrument.name)
            if reading is not None:
                yield instrument, reading()
            elif series is not None and instrument.kind == "counter":
                yield instrument, {values: count.value for values, count in series.counts.items()}
            elif series is not None:
                yield instrument, series.distributions

    def text(self, accept: str = "") -> bytes:
        """The page, in the format that an Accept header asks for: Prometheus' text format 0.0.4, or OpenMetrics."""
        return self._page(accept)[0]

    async def respond(self, request: Request) -> Response:
        page, media_type = self._page(request.headers.get("accept", ""))
        headers = {"cache-control": "no-store", "vary": "accept", "content-type": media_type}
        return Response(page, headers=headers)

    def _page(self, accept: str) -> tuple[bytes, str]:
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class LiveMetrics:
    """Counts what live updates report: a `LiveObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._add = metrics.series
        self._lag = metrics.series["bff.stream.lag"].distribution()

    def on_joined(self) -> None:
        self._add["bff.stream.joins"][()](1)

    def on_reset(self, reason: str) -> None:
        self._add["bff.stream.resets"][reason,](1)

    def on_stream_ended(self, reason: str) -> None:
        self._add["bff.stream.ends"][reason,](1)

    def on_written(self, seconds: float, streams: int) -> None:
        self._lag.add_several(seconds, streams)

    def on_saga_ended(self, saga: str, outcome: str, seconds: float | None) -> None:
        self._add["bff.saga.ended"][saga, outcome](1)
        if seconds is not None:
            self._add["bff.saga.duration"][saga, outcome](seconds)


class _Families(Collector):
    """What Prometheus' client writes as a page."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        for instrument, values in self._metrics.read():
            yield _family(instrument, values)


def _family(instrument: Instrument, values: Mapping[Values, Any]) -> Metric:
    name, help, labels = instrument.family, instrument.meaning.replace("`", ""), instrument.labels
    if instrument.kind == "histogram":
        histogram = HistogramMetricFamily(name, help, labels=labels)
        bounds = [*map(floatToGoString, instrument.buckets), "+Inf"]
        for given, one in values.items():
            sums = accumulate(one.counts)
            buckets = [
                (bound, count)
                if latest is None
                else (bound, count, Exemplar({"trace_id": latest[1]}, *latest[::2]))
                for bound, count, latest in zip(
                    bounds, sums, map(one.exemplars.get, range(len(bounds))), strict=True
                )
            ]
            histogram.add_metric(given, buckets, one.sum)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    family = (CounterMetricFamily if instrument.kind == "counter" else GaugeMetricFamily)(
        name, help, labels=labels
    )
    for given, value in values.items():
        family.add_metric(given, value)
    return family
