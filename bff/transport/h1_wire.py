"""The wire for plain http: an own pool of HTTP/1.1 connections, a fifth of aiohttp's CPU time for a call.

The same rules as the other wires. A call costs no task and no timer, and its request goes out in one write; the
caller's own time limit ends it at any moment, which closes its connection unless the answer was whole. Connections are
bounded: who comes when all are in use waits in the order of coming, for as long as its own limit lets it; as many wait
as the upstream's bulkhead lets in. The connection used last is used next, so that those too many grow old and close.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import takewhile
from urllib.parse import urlsplit

from .aiohttp_session import KEEP_ALIVE
from .content_coding import decode_body
from .h1_connection import Connection
from .h1_connector import Connector
from .h1_request import encode_request
from .wire import RESPONSE_HEADERS, WireConnectionError, WireRequest, WireResponse, WireTimeout


class H1Wire:
    """base_url: an http:// address: host, port and an optional path in front; connections: open at most; max_body:
    bytes of an answer after decoding; at: connect to this IP address instead of asking DNS for the host.

    Raises ValueError for another scheme."""

    def __init__(self, base_url: str, *, connections: int, max_body: int, at: str | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("this wire is for http:// addresses")
        port = parts.port or 80
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
        name = f"[{host}]" if ":" in host else host
        self._host = name if port == 80 else f"{name}:{port}"
        self._prefix = parts.path
        self._dial = Connector(host, port, at)
        self._limit = connections
        self._max_body = max_body
        # Those that are open, those being opened, and places promised to a caller that waits.
        self._taken = 0
        self._open: set[Connection] = set()
        # The one idle the longest comes first.
        self._idle: dict[Connection, None] = {}
        # Each gets a connection, or None: the place to open one.
        self._waiting: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: WireRequest) -> WireResponse:
        data = encode_request(request, self._prefix, self._host)
        connection = self._idle_one() or await self._take()
        waiting = connection.ask(data, no_body=request.method == "HEAD")
        try:
            answer = await waiting
        finally:
            connection.give_up(waiting)
        body = decode_body(answer.body, answer.headers.get("content-encoding"), self._max_body)
        headers = {name: value for name, value in answer.headers.items() if name in RESPONSE_HEADERS}
        return WireResponse(answer.status, headers, body)

    def _idle_one(self) -> Connection | None:
        while self._idle:
            found, _ = self._idle.popitem()
            # The sweep may be late.
            if found.usable and asyncio.get_running_loop().time() - found.since < KEEP_ALIVE:
                return found
            found.abort()
        return None

    async def _take(self) -> Connection:
        """A usable connection: idle, new, or left by another call. Raises WireBroken, WireTimeout."""
        while not self._closed:
            found = self._idle_one()
            if found is not None:
                return found
            if self._taken < self._limit:
                self._taken += 1
                return await self._new()
            found = await self._turn(asyncio.get_running_loop().create_future())
            if found is None:
                return await self._new()
            if found.usable:
                return found
        raise _closed()

    async def _turn(self, waiting: asyncio.Future[Connection | None]) -> Connection | None:
        """Wait for what another call leaves: its connection, or None for the place to open one."""
        self._waiting[waiting] = None
        try:
            return await waiting
        except asyncio.CancelledError:
            self._waiting.pop(waiting, None)
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                # It came in the same turn of the loop as the cancellation.
                left = waiting.result()
                if left is None:
                    self._leave()
                elif left.usable:
                    self.give(left)
            raise

    async def _new(self) -> Connection:
        """Open one in a place already taken."""
        connection: Connection | None = None
        try:
            connection = await self._dial.open(lambda: Connection(self._max_body))
        except TimeoutError as error:
            raise WireTimeout("no connection") from error
        except OSError as error:
            raise WireConnectionError(type(error).__name__, stale=False) from error
        finally:
            if connection is None:
                self._leave()
        if self._closed or not connection.usable:
            connection.abort()
            self._leave()
            raise _closed() if self._closed else WireConnectionError("it closed the connection", stale=False)
        self._open.add(connection)
        connection.join(self)
        return connection

    def give(self, connection: Connection) -> None:
        """A usable connection comes back: to the caller that waits the longest, else it is idle."""
        if self._closed:
            connection.abort()
        elif not self._promise(connection):
            loop = asyncio.get_running_loop()
            connection.since = loop.time()
            self._idle[connection] = None
            if self._sweep is None:
                self._sweep = loop.call_later(KEEP_ALIVE, self._close_old)

    def lost(self, connection: Connection) -> None:
        """A connection is closed: its place is free."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._leave()

    def _leave(self) -> None:
        if not self._promise(None):
            self._taken -= 1

    def _promise(self, left: Connection | None) -> bool:
        """To the caller that waits the longest; False: nobody waits."""
        while self._waiting:
            waiting, _ = self._waiting.popitem(last=False)
            if not waiting.done():
                waiting.set_result(left)
                return True
        return False

    def _close_old(self) -> None:
        """One timer for the whole pool, set to when the oldest idle connection becomes too old."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for old in list(takewhile(lambda one: one.since + KEEP_ALIVE <= now, self._idle)):
            del self._idle[old]
            old.abort()
        oldest = next(iter(self._idle), None)
        if oldest is not None:
            self._sweep = loop.call_at(oldest.since + KEEP_ALIVE, self._close_old)

    async def close(self) -> None:
        """Calls under way and calls to come end with WireBroken."""
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
        # Transports are closed on the loop's next turn.
        await asyncio.sleep(0)


def _closed() -> WireConnectionError:
    return WireConnectionError("this wire is closed", stale=False)
