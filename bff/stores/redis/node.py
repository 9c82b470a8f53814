"""One node of Redis and the one connection to it: kept, watched, opened again.

Nothing here retries a command: it takes at most its limit and then the caller hears `StoreUnavailable`. A connection
whose oldest answer is late by `timeout` is cut and another opened, after 5–250 ms, growing, with jitter; idle, it is
asked every second whether it still lives. What waits for a connection is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from ...calls.ending import end_tasks
from .backoff import backoff
from .connection import (
    Connect,
    ConnectionObserver,
    MultiplexedConnection,
    PendingCommand,
    StoreUnavailable,
    fail_pending,
    pack,
)
from .outage import OutageTracker, refusal_code

log = logging.getLogger("bff.stores")

TICK = 0.01
"""Seconds between two looks at who waits too long; limits are counted in these."""
BEAT = 1.0
"""Seconds without a word after which an idle connection is asked."""
HasMoved = Callable[[ConnectionObserver], Awaitable[bool]]
_SHORTEST, _LONGEST = 0.005, 0.25


class Node:
    """dial: opens a connection, ready for commands; moved: asked every `BEAT` whether it is the wrong one by now;
    name: what logs call it; condition: told of each failure; timeout, most: see `RedisClient`.

    away  True while the last thing Redis did was not to answer; the first byte from it ends that
    """

    def __init__(
        self,
        dial: Connect,
        name: str,
        condition: OutageTracker,
        *,
        timeout: float,
        most: int,
        moved: HasMoved | None = None,
    ) -> None:
        self.name = name
        self._condition = condition
        self.timeout = timeout
        self.ticks = 0
        self.away = False
        self._dial = dial
        self._moved = moved
        self._most = most
        self._limit = ticks_of(timeout)
        self._shortest = self._limit
        self._wire: MultiplexedConnection | None = None
        self._waiting: list[tuple[bytes, PendingCommand]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def submit(self, packed: bytes, count: int | None, limit: float | None = None) -> asyncio.Future[Any]:
        """Send one command or, with `count`, several in one write, nobody else's between. limit: seconds instead of
        `timeout`. Raises StoreUnavailable; the future says what Redis answered."""
        loop = self._loop
        if loop is None or self._timer is None:
            loop = self._begin()
        ticks = self._limit
        if limit is not None:
            ticks = ticks_of(limit)
            if ticks < self._shortest:
                self._shortest = ticks
        pending = PendingCommand(loop.create_future(), self.ticks, ticks, count)
        wire = self._wire
        if wire is not None:
            if len(wire.pending) >= self._most:
                raise self._full(f"{self._most} commands are under way already")
            wire.write(packed, pending)
        else:
            if len(self._waiting) >= self._most:
                raise self._full(f"{self._most} commands wait for a connection already")
            self._waiting.append((packed, pending))
            self._wanted.set()
        return pending.future

    def _full(self, why: str) -> StoreUnavailable:
        self._condition.record_failure(why)
        return StoreUnavailable(why)

    @property
    def has_pending(self) -> bool:
        """Whether an answer is due."""
        return self._wire is not None and bool(self._wire.pending)

    # ---- the connection --------------------------------------------------------------------------------------

    def on_data(self, wire: MultiplexedConnection) -> None:
        """The wire's word that something came."""
        if wire is self._wire:
            self.away = False

    def on_error_reply(self, wire: MultiplexedConnection, error: Exception) -> None:
        """The wire's word that Redis answered with an error. What it says to a greeting ends the attempt."""
        if wire is self._wire and refusal_code(str(error)) is not None:
            self._condition.record_failure(error)

    def on_lost(self, wire: MultiplexedConnection, error: Exception, pending: int) -> None:
        """The wire's word that it has ended, and so many commands with it."""
        if wire is self._wire:
            self.away = True
            self._wire = None
            self._ended.set()
            if not self._closed:
                log.debug("the connection to Redis at %s was lost, opening another: %s", self.name, error)
                for _ in range(pending):
                    self._condition.record_failure(f"the connection was lost: {error}")

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise StoreUnavailable("this link is closed")
        loop = self._loop = self._loop or asyncio.get_running_loop()
        if self._keeper is None:
            self._keeper = loop.create_task(self._keep(), name="bff-redis-link")
        self._timer = loop.call_later(TICK, self._tick)
        return loop

    async def _keep(self) -> None:
        """Hold a connection for ever."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            self._ended.clear()
            try:
                async with asyncio.timeout(self.timeout):
                    wire = await self._dial(self)
            except Exception as error:
                # Whatever it is that answers there: this task is the only one that will ever try again.
                failures += 1
                if failures == 1:
                    self._condition.record_failure(_why(error))
                self._refused(error)
                await self._pause(failures)
                continue
            taken = loop.time()
            if wire.alive:
                self._take(wire)
                await self._hold(wire)
            # One that ends as soon as it is made is no better than none.
            failures = 0 if loop.time() - taken > BEAT else failures + 1
            if failures:
                await self._pause(failures)

    def _refused(self, error: Exception) -> None:
        self.away = True
        waiting, self._waiting = self._waiting, []
        for _, pending in waiting:
            if not self._closed:
                self._condition.record_failure(_why(error))
            fail_pending(pending, f"no connection to {self.name}: {type(error).__name__}: {error}", error)

    async def _pause(self, failures: int) -> None:
        """Wait before the next attempt, less long when somebody asks."""
        self._wanted.clear()
        await asyncio.sleep(_SHORTEST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(backoff(failures, _SHORTEST, _LONGEST)):
                await self._wanted.wait()

    def _take(self, wire: MultiplexedConnection) -> None:
        self._wire = wire
        self.away = False
        waiting, self._waiting = self._waiting, []
        for packed, pending in waiting:
            if pending.future.done():
                continue
            try:
                wire.write(packed, pending)
            except StoreUnavailable as error:
                fail_pending(pending, str(error), error)

    async def _hold(self, wire: MultiplexedConnection) -> None:
        """Return when the connection has ended; ask it now and then."""
        while wire.alive:
            before = wire.last_data_tick, self.ticks
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._ended.wait()
            if wire.alive and self._moved is not None:
                try:
                    async with asyncio.timeout(self.timeout):
                        if await self._moved(self):
                            wire.abort(ConnectionAbortedError("another is the master"))
                except Exception as error:
                    # As with the dial: this task is the only one there is.
                    log.debug("whether %s has moved cannot be asked: %s", self.name, error)
            if wire.alive and before == (wire.last_data_tick, self.ticks):
                with contextlib.suppress(StoreUnavailable):
                    self.submit(pack(("PING",)), None).add_done_callback(_seen)

    def _tick(self) -> None:
        """Time passes only here: between two ticks the loop has listened."""
        self.ticks += 1
        wire = self._wire
        if wire is not None and wire.pending:
            self._expire(wire)
        self._waiting = [(packed, pending) for packed, pending in self._waiting if not self._late(pending)]
        busy = bool(self._waiting or (wire is not None and wire.pending))
        loop = self._loop
        if loop is not None and not self._closed:
            self._timer = loop.call_later(TICK, self._tick) if busy else None

    def _expire(self, wire: MultiplexedConnection) -> None:
        for pending in wire.pending:
            if self.ticks - pending.start_tick < self._shortest:
                break
            if self._late(pending) and wire.last_data_tick <= pending.start_tick:
                # Not a byte since it was asked: this is Redis, not the length of our own row.
                self.away = True
        if self.ticks - max(wire.pending[0].start_tick, wire.last_data_tick) >= self._limit:
            wire.abort(TimeoutError(f"not a byte for {self.timeout} s"))

    def _late(self, pending: PendingCommand) -> bool:
        if self.ticks - pending.start_tick >= pending.limit:
            # Who waits for less than others do has a way of going on without.
            if pending.limit >= self._limit and not pending.future.done():
                self._condition.record_failure(f"no answer within {pending.limit * TICK:g} s")
            fail_pending(pending, f"no answer within {pending.limit * TICK:g} s")
            return True
        return False

    async def close(self) -> None:
        """Close the connection; whoever waits hears StoreUnavailable."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._keeper is not None:
            await end_tasks([self._keeper])
        if self._wire is not None:
            self._wire.abort(ConnectionAbortedError("the link was closed"))
        self._refused(ConnectionAbortedError("the link was closed"))


def ticks_of(seconds: float) -> int:
    """How many ticks a limit is, at least one."""
    return max(1, math.floor(seconds / TICK + 1e-9))


def _why(error: Exception) -> str:
    """What Redis said when it was greeted; else what went wrong with the connection."""
    text = str(error)
    return text if refusal_code(text) is not None else f"no connection: {type(error).__name__}: {text}"


def _seen(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()
