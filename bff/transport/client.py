"""One upstream at run time: where it is, and what protects it and us from each other.

A lane holds state and decides nothing: breakers for each endpoint group and address, permits, the retry budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..policies.balance import Backend
from ..policies.breaker import Breaker, BreakerRule
from ..policies.bulkhead import BulkheadRule
from ..policies.events import BreakerMoved, Observer, State, guarded, ignore
from ..policies.retry import Budget, RetryRule
from .headers import USERS_TOKEN, Credentials
from .permits import Permits
from .wire import Answer, Wire

# Groups are a gateway's methods and addresses come and go with DNS: beyond this the oldest closed ones are forgotten.
MOST_BREAKERS = 2048
RECOVERY_FAILURES = 20
"""Failures in a row that open recovery's breaker, and calls in its window before their share may."""
RECOVERY_RATE = 0.9
"""Share of failed calls that does."""


class Hedge(Protocol):
    """Sends a second copy of a slow read: see `Hedging`."""

    async def make(self, attempts: Any, walk: Any, backend: Any, breaker: Breaker) -> Answer:
        """One attempt, or two of which the first good answer is taken."""
        ...


class BackendSet(Protocol):
    """Where an upstream is: `DynamicBackends`, or one place that never changes."""

    def pick(self, avoid: Backend[Wire] | None = None) -> Backend[Wire]:
        """Where to send; `avoid` only where there is no other."""

    def succeeded(self, address: Backend[Wire]) -> None:
        """It answered, whatever it said."""

    def failed(self, address: Backend[Wire]) -> None:
        """It did not answer, or answered that it is broken."""

    def __iter__(self) -> Iterator[Backend[Wire]]:
        """Every address there is now."""

    def start(self) -> None:
        """Keep them up to date until `close`."""

    async def close(self) -> None:
        """Close every connection."""


class SingleBackend:
    """A single address that is never left out."""

    def __init__(self, wire: Wire, name: str = "") -> None:
        self._address = Backend(name, wire)

    def pick(self, avoid: Backend[Wire] | None = None) -> Backend[Wire]:
        return self._address

    def succeeded(self, address: Backend[Wire]) -> None:
        pass

    def failed(self, address: Backend[Wire]) -> None:
        pass

    def __iter__(self) -> Iterator[Backend[Wire]]:
        yield self._address

    def start(self) -> None:
        pass

    async def close(self) -> None:
        await self._address.wire.close()


class Breakers:
    """One for each (group, address), made when it is first asked for. The group is the call's name, so that one bad
    endpoint does not close the others. Recovery has groups of its own: for a person a service that fails half of the
    time is not worth waiting for, to a queue that restores journals it is good progress; and what the one finds out
    neither opens nor closes the other's."""

    def __init__(
        self,
        service: str,
        rule: BreakerRule,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = ignore,
    ) -> None:
        self.rule = rule
        self._recovery = replace(
            rule,
            failures=max(rule.failures, RECOVERY_FAILURES),
            error_rate=max(rule.error_rate, RECOVERY_RATE),
            minimum=max(rule.minimum, RECOVERY_FAILURES),
        )
        self._service = service
        self._clock = clock
        self._observe = guarded(observe)
        self._all: dict[tuple[str, str], Breaker] = {}

    def of(self, group: str, address: str, *, recovery: bool = False) -> Breaker:
        """The breaker of this group at this address."""
        key = (f"{group} (recovery)" if recovery else group, address)
        found = self._all.get(key)
        return found if found is not None else self._new(key, self._recovery if recovery else self.rule)

    def _new(self, key: tuple[str, str], rule: BreakerRule) -> Breaker:
        if len(self._all) >= MOST_BREAKERS:
            forgotten = next((one for one, breaker in self._all.items() if breaker.state == "closed"), None)
            del self._all[forgotten or next(iter(self._all))]

        def moved(state: State, open_for: float) -> None:
            self._observe(BreakerMoved(self._service, *key, state, open_for))

        made = self._all[key] = Breaker(rule, self._clock, moved)
        return made

    def __iter__(self) -> Iterator[tuple[tuple[str, str], Breaker]]:
        return iter(list(self._all.items()))


@dataclass(slots=True)
class UpstreamClient:
    """places: its addresses; breakers, permits, budget: its protection; retry: how often; timeout: seconds for one
    attempt; hedge: sends a second copy of slow reads, None: nothing does; credentials: by what it knows who asks."""

    backends: BackendSet
    breakers: Breakers
    timeout: float = 1.0
    retry: RetryRule = field(default_factory=RetryRule)
    permits: Permits = field(default_factory=lambda: Permits(BulkheadRule()))
    budget: Budget = field(default_factory=Budget)
    hedge: Hedge | None = None
    credentials: Credentials = USERS_TOKEN

    @property
    def circuit(self) -> State:
        """The worst state of its breakers: what a page shows for the whole upstream."""
        states = {breaker.state for _, breaker in self.breakers}
        return "open" if "open" in states else "half-open" if "half-open" in states else "closed"
