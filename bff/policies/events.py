"""Policy events: frozen records of what a policy did, for metrics, logs and observers.

An observer is called inside the request and must be quick. What it raises is logged and has no other effect. All
durations are in seconds unless the field says milliseconds. `service` is the upstream, `call` the name of the call
(``Catalog.product``), `address` where the call was sent (scheme, host and port).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

log = logging.getLogger("bff.upstreams")

LOG_EVERY = 60.0
"""Seconds between two log lines about an observer that raises repeatedly."""

Side = Literal["local", "client", "origin"]
"""What ended an attempt. local: the gateway did not send it; client: the request's deadline or the client's disconnect;
origin: the upstream answered or failed."""

State = Literal["closed", "open", "half-open"]


class Attempted(Struct, frozen=True):
    """One attempt has ended. outcome: ``ok``, ``throttled`` (429), ``cancelled``, or a reason of docs/contract.md;
    address: empty when none was chosen; method: of the request; status: of the answer, None without one."""

    service: str
    call: str
    address: str
    milliseconds: float
    outcome: str
    side: Side
    method: str = ""
    status: int | None = None


class Retried(Struct, frozen=True):
    """Attempt number `attempt` (2 is the first retry) begins in `delay` seconds. why: the reason or the status of the
    attempt before."""

    service: str
    call: str
    attempt: int
    delay: float
    why: str


class CallRejected(Struct, frozen=True):
    """A call was not sent, or not retried. why: ``deadline``, ``circuit-open``, ``bulkhead`` or ``retry-budget``."""

    service: str
    call: str
    why: str


class BreakerChanged(Struct, frozen=True):
    """A breaker changed its state. group: the name of its calls; open_for: seconds that it is open, otherwise 0."""

    service: str
    group: str
    address: str
    state: State
    open_for: float


class BulkheadFull(Struct, frozen=True):
    """A call got no permit. waited: seconds in the queue, 0 when the queue was full."""

    service: str
    call: str
    waited: float


class Hedged(Struct, frozen=True):
    """A second copy of a read was sent. won: True when its answer was used."""

    service: str
    call: str
    won: bool


class Ejected(Struct, frozen=True):
    """An address gets no calls for a while. until: monotonic seconds."""

    service: str
    address: str
    until: float


class Readmitted(Struct, frozen=True):
    """An ejected address gets calls again."""

    service: str
    address: str


class Served(Struct, frozen=True):
    """A read was answered by the cache or by coalescing. age: seconds since the upstream made the answer, 0 for a new
    one."""

    service: str
    call: str
    how: Literal["hit", "stale", "revalidated", "miss", "coalesced"]
    age: float


class Shed(Struct, frozen=True):
    """Admission rejected a request or left out optional parts. where: ``request`` or ``optional``; lag: delay of the
    event loop in seconds; in_flight: requests in progress."""

    where: Literal["request", "optional"]
    lag: float
    in_flight: int


class SurrogatesReplaced(Struct, frozen=True):
    """An answer had this many lone surrogates; each was replaced by U+FFFD."""

    service: str
    call: str
    count: int


PolicyEvent: TypeAlias = (
    Attempted
    | Retried
    | CallRejected
    | BreakerChanged
    | BulkheadFull
    | Hedged
    | Ejected
    | Readmitted
    | Served
    | Shed
    | SurrogatesReplaced
)

Observer: TypeAlias = Callable[[PolicyEvent], None]


def ignore(event: PolicyEvent) -> None:
    """An observer that does nothing."""


class Guarded:
    """Combines observers into one that never raises. It calls each of them. What one raises is logged, at most once in
    `LOG_EVERY` seconds for each observer, with the number of times since the last log line. clock: monotonic
    seconds."""

    __slots__ = ("_clock", "_failures", "_observers")

    def __init__(
        self, *observers: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._observers = observers
        self._clock = clock
        # By observer: how often it has raised since the last log line, and the time before which no other is written.
        self._failures: dict[Callable[[Any], None], tuple[int, float]] = {}

    def __call__(self, event: Any) -> None:
        for observe in self._observers:
            try:
                observe(event)
            except Exception as error:
                raised, quiet_until = self._failures.get(observe, (0, float("-inf")))
                raised, now = raised + 1, self._clock()
                if now >= quiet_until:
                    log.error(
                        "an observer raised %d times, the last time for %s",
                        *(raised, type(event).__name__),
                        exc_info=error,
                    )
                    raised, quiet_until = 0, now + LOG_EVERY
                self._failures[observe] = raised, quiet_until


def guarded(observe: Observer) -> Observer:
    """The observer, wrapped so that it never raises. `ignore` and a `Guarded` are returned unchanged."""
    return observe if observe is ignore or isinstance(observe, Guarded) else Guarded(observe)
