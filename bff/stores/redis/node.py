"""One node of Redis and its one connection, which is supervised and opened again.

No command is retried: it takes at most its limit, and then fails with `StoreUnavailable`. A connection on which no data
arrives for `timeout` seconds while replies are due is closed, and opened again after 5–250 ms (backoff with jitter). An
idle one is pinged every second. The number of commands that wait for a connection is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ...calls.shutdown import cancel_tasks
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
from .login import LoginSource
from .outage import OutageTracker, refusal_code

log = logging.getLogger("bff.stores")

TICK = 0.01
"""Seconds between two checks of the limits; limits are counted in ticks."""
PING_INTERVAL = 1.0
"""Seconds of silence after which an idle connection is pinged."""
AUTH_PAUSE = 5.0
"""Seconds between two attempts to authenticate again on an open connection."""
HasMoved = Callable[[ConnectionObserver], Awaitable[bool]]
_SHORTEST, _LONGEST = 0.005, 0.25


class Node:
    """connect: opens a connection that is ready for commands; has_moved: called every `PING_INTERVAL` seconds, returns
    True when the connection leads to the wrong server; login: how it authenticates again, where it may have to; name:
    for logs; outage: records each failure; timeout, most: see `RedisClient`.

    away  True when Redis did not answer the last command in time; the first byte from it sets it to False
    """

    def __init__(
        self,
        connect: Connect,
        name: str,
        outage: OutageTracker,
        *,
        timeout: float,
        most: int,
        has_moved: HasMoved | None = None,
        login: LoginSource | None = None,
    ) -> None:
        self.name = name
        self._outage = outage
        self.timeout = timeout
        self.ticks = 0
        self.away = False
        self._connect = connect
        self._has_moved = has_moved
        self._login = login
        self._most = most
        self._limit = ticks_of(timeout)
        self._shortest = self._limit
        self._connection: MultiplexedConnection | None = None
        self._waiting: list[tuple[bytes, PendingCommand]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._authenticate_from = 0.0

    def submit(self, packed: bytes, count: int | None, limit: float | None = None) -> asyncio.Future[Any]:
        """Send one command or, with `count`, several in one write and in sequence. limit: seconds instead of `timeout`.
        Raises StoreUnavailable; the future gets the reply of Redis."""
        loop = self._loop
        if loop is None or self._timer is None:
            loop = self._begin()
        ticks = self._limit
        if limit is not None:
            ticks = ticks_of(limit)
            if ticks < self._shortest:
                self._shortest = ticks
        pending = PendingCommand(loop.create_future(), self.ticks, ticks, count)
        connection = self._connection
        if connection is not None:
            if len(connection.pending) >= self._most:
                raise self._full(f"{self._most} commands are pending already")
            connection.write(packed, pending)
        else:
            if len(self._waiting) >= self._most:
                raise self._full(f"{self._most} commands wait for a connection already")
            self._waiting.append((packed, pending))
            self._wanted.set()
        return pending.future

    def _full(self, why: str) -> StoreUnavailable:
        self._outage.record_failure(why)
        return StoreUnavailable(why)

    @property
    def has_pending(self) -> bool:
        """Whether a reply is due."""
        return self._connection is not None and bool(self._connection.pending)

    # ---- the connection --------------------------------------------------------------------------------------

    def on_data(self, connection: MultiplexedConnection) -> None:
        """Data came on this connection."""
        if connection is self._connection:
            self.away = False

    def on_error_reply(self, connection: MultiplexedConnection, error: Exception) -> None:
        """Redis replied with an error. An error during the handshake ends the attempt to connect instead."""
        if connection is self._connection and refusal_code(str(error)) is not None:
            self._outage.record_failure(error)

    def on_lost(self, connection: MultiplexedConnection, error: Exception, failed: int) -> None:
        """The connection ended, and `failed` commands with it."""
        if connection is self._connection:
            self.away = True
            self._connection = None
            self._ended.set()
            if not self._closed:
                log.debug("the connection to Redis at %s was lost, opening another: %s", self.name, error)
                for _ in range(failed):
                    self._outage.record_failure(f"the connection was lost: {error}")

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise StoreUnavailable("this client is closed")
        loop = self._loop = self._loop or asyncio.get_running_loop()
        if self._task is None:
            self._task = loop.create_task(self._run(), name="bff-redis-connection")
        self._timer = loop.call_later(TICK, self._tick)
        return loop

    async def _run(self) -> None:
        """Keep a connection open, for ever."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            self._ended.clear()
            try:
                async with asyncio.timeout(self.timeout):
                    connection = await self._connect(self)
            except Exception as error:
                # Every error is caught, because no other task would connect again.
                failures += 1
                if failures == 1:
                    self._outage.record_failure(_reason(error))
                self._fail_waiting(error)
                await self._pause(failures)
                continue
            opened = loop.time()
            if connection.alive:
                self._use(connection)
                await self._supervise(connection)
            # A connection that ends at once counts as a failure.
            failures = 0 if loop.time() - opened > PING_INTERVAL else failures + 1
            if failures:
                await self._pause(failures)

    def _fail_waiting(self, error: Exception) -> None:
        self.away = True
        waiting, self._waiting = self._waiting, []
        for _, pending in waiting:
            if not self._closed:
                self._outage.record_failure(_reason(error))
            fail_pending(pending, f"no connection to {self.name}: {type(error).__name__}: {error}", error)

    async def _pause(self, failures: int) -> None:
        """Wait before the next attempt; a command shortens the wait."""
        self._wanted.clear()
        await asyncio.sleep(_SHORTEST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(backoff(failures, _SHORTEST, _LONGEST)):
                await self._wanted.wait()

    def _use(self, connection: MultiplexedConnection) -> None:
        self._connection = connection
        self.away = False
        waiting, self._waiting = self._waiting, []
        for packed, pending in waiting:
            if pending.future.done():
                continue
            try:
                connection.write(packed, pending)
            except StoreUnavailable as error:
                fail_pending(pending, str(error), error)

    async def _supervise(self, connection: MultiplexedConnection) -> None:
        """Supervise the connection until it ends, with pings."""
        while connection.alive:
            before = connection.last_data_tick, self.ticks
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_INTERVAL):
                    await self._ended.wait()
            if connection.alive and self._has_moved is not None:
                try:
                    async with asyncio.timeout(self.timeout):
                        if await self._has_moved(self):
                            connection.abort(ConnectionAbortedError("another server is the master"))
                except Exception as error:
                    # Every error is caught, because no other task would supervise the connection.
                    log.debug("cannot ask whether %s has moved: %s", self.name, error)
            if connection.alive and self._login is not None:
                await self._authenticate_again(connection, self._login)
            if connection.alive and before == (connection.last_data_tick, self.ticks):
                with contextlib.suppress(StoreUnavailable):
                    self.submit(pack(("PING",)), None).add_done_callback(_ignore_failure)

    async def _authenticate_again(self, connection: MultiplexedConnection, source: LoginSource) -> None:
        """Send AUTH with the newest login where the last one was replaced. A refusal leaves the connection as it was,
        and is recorded as every error reply is."""
        now = time.monotonic()
        if connection.login is None or not source.replaces(connection.login, connection.login_at):
            return
        if now < self._authenticate_from:
            return
        self._authenticate_from = now + AUTH_PAUSE
        try:
            async with asyncio.timeout(self.timeout):
                login = await source.current()
                await self.submit(pack(login.command), None)
        except Exception as error:
            # Every error is caught, because no other task would supervise the connection.
            log.debug("cannot authenticate again at %s: %s", self.name, type(error).__name__)
        else:
            connection.login, connection.login_at = login, now

    def _tick(self) -> None:
        """Count time here only, because between two ticks the loop has read from its sockets."""
        self.ticks += 1
        connection = self._connection
        if connection is not None and connection.pending:
            self._expire(connection)
        self._waiting = [(packed, pending) for packed, pending in self._waiting if not self._late(pending)]
        busy = bool(self._waiting or (connection is not None and connection.pending))
        loop = self._loop
        if loop is not None and not self._closed:
            self._timer = loop.call_later(TICK, self._tick) if busy else None

    def _expire(self, connection: MultiplexedConnection) -> None:
        for pending in connection.pending:
            if self.ticks - pending.start_tick < self._shortest:
                break
            if self._late(pending) and connection.last_data_tick <= pending.start_tick:
                # No byte has arrived since the command was sent: Redis is silent. A long queue is not the reason.
                self.away = True
        if self.ticks - max(connection.pending[0].start_tick, connection.last_data_tick) >= self._limit:
            connection.abort(TimeoutError(f"no data for {self.timeout} s"))

    def _late(self, pending: PendingCommand) -> bool:
        if self.ticks - pending.start_tick >= pending.limit:
            # It is not an outage when a caller has a shorter limit, because that caller can go on without Redis.
            if pending.limit >= self._limit and not pending.future.done():
                self._outage.record_failure(f"no answer within {pending.limit * TICK:g} s")
            fail_pending(pending, f"no answer within {pending.limit * TICK:g} s")
            return True
        return False

    async def close(self) -> None:
        """Close the connection; waiting commands fail with StoreUnavailable."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await cancel_tasks([self._task])
        if self._connection is not None:
            self._connection.abort(ConnectionAbortedError("the client was closed"))
        self._fail_waiting(ConnectionAbortedError("the client was closed"))


def ticks_of(seconds: float) -> int:
    """A limit in ticks, at least one."""
    return max(1, math.floor(seconds / TICK + 1e-9))


def _reason(error: Exception) -> str:
    """The error that Redis replied to the handshake, otherwise the error of the connection."""
    text = str(error)
    return text if refusal_code(text) is not None else f"no connection: {type(error).__name__}: {text}"


def _ignore_failure(ping: asyncio.Future[Any]) -> None:
    if not ping.cancelled():
        ping.exception()
