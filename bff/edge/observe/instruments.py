"""Every metric of the gateway, declared once: name, kind, unit, attributes, buckets and meaning.

`metrics.py` counts by this table, the page of the admin port and OTLP are made from it, and
docs/reference/metrics.md is written from it (`bff metrics`). Names and attributes are OpenTelemetry's; the name and
labels in Prometheus follow from them by the OTel translation. An instrument that is not in this table does not exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max", "each"]
"""How the gauges of several workers become one page. sum: they are added up; max: the largest; each: every worker's
own, with the label `worker`. Counters and histograms are always added up."""

# Seconds. From a cached part to the longest deadline; what OpenTelemetry advises for HTTP, and two below it.
DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
AGES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
# Seconds. Frames of 60 Hz, what people notice, and the longest that is taken.
PAINTS = (0.017, 0.034, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
# The limits of "good" and "poor" of all three are among them: LCP 2.5 s and 4 s, INP 0.2 s and 0.5 s, CLS 0.1 and 0.25.
VITALS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 1.8, 2.5, 4.0, 10.0)
LAGS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SAGAS_LAST = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)
OTHER = "other"
"""What an attribute says in place of a value that is not declared."""

# Units of UCUM, as OpenTelemetry writes them; what stands in braces is a note, and no part of a Prometheus name.
_UNITS = {"s": "seconds"}
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    name        OpenTelemetry's
    kind        counter (only grows), gauge (a state), histogram
    unit        as OpenTelemetry writes it: `s`, or what is counted in braces
    attributes  names of its attributes
    meaning     one or more sentences
    buckets     upper bounds of a histogram, without infinity
    across      how the gauges of several workers are put together
    since       version of the gateway that has it first under this name
    """

    name: str
    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()
    across: Across = "sum"
    since: str = "0.1.0"

    @property
    def family(self) -> str:
        """The name of its family in Prometheus: without the `_total` of a counter."""
        name, unit = _NO_NAME.sub("_", self.name), _UNITS.get(self.unit)
        return name if unit is None else f"{name}_{unit}"

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus. A histogram's samples end with `_bucket`, `_sum` and `_count`."""
        return f"{self.family}_total" if self.kind == "counter" else self.family

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels in Prometheus."""
        return tuple(_NO_NAME.sub("_", name) for name in self.attributes)


def _counter(name: str, unit: str, attributes: str, meaning: str) -> Instrument:
    return Instrument(name, "counter", unit, tuple(attributes.split()), meaning)


def _histogram(
    name: str, attributes: str, meaning: str, buckets: tuple[float, ...] = DURATIONS
) -> Instrument:
    return Instrument(name, "histogram", "s", tuple(attributes.split()), meaning, buckets)


def _gauge(name: str, unit: str, attributes: str, meaning: str, across: Across = "sum") -> Instrument:
    return Instrument(name, "gauge", unit, tuple(attributes.split()), meaning, across=across)


_CALL = "bff.service bff.call"

REQUESTS = (
    _histogram(
        "http.server.request.duration",
        "http.request.method http.route http.response.status_code error.type bff.kind",
        "From a request's arrival to the end of its answer. Streams that were opened are not in it. `http.route` is "
        "the declared path, empty where none answered; `error.type` the problem's code, for statuses from 500 on; "
        "`bff.kind` is screen, command, forward or other. Status 499: the client left before there was an answer. An "
        "unknown method is `_OTHER`.",
    ),
    _gauge("http.server.active_requests", "{request}", "", "Requests being answered, without open streams."),
    _counter(
        "bff.screen.answers",
        "{answer}",
        "http.route bff.complete",
        "Screens answered with 200 or 304. `bff.complete` is false if an optional part was missing.",
    ),
    _counter(
        "bff.screen.missing_parts",
        "{part}",
        f"http.route {_CALL} bff.reason",
        "Optional parts that were missing, by the call that failed and the reason of docs/contract.md. "
        "`bff.service` is `gateway` and `bff.call` is empty for a part that ran out of time before it called anything.",
    ),
    _counter(
        "bff.limit.refusals",
        "{request}",
        "http.route",
        "Requests refused with 429 `rate-limited` because the caller had used up the limit of the route.",
    ),
    _counter(
        "bff.shed",
        "{request}",
        "bff.where",
        "What admission left undone under load: `request` was refused, or answered without its `optional` parts.",
    ),
    _gauge("bff.loop.lag", "s", "", "How late the event loop is.", "each"),
)
CALLS = (
    _histogram(
        "http.client.request.duration",
        f"{_CALL} http.request.method http.response.status_code error.type",
        "Attempts that were sent to a service, each retry and hedge by itself, until the whole answer was there. "
        "`error.type` is the outcome where it is not `ok`; the status is empty without an answer.",
    ),
    _counter(
        "bff.upstream.attempts",
        "{attempt}",
        f"{_CALL} bff.outcome bff.side",
        "Attempts by their outcome and by what ended them. `bff.side` is local (the gateway did not send it), client "
        "(the request's deadline, or the client left) or origin (the service answered or failed).",
    ),
    _counter(
        "bff.upstream.retries",
        "{attempt}",
        f"{_CALL} bff.reason",
        "Attempts after the first, by the reason or status of the one before.",
    ),
    _counter(
        "bff.upstream.rejections",
        "{call}",
        f"{_CALL} bff.reason",
        "Calls that were not sent, or not retried: deadline, circuit-open, bulkhead or retry-budget.",
    ),
    _counter(
        "bff.upstream.hedges",
        "{attempt}",
        f"{_CALL} bff.won",
        "Second copies of slow reads; `bff.won` is true when its answer was used.",
    ),
    _gauge("bff.upstream.active", "{call}", "bff.service", "Calls under way, with their retries and waits."),
    _counter(
        "bff.upstream.surrogates",
        "{character}",
        _CALL,
        "Lone surrogates in answers that became U+FFFD.",
    ),
    _counter(
        "bff.breaker.transitions",
        "{transition}",
        "bff.service bff.group bff.state",
        "Changes of a breaker's state, by the new state: closed, half-open or open.",
    ),
    _gauge(
        "bff.breaker.state",
        "{state}",
        "bff.service bff.group bff.address",
        "0 closed, 1 half-open, 2 open. A breaker exists from its first call on.",
        "each",
    ),
    _gauge("bff.bulkhead.used", "{permit}", "bff.service", "Permits in use."),
    _gauge("bff.bulkhead.limit", "{permit}", "bff.service", "Permits in all."),
    _gauge("bff.bulkhead.waiting", "{call}", "bff.service", "Calls waiting for a permit."),
    _histogram(
        "bff.bulkhead.wait",
        _CALL,
        "Time waited in vain: for a permit that did not come free. 0 where the queue was full.",
    ),
    _counter("bff.address.ejections", "{ejection}", "bff.service", "Addresses left out for a while."),
    _gauge("bff.address.ejected", "{address}", "bff.service bff.address", "1 while it is left out.", "each"),
    _gauge("bff.address.pending", "{attempt}", "bff.service bff.address", "Attempts under way."),
    _gauge("bff.retry_budget.spent", "{attempt}", "bff.service", "Retries and hedges under way."),
    _counter(
        "bff.cache.reads",
        "{read}",
        f"{_CALL} bff.result",
        "Reads with a cache or coalescing: hit, stale, revalidated, miss or coalesced.",
    ),
    _histogram("bff.cache.age", _CALL, "Age of the answers that the cache gave.", AGES),
)
TRACES = (
    _counter(
        "bff.traces.dropped",
        "{request}",
        "",
        "Failed, slow or incomplete requests whose traces were not exported after the fact, because of the bound.",
    ),
)

LIVE = (
    _gauge("bff.stream.open", "{stream}", "", "Open event streams."),
    _counter(
        "bff.stream.joins",
        "{join}",
        "",
        "How often a stream got its state or history: at its beginning, and again after it had to read the journal.",
    ),
    _counter(
        "bff.stream.resets",
        "{reset}",
        "bff.reason",
        "How often a client got the whole state, because it could not continue: its cursor is none (cursor), the "
        "journal was trimmed, lost or is another one (journal), or it did not read what was sent (slow).",
    ),
    _counter(
        "bff.stream.ends",
        "{stream}",
        "bff.reason",
        "Streams that ended: by a `bye` (expired, logout, age, drain or limit), because the client left (client) or "
        "did not read (stalled).",
    ),
    _histogram(
        "bff.stream.lag",
        "",
        "From the time in a saga's event, which is its service's, until a stream's connection took it; each stream "
        "counts. A client that reads slowly counts once for all that waited, with the oldest event. Statuses that are "
        "restored from a service count with their own time. Values are not in it.",
        LAGS,
    ),
    _gauge(
        "bff.events.oldest_unread",
        "s",
        "bff.source",
        "How long the oldest unread event of a broker has waited; only the process that reads it reports it. 0 while "
        "everything is read; while the broker cannot be read, the time since it was read to its end, the most that it "
        "can be. Redis and NATS say when they took an event; of RabbitMQ it is the time that the publisher set, or "
        "that of the read: how long a message without one was in its queue is not known. Events sent by HTTP wait "
        "nowhere.",
        "max",
    ),
    _counter("bff.events.losses", "{loss}", "", "How often a broker dropped events unread."),
    _counter(
        "bff.events.dead_letters",
        "{event}",
        "bff.reason",
        "Events that could not be used, by what is wrong. docs/events.md lists the reasons.",
    ),
    _gauge(
        "bff.journals.waiting",
        "{journal}",
        "",
        "Journals waiting to be restored from the services.",
    ),
)
SAGAS = (
    _gauge(
        "bff.saga.open",
        "{saga}",
        "bff.saga",
        "Sagas that have begun and not ended, by the events that gateways have read; a saga whose command was answered "
        "and whose first event has not come is not in it. Looked up every 5 s. Of the 50,000 sagas of a type with the "
        "newest events, for 30 days after the last one.",
        "max",
    ),
    _gauge(
        "bff.saga.oldest",
        "s",
        "bff.saga",
        "Time since the first event of the open saga that began first.",
        "max",
    ),
    _gauge(
        "bff.saga.needs_attention",
        "{saga}",
        "bff.saga",
        "Open sagas whose last status is NEEDS_ATTENTION.",
        "max",
    ),
    _counter(
        "bff.saga.ended",
        "{saga}",
        "bff.saga bff.outcome",
        "Ends of sagas: confirmed (COMPLETED), compensated (COMPENSATED) or failed (REJECTED). The process counts that "
        "reads the event, each once over all processes. A saga that goes on after its end counts again when it ends "
        "again. Ends that were only restored from a service are not in it.",
    ),
    _histogram(
        "bff.saga.duration",
        "bff.saga bff.outcome",
        "From the time in a saga's first event to that in its last one, by the service's clock. Sagas whose first "
        "event is also their last, or was not read, are not in it.",
        SAGAS_LAST,
    ),
)

_WORD = "As browsers report it: never page somebody for it."

BROWSER = (
    _histogram(
        "bff.browser.duration",
        "http.route bff.phase",
        f"From the click until the phase of a command was painted: optimistic, answer or final. {_WORD}",
        PAINTS,
    ),
    Instrument(
        "bff.browser.vitals",
        "histogram",
        "1",
        ("http.route", "bff.vital"),
        f"Web vitals of screens: `lcp` and `inp` in seconds, `cls` as its score. {_WORD}",
        VITALS,
    ),
    _counter(
        "bff.browser.reports",
        "{report}",
        "bff.result",
        "Mutations and screens that browsers reported, by what became of the report: taken, repeated, unknown, "
        "unknown-route, invalid, surplus, unavailable.",
    ),
)

HEALTH = (
    _gauge(
        "bff.ready",
        "{state}",
        "",
        "1: the process takes traffic; 0: it is stopping, or a part of it has died.",
        "each",
    ),
    _gauge("bff.redis.up", "{state}", "", "1: Redis answers; 0: it is away or refuses commands.", "each"),
)

SLOS = (
    _counter("bff.slo.events", "{request}", "bff.slo", "Requests that count for an SLO."),
    _counter("bff.slo.good", "{request}", "bff.slo", "Those of them that were good."),
    _counter(
        "bff.slo.excluded",
        "{request}",
        "bff.slo bff.reason",
        "Requests that do not count for an SLO; reason: left (the client left before the answer), refused (4xx), "
        "unmeasured (nobody was there to see the outcome).",
    ),
)

WORKER_UP = _gauge("bff.worker.up", "{worker}", "worker", "1: the worker answers; 0: it does not.", "each")
WORKER_RESTARTS = _counter(
    "bff.worker.restarts", "{restart}", "worker", "How often a worker was started again after its death."
)

INSTRUMENTS = (*REQUESTS, *CALLS, *LIVE, *SAGAS, *TRACES, *BROWSER, *HEALTH, *SLOS)
"""What every process counts."""
GROUPS = {
    "Requests of browsers and API clients": REQUESTS,
    "Calls to services": CALLS,
    "Live updates and events": LIVE,
    "Sagas": SAGAS,
    "What browsers report": BROWSER,
    "Traces": TRACES,
    "Health": HEALTH,
    "Service level objectives": SLOS,
    "Several workers": (WORKER_UP, WORKER_RESTARTS),
}
"""Every instrument, by what it is about. The last ones are those of the parent process of several workers."""
