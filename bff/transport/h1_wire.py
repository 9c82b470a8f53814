"""The wire for plain http: a pool of HTTP/1.1 connections. A call takes a fifth of aiohttp's CPU time.

It follows the same rules as the other wires. A call needs no task and no timer, and its request is sent in one write.
The caller's time limit may cancel a call at any time, which closes its connection unless the response was complete. The
number of connections is bounded: when all are in use, callers wait in order, at most until their own time limit; the
upstream's bulkhead bounds the number of waiting callers. The most recently used connection is used next, so that
surplus connections become old and are closed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import takewhile
from urllib.parse import urlsplit

from .content_coding import decode_body
from .h1_connection import Connection
from .h1_connector import Connector
from .h1_request import encode_request
from .wire import KEEP_ALIVE, WireConnectionError, WireRequest, WireResponse, WireTimeout


class H1Wire:
    """base_url: an http:// address with host, port and an optional path in front; connections: open at most; max_body:
    bytes of a response after decoding; at: connect to this IP address instead of asking DNS for the host.

    Raises ValueError for another scheme."""

    def __init__(self, base_url: str, *, connections: int, max_body: int, at: str | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{base_url!r} is not an http:// address, the only kind for this wire")
        port = parts.port or 80
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
        name = f"[{host}]" if ":" in host else host
        self._host = name if port == 80 else f"{name}:{port}"
        self._prefix = parts.path
        self._connector = Connector(host, port, at)
        self._limit = connections
        self._max_body = max_body
        # Slots in use: connections that are open or being opened, and slots granted to a waiting caller.
        self._slots = 0
        self._open: set[Connection] = set()
        # The connection that has been idle longest comes first.
        self._idle: dict[Connection, None] = {}
        # Each future gets a connection, or None: a slot in which to open one.
        self._waiting: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: WireRequest) -> WireResponse:
        data = encode_request(request, self._prefix, self._host)
        connection = self._take_idle() or await self._acquire()
        pending = connection.send(data, no_body=request.method == "HEAD")
        try:
            response = await pending
        finally:
            connection.abandon(pending)
        body = decode_body(response.body, response.headers.get("content-encoding"), self._max_body)
        headers = {name: value for name, value in response.headers.items() if request.passes(name)}
        return WireResponse(response.status, headers, body)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            # The sweep may be late, so the age is checked here, too.
            if connection.usable and connection.loop.time() - connection.idle_since < KEEP_ALIVE:
                return connection
            connection.abort()
        return None

    async def _acquire(self) -> Connection:
        """A usable connection: idle, new, or released by another call. Raises WireConnectionError, WireTimeout."""
        while not self._closed:
            connection = self._take_idle()
            if connection is not None:
                return connection
            if self._slots < self._limit:
                self._slots += 1
                return await self._connect()
            connection = await self._wait_for_release(asyncio.get_running_loop().create_future())
            if connection is None:
                return await self._connect()
            if connection.usable:
                return connection
        raise _closed()

    async def _wait_for_release(self, waiting: asyncio.Future[Connection | None]) -> Connection | None:
        """What another call releases: its connection, or None for a slot in which to open one."""
        self._waiting[waiting] = None
        try:
            return await waiting
        except asyncio.CancelledError:
            self._waiting.pop(waiting, None)
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                # Granted in the same turn of the loop as the cancellation, so it is released again.
                granted = waiting.result()
                if granted is None:
                    self._release_slot()
                elif granted.usable:
                    self.release(granted)
            raise

    async def _connect(self) -> Connection:
        """Open a connection in a slot that is already counted."""
        connection: Connection | None = None
        try:
            connection = await self._connector.open(lambda: Connection(self._max_body))
        except TimeoutError as error:
            raise WireTimeout("no connection") from error
        except OSError as error:
            raise WireConnectionError(type(error).__name__, stale=False) from error
        finally:
            if connection is None:
                self._release_slot()
        if self._closed or not connection.usable:
            connection.abort()
            self._release_slot()
            raise _closed() if self._closed else WireConnectionError("it closed the connection", stale=False)
        self._open.add(connection)
        connection.join(self)
        return connection

    def release(self, connection: Connection) -> None:
        """A usable connection is free: the caller that has waited longest gets it, else it becomes idle."""
        if self._closed:
            connection.abort()
        elif not self._grant(connection):
            loop = connection.loop
            connection.idle_since = loop.time()
            self._idle[connection] = None
            if self._sweep is None:
                self._sweep = loop.call_later(KEEP_ALIVE, self._close_old)

    def on_lost(self, connection: Connection) -> None:
        """A connection is closed: its slot is free."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._release_slot()

    def _release_slot(self) -> None:
        if not self._grant(None):
            self._slots -= 1

    def _grant(self, connection: Connection | None) -> bool:
        """Give a connection, or a slot (None), to the caller that has waited longest; False: nobody waits."""
        while self._waiting:
            waiting, _ = self._waiting.popitem(last=False)
            if not waiting.done():
                waiting.set_result(connection)
                return True
        return False

    def _close_old(self) -> None:
        """One timer for the whole pool, set to when the oldest idle connection becomes too old."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for old in list(takewhile(lambda idle: idle.idle_since + KEEP_ALIVE <= now, self._idle)):
            del self._idle[old]
            old.abort()
        oldest = next(iter(self._idle), None)
        if oldest is not None:
            self._sweep = loop.call_at(oldest.idle_since + KEEP_ALIVE, self._close_old)

    async def close(self) -> None:
        """End current and later calls with WireConnectionError."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        while self._waiting:
            waiting, _ = self._waiting.popitem(last=False)
            if not waiting.done():
                waiting.set_exception(_closed())
        for connection in list(self._open):
            connection.abort()
        # The loop closes transports on its next turn.
        await asyncio.sleep(0)


def _closed() -> WireConnectionError:
    return WireConnectionError("this wire is closed", stale=False)
