"""Hedging: sends a second copy of a slow read, within the retry budget, to another backend where there is one. The
first good response is used and the other attempt is cancelled ("The Tail at Scale", see policies/hedge.py).

A call that is not slow costs one timer: the first attempt runs in the caller's task. Only the second attempt is a task;
a timer starts it, and it ends before the call ends. An error of the second copy is dropped. When the first attempt
fails while the second one runs, the call waits for the second one; unless that gives a good response, the error of the
first attempt is raised.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from msgspec import structs

from ..calls import UpstreamError
from ..policies.balance import Backend
from ..policies.breaker import Breaker
from ..policies.events import Hedged, Observer, guarded, ignore
from ..policies.hedge import HedgeRule, Latencies
from .client import Attempts, CallContext
from .wire import Wire, WireResponse

MAX_GROUPS = 2048
"""Groups (names of calls) of one upstream whose latencies are learnt. Further ones are not hedged."""


class Hedging:
    """The hedging of one upstream. rule: when a second copy is sent; clock: monotonic seconds; observe: receives an
    event for each second copy."""

    def __init__(
        self, rule: HedgeRule, *, clock: Callable[[], float] = time.monotonic, observe: Observer = ignore
    ) -> None:
        self.rule = rule
        self._clock = clock
        self._observe = guarded(observe)
        self._latencies: dict[str, Latencies] = {}

    async def attempt(
        self, attempts: Attempts, context: CallContext, backend: Backend[Wire], breaker: Breaker
    ) -> WireResponse:
        """As `Attempts.attempt`, for a read."""
        group = context.call.name
        latencies = self._latencies.get(group)
        if latencies is None:
            latencies = Latencies(self.rule)
            if len(self._latencies) < MAX_GROUPS:
                self._latencies[group] = latencies
        delay = latencies.after()
        bulkhead = context.client.permits.bulkhead
        if delay is None or bulkhead.used >= bulkhead.rule.permits:
            started = self._clock()
            response = await attempts.attempt(context, backend, breaker)
            latencies.record(self._clock() - started)
            return response
        race = _Race(attempts, context, backend, latencies, self._clock, self._observe)
        return await race.run(breaker, delay)


class _Race:
    """The first attempt at `backend`, and a second one at another backend when the first one is slow."""

    def __init__(
        self,
        attempts: Attempts,
        context: CallContext,
        backend: Backend[Wire],
        latencies: Latencies,
        clock: Callable[[], float],
        observe: Observer,
    ) -> None:
        self._attempts = attempts
        self._context = context
        self._backend = backend
        self._latencies = latencies
        self._clock = clock
        self._observe = observe
        self._second: asyncio.Task[WireResponse] | None = None
        self._limit = context.request.timer.limit(None)
        self._running = True

    async def run(self, breaker: Breaker, delay: float) -> WireResponse:
        """delay: seconds until the second copy is sent."""
        started = self._clock()
        timer = asyncio.get_running_loop().call_later(delay, self._start_second)
        won = False
        try:
            try:
                with self._limit:
                    response = await self._attempts.attempt(self._context, self._backend, breaker)
            except TimeoutError:
                # The limit raises it, and only a good second response ends the limit.
                if self._second is None or not self._limit.expired:
                    raise
                won = True
                return self._second.result()
            except UpstreamError:
                self._running = False
                better = await self._better_response()
                if better is None:
                    raise
                won = True
                return better
            if not _good(response):
                self._running = False
                better = await self._better_response()
                if better is not None:
                    won = True
                    return better
            return response
        finally:
            timer.cancel()
            self._running = False
            self._latencies.record(self._clock() - started)
            if self._second is not None:
                await self._end(self._second, won)

    def _start_second(self) -> None:
        """The first attempt is slow: start the second one, unless the budget or the bulkhead forbids it."""
        client = self._context.client
        bulkhead = client.permits.bulkhead
        if self._running and bulkhead.used < bulkhead.rule.permits and client.budget.acquire():
            self._second = asyncio.get_running_loop().create_task(
                self._second_attempt(), name=f"hedge {self._context.call.name}"
            )
            self._second.add_done_callback(self._on_second_done)

    async def _second_attempt(self) -> WireResponse:
        backend, breaker = self._attempts.choose(self._context, self._backend)
        started = self._clock()
        response = await self._attempts.attempt(structs.replace(self._context, hedge=True), backend, breaker)
        self._latencies.record(self._clock() - started)
        return response

    def _on_second_done(self, second: asyncio.Task[WireResponse]) -> None:
        self._context.client.budget.release()
        if not second.cancelled() and second.exception() is None and self._running and _good(second.result()):
            self._limit.expire()

    async def _better_response(self) -> WireResponse | None:
        """The response of the second copy when it is good, None otherwise."""
        if self._second is None:
            return None
        await asyncio.wait([self._second])
        if self._second.cancelled() or self._second.exception() is not None:
            return None
        response = self._second.result()
        return response if _good(response) else None

    async def _end(self, second: asyncio.Task[WireResponse], won: bool) -> None:
        if not second.done():
            second.cancel()
            await asyncio.wait([second])
        if not second.cancelled() and (error := second.exception()) and not isinstance(error, UpstreamError):
            # A bug must be raised, although the second response is not used.
            raise error
        self._observe(Hedged(self._context.call.owner.service, self._context.call.name, won))


def _good(response: WireResponse) -> bool:
    return response.status < 500 and response.status != 429
