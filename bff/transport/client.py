"""One upstream at run time: its backends, and the state of the policies for calls to it.

This file makes no decisions. Breakers, bulkhead and retry budget are policies (bff/policies), which pipeline.py asks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from msgspec import Struct

from ..calls import Call, RequestContext, TimeLimit
from ..policies.balance import Backend
from ..policies.breaker import Breaker, BreakerRule
from ..policies.bulkhead import Bulkhead, BulkheadRule
from ..policies.events import BreakerChanged, Observer, State, guarded, ignore
from ..policies.retry import RetryBudget, RetryRule
from .exchanges import Exchanges
from .request import USER_TOKEN, Credentials
from .traces import CallTrace
from .wire import Wire, WireConnectionError, WireResponse

MAX_BREAKERS = 2048
"""Breakers of one upstream. DNS adds and removes backends; beyond this number the oldest closed breaker is dropped."""
RECOVERY_FAILURES = 20
"""Consecutive failures that open a recovery breaker, and the calls in its window before their share may open it."""
RECOVERY_RATE = 0.9
"""Share of failed calls that opens a recovery breaker."""
RECOVERY_OPEN = (0.5, 1.0)
"""Seconds that it stays open the first time, and at most: a probe is a light load for a service, and journals wait."""


class BackendSet(Protocol):
    """The backends of one upstream: `DynamicBackends`, or a `SingleBackend` that never changes."""

    def pick(self, avoid: Backend[Wire] | None = None) -> Backend[Wire]:
        """The backend for the next attempt; `avoid` only when there is no other."""

    def record_success(self, backend: Backend[Wire]) -> None:
        """It responded, with any status that is not a failure."""

    def record_failure(self, backend: Backend[Wire]) -> None:
        """It did not respond, or its response says that it does not work."""

    def exchanges(self, backend: Backend[Wire]) -> Exchanges:
        """The streaming side of a backend, for forwards. Raises WireConnectionError where there is none: the backend
        was closed, or nothing is forwarded to it."""

    def __iter__(self) -> Iterator[Backend[Wire]]:
        """All current backends."""

    async def start(self) -> None:
        """Resolve the addresses, and update the set until `close`."""

    async def close(self) -> None:
        """Close every connection."""


class SingleBackend:
    """A single backend that is never ejected."""

    def __init__(self, wire: Wire, name: str = "") -> None:
        self._backend = Backend(name, wire)

    def pick(self, avoid: Backend[Wire] | None = None) -> Backend[Wire]:
        return self._backend

    def record_success(self, backend: Backend[Wire]) -> None:
        pass

    def record_failure(self, backend: Backend[Wire]) -> None:
        pass

    def exchanges(self, backend: Backend[Wire]) -> Exchanges:
        raise WireConnectionError("nothing is forwarded to it", stale=False)

    def __iter__(self) -> Iterator[Backend[Wire]]:
        yield self._backend

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        await self._backend.wire.close()


class Breakers:
    """One breaker for each (group, backend), made at its first use. The group is the call's name, so that one failing
    endpoint does not open the breakers of the others.

    Calls that restore journals (`restoring`) have separate breakers with higher thresholds, which stay open for a
    shorter time. A person does not want to wait for a service that fails half of its calls, but the queue that restores
    journals makes good progress with it. Neither kind of breaker affects the other.
    """

    def __init__(
        self,
        service: str,
        rule: BreakerRule,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = ignore,
    ) -> None:
        self.rule = rule
        self._recovery_rule = replace(
            rule,
            failures=max(rule.failures, RECOVERY_FAILURES),
            error_rate=max(rule.error_rate, RECOVERY_RATE),
            minimum=max(rule.minimum, RECOVERY_FAILURES),
            open_for=min(rule.open_for, RECOVERY_OPEN[0]),
            open_at_most=min(rule.open_at_most, RECOVERY_OPEN[1]),
        )
        self._service = service
        self._clock = clock
        self._observe = guarded(observe)
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def of(self, group: str, backend: str, *, restoring: bool = False) -> Breaker:
        """The breaker of this group at the backend of this name."""
        key = (f"{group} (recovery)" if restoring else group, backend)
        breaker = self._breakers.get(key)
        return (
            breaker
            if breaker is not None
            else self._add(key, self._recovery_rule if restoring else self.rule)
        )

    def _add(self, key: tuple[str, str], rule: BreakerRule) -> Breaker:
        if len(self._breakers) >= MAX_BREAKERS:
            closed = (known for known, breaker in self._breakers.items() if breaker.state == "closed")
            del self._breakers[next(closed, None) or next(iter(self._breakers))]

        def on_move(state: State, open_for: float) -> None:
            self._observe(BreakerChanged(self._service, *key, state, open_for))

        breaker = self._breakers[key] = Breaker(rule, self._clock, on_move)
        return breaker

    def __iter__(self) -> Iterator[tuple[tuple[str, str], Breaker]]:
        return iter(list(self._breakers.items()))


class Permits:
    """The queue of one upstream's bulkhead: callers wait in order and for a bounded time, and no permit is lost. A
    caller that is cancelled just when it gets a permit gives it to the next one.

    rule  the number of permits, of waiting callers, and the seconds that they wait
    """

    __slots__ = ("_queue", "bulkhead")

    def __init__(self, rule: BulkheadRule) -> None:
        self.bulkhead = Bulkhead(rule)
        self._queue: deque[asyncio.Future[None]] = deque()

    async def wait(self, limit: TimeLimit) -> bool:
        """Wait for a permit, after `bulkhead.acquire()` has returned ``queued``. True: the caller has a permit; False:
        the time limit was reached first."""
        granted = asyncio.get_running_loop().create_future()
        self._queue.append(granted)
        try:
            with limit:
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                # The permit was granted just as the wait ended. After a timeout the caller still uses it.
                if isinstance(error, TimeoutError):
                    return True
                self.release()
                raise
            if granted in self._queue:
                self._queue.remove(granted)
                self.bulkhead.leave_queue()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def release(self) -> None:
        """Return a permit. The caller that has waited longest gets it."""
        while self._queue:
            granted = self._queue.popleft()
            if granted.done():
                # Its caller was cancelled and has not noticed it yet.
                self.bulkhead.leave_queue()
            elif self.bulkhead.release():
                granted.set_result(None)
                return
        self.bulkhead.release()


@dataclass(slots=True)
class UpstreamClient:
    """One upstream. breakers, permits, retry, budget: its policies and their state; timeout: seconds for one attempt;
    hedge: sends a second copy of slow reads, None: reads are not hedged; credentials: how the user is identified to
    it; headers: of every request to it."""

    backends: BackendSet
    breakers: Breakers
    timeout: float = 1.0
    retry: RetryRule = field(default_factory=RetryRule)
    permits: Permits = field(default_factory=lambda: Permits(BulkheadRule()))
    budget: RetryBudget = field(default_factory=RetryBudget)
    hedge: Hedge | None = None
    credentials: Credentials = USER_TOKEN
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def circuit(self) -> State:
        """The worst state of its breakers: open, then half-open, then closed."""
        states = {breaker.state for _, breaker in self.breakers}
        return "open" if "open" in states else "half-open" if "half-open" in states else "closed"


class CallContext(Struct):
    """What one call carries through the pipeline. request: the context of its request; conditions: further request
    headers such as `if-none-match`; trace: the trace that it belongs to; attempts: when each attempt was sent, on the
    pipeline's clock; copies of a context share it; resent: attempts so far; hedge: True for the second copy of a slow
    read."""

    call: Call[Any]
    request: RequestContext
    client: UpstreamClient
    conditions: Mapping[str, str]
    trace: CallTrace
    attempts: list[float] = []
    resent: int = 0
    hedge: bool = False


class Attempts(Protocol):
    """The part of the pipeline that a hedge uses."""

    def choose(self, context: CallContext, avoid: Backend[Wire] | None) -> tuple[Backend[Wire], Breaker]:
        """The backend of the next attempt, and its breaker, which admitted it. Raises Timeout or CircuitOpen."""

    async def attempt(self, context: CallContext, backend: Backend[Wire], breaker: Breaker) -> WireResponse:
        """One attempt. Raises an UpstreamError."""


class Hedge(Protocol):
    """Sends a second copy of a slow read: `Hedging`."""

    async def attempt(
        self, attempts: Attempts, context: CallContext, backend: Backend[Wire], breaker: Breaker
    ) -> WireResponse:
        """One attempt, or two; the first good response is used. Raises an UpstreamError."""
