"""What a policy did, as frozen facts that metrics and logs observe. A event changes nothing and is never awaited.

Every shell takes `observe: Observer = ignore` and guards it: an observer runs inside the call and must be quick, but
one that raises is logged and changes nothing.
All durations are seconds unless the field says milliseconds. `service` is the upstream, `call` the call's name
(``Catalog.product``), `address` where it went (scheme, host and port).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

log = logging.getLogger("bff.upstreams")

LOG_EVERY = 60.0
"""Seconds between two log lines of an observer that keeps raising."""

Side = Literal["local", "client", "origin"]
"""Who ended an attempt: we did before sending, the browser's hurry did, or the upstream failed or answered."""

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt is over. outcome: ``ok``, a contract reason, or ``cancelled``; address: empty if none was chosen."""

    service: str
    call: str
    address: str
    milliseconds: float
    outcome: str
    side: Side


@dataclass(frozen=True, slots=True)
class Retried:
    """Attempt number `attempt` (2 is the first retry) begins after waiting `delay`. why: the contract's reason."""

    service: str
    call: str
    attempt: int
    delay: float
    why: str


@dataclass(frozen=True, slots=True)
class CallRejected:
    """Not sent, or not sent again. why: ``deadline``, ``circuit-open``, ``bulkhead`` or ``retry-budget``."""

    service: str
    call: str
    why: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A breaker changed its state. group: the call's name; open_for: seconds, 0 unless it opened."""

    service: str
    group: str
    address: str
    state: State
    open_for: float


@dataclass(frozen=True, slots=True)
class BulkheadFull:
    """No permit came free. waited: seconds spent in the queue, 0 when the queue itself was full."""

    service: str
    call: str
    waited: float


@dataclass(frozen=True, slots=True)
class Hedged:
    """A second copy of a read was sent. won: it answered first."""

    service: str
    call: str
    won: bool


@dataclass(frozen=True, slots=True)
class Ejected:
    """An address is left out of the balance. until: moment on the monotonic clock."""

    service: str
    address: str
    until: float


@dataclass(frozen=True, slots=True)
class Readmitted:
    """An ejected address takes part again."""

    service: str
    address: str


@dataclass(frozen=True, slots=True)
class Served:
    """A read's answer as the cache or the coalescer gave it. age: seconds since it left the upstream, 0 if just now."""

    service: str
    call: str
    how: Literal["hit", "stale", "revalidated", "miss", "coalesced"]
    age: float


@dataclass(frozen=True, slots=True)
class Shed:
    """Admission refused work. where: ``request`` or ``optional``; lag: the loop's, seconds; in_flight: requests."""

    where: Literal["request", "optional"]
    lag: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class SurrogatesReplaced:
    """An answer had this many halves of a surrogate pair on their own; each became U+FFFD."""

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
    """The observer that observes nothing."""


class Guarded:
    """Observers as one that never raises: it calls each of them, and logs what one raises, at most once in `LOG_EVERY`
    seconds for each, with the number of times since. clock: monotonic seconds."""

    __slots__ = ("_clock", "_failures", "_observers")

    def __init__(
        self, *observers: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._observers = observers
        self._clock = clock
        # By observer: how often it has raised since the last log line, and until when there is no other one.
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
    """The observer made safe to call inside a call; one that already is, or that observes nothing, is given back."""
    return observe if observe is ignore or isinstance(observe, Guarded) else Guarded(observe)
