"""A second copy of a slow read, sent within the retry budget to another address where there is one; the first good
answer is taken and the other attempt given up.

While nothing is slow it costs one timer: the first attempt runs in its caller's own task, and only the second is a task
of its own, begun by the timer, ended before the call is. What failed is never hedged over: an error of the second copy
is forgotten, one of the first waits for the second and is told if that one is no better.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..calls import UpstreamError
from ..policies.balance import Backend
from ..policies.breaker import Breaker
from ..policies.events import Hedged, Observer, guarded, ignore
from ..policies.hedge import HedgeRule, Latencies
from .attempt import Attempts, CallContext
from .wire import Answer, Wire

# Endpoints are a gateway's methods; beyond this many nothing is learnt of further ones.
MOST = 2048


class Hedging:
    """One upstream's. rule: when; clock: monotonic seconds; observe: told of each second copy."""

    def __init__(
        self, rule: HedgeRule, *, clock: Callable[[], float] = time.monotonic, observe: Observer = ignore
    ) -> None:
        self.rule = rule
        self._clock = clock
        self._observe = guarded(observe)
        self._groups: dict[str, Latencies] = {}

    async def make(
        self, attempts: Attempts, walk: CallContext, backend: Backend[Wire], breaker: Breaker
    ) -> Answer:
        """As `attempts.make`, for a read."""
        group = walk.call.name
        latencies = self._groups.get(group)
        if latencies is None:
            latencies = Latencies(self.rule)
            if len(self._groups) < MOST:
                self._groups[group] = latencies
        after = latencies.after()
        if after is None or walk.client.permits.bulkhead.used >= walk.client.permits.bulkhead.rule.permits:
            began = self._clock()
            answer = await attempts.make(walk, backend, breaker)
            latencies.saw(self._clock() - began)
            return answer
        return await _Race(attempts, walk, latencies, self._clock, self._observe).run(backend, breaker, after)


class _Race:
    def __init__(
        self,
        attempts: Attempts,
        walk: CallContext,
        latencies: Latencies,
        clock: Callable[[], float],
        observe: Observer,
    ) -> None:
        self._attempts = attempts
        self._walk = walk
        self._latencies = latencies
        self._clock = clock
        self._observe = guarded(observe)
        self._first: Backend[Wire] | None = None
        self._second: asyncio.Task[Answer] | None = None
        self._cut = walk.scope.alarm.limit(None)
        self._running = True

    async def run(self, backend: Backend[Wire], breaker: Breaker, after: float) -> Answer:
        self._first = backend
        began = self._clock()
        timer = asyncio.get_running_loop().call_later(after, self._begin)
        won = False
        try:
            try:
                with self._cut:
                    answer = await self._attempts.make(self._walk, backend, breaker)
            except TimeoutError:
                # Only the cut raises it, and only a good second answer makes the cut.
                if self._second is None or not self._cut.was_cut:
                    raise
                won = True
                return self._second.result()
            except UpstreamError:
                self._running = False
                better = await self._better()
                if better is None:
                    raise
                won = True
                return better
            if not _good(answer):
                self._running = False
                better = await self._better()
                if better is not None:
                    won = True
                    return better
            return answer
        finally:
            timer.cancel()
            self._running = False
            self._latencies.saw(self._clock() - began)
            if self._second is not None:
                await self._end(self._second, won)

    def _begin(self) -> None:
        """The first one takes longer than most."""
        walk = self._walk
        bulkhead = walk.client.permits.bulkhead
        if self._running and bulkhead.used < bulkhead.rule.permits and walk.client.budget.take():
            self._second = asyncio.get_running_loop().create_task(
                self._copy(), name=f"hedge {walk.call.name}"
            )
            self._second.add_done_callback(self._done)

    async def _copy(self) -> Answer:
        backend, breaker = self._attempts.choose(self._walk, self._first)
        began = self._clock()
        answer = await self._attempts.make(self._walk, backend, breaker)
        self._latencies.saw(self._clock() - began)
        return answer

    def _done(self, second: asyncio.Task[Answer]) -> None:
        self._walk.client.budget.give()
        if not second.cancelled() and second.exception() is None and self._running and _good(second.result()):
            self._cut.cut()

    async def _better(self) -> Answer | None:
        """What the second copy answers, when that is better than what the first one came to."""
        if self._second is None:
            return None
        await asyncio.wait([self._second])
        if self._second.cancelled() or self._second.exception() is not None:
            return None
        answer = self._second.result()
        return answer if _good(answer) else None

    async def _end(self, second: asyncio.Task[Answer], won: bool) -> None:
        if not second.done():
            second.cancel()
            await asyncio.wait([second])
        if not second.cancelled() and (error := second.exception()) and not isinstance(error, UpstreamError):
            # A mistake of ours must not be lost with the copy.
            raise error
        self._observe(Hedged(self._walk.call.owner.service, self._walk.call.name, won))


def _good(answer: Answer) -> bool:
    return answer.status < 500 and answer.status != 429
