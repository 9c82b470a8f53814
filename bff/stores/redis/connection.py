"""One connection to Redis that the whole process shares: the commands of one turn of the event loop are sent in one
write, and the replies come back in the same order.

One caller's timeout or cancellation does not affect other commands: its command stays in the queue, and its reply is
dropped. Time is counted in ticks of the event loop, and the loop reads between two ticks. So a reply is not late when
the loop was too busy to read it. A command is refused when `UNSENT` bytes wait to be written.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import hiredis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from ...calls import BffError
from .address import ServerAddress
from .login import RedisLogin

UNSENT = 16 * 1024 * 1024
"""Bytes that may wait to be written while the connection accepts no more."""

Packable = str | bytes | int | float


class StoreUnavailable(BffError):
    """Redis could not be reached in time or refused the command. The cause is the driver's error."""

    code = "unavailable"


def pack(command: Sequence[Packable]) -> bytes:
    """A command in the Redis protocol."""
    words: Any = tuple(command)  # the stub wants one type for all words
    packed: bytes = hiredis.pack_command(words)
    return packed


def _error(text: str) -> ResponseError:
    word = text.partition(" ")[0]
    return {"NOSCRIPT": NoScriptError, "READONLY": ReadOnlyError}.get(word, ResponseError)(text)


class PendingCommand:
    """A command whose reply has not come. start_tick: when it was sent; limit: ticks that it may take; replies: None
    for a single command, otherwise the list that gets its `count` replies."""

    __slots__ = ("count", "future", "limit", "replies", "start_tick")

    def __init__(self, future: asyncio.Future[Any], start_tick: int, limit: int, count: int | None) -> None:
        self.future = future
        self.start_tick = start_tick
        self.limit = limit
        self.replies: list[Any] | None = None if count is None else []
        self.count = count


class ConnectionObserver(Protocol):
    """The owner of a connection: its clock (`ticks`), and its callbacks for data, the end and error replies."""

    ticks: int

    def on_data(self, connection: MultiplexedConnection) -> None: ...

    def on_lost(self, connection: MultiplexedConnection, error: Exception, failed: int) -> None: ...

    def on_error_reply(self, connection: MultiplexedConnection, error: Exception) -> None: ...


class MultiplexedConnection(asyncio.Protocol):
    """One connection and the queue of its pending commands. It is not opened again after its end. login, login_at: how
    it has authenticated, and the monotonic time of that; None without a login that may change."""

    def __init__(self, observer: ConnectionObserver) -> None:
        self.pending: deque[PendingCommand] = deque()
        self.last_data_tick = 0
        self.alive = False
        self.login: RedisLogin | None = None
        self.login_at = 0.0
        self._observer = observer
        self._reader = hiredis.Reader(protocolError=ConnectionError, replyError=_error)
        self._out: list[bytes] = []
        self._size = 0
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._soon: Callable[..., Any] = asyncio.get_running_loop().call_soon

    # ---- writing ---------------------------------------------------------------------------------------------

    def write(self, packed: bytes, pending: PendingCommand) -> None:
        """Send a command. Raises StoreUnavailable when more than `UNSENT` bytes wait already."""
        if self._size > UNSENT:
            raise StoreUnavailable("too many bytes wait to be sent to Redis")
        if not self._out and not self._paused:
            self._soon(self._flush)
        self._out.append(packed)
        self._size += len(packed)
        self.pending.append(pending)

    def _flush(self) -> None:
        if self._paused or not self._out or self._transport is None:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._size = 0
        try:
            self._transport.write(data)
        except RuntimeError as error:
            # uvloop raises this for a connection that the other side has just closed.
            self.abort(error)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    # ---- reading ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.last_data_tick = self._observer.ticks
        self._observer.on_data(self)
        reader, queue = self._reader, self.pending
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                pending = queue[0]
                if isinstance(reply, Exception):
                    self._observer.on_error_reply(self, reply)
                if pending.replies is not None:
                    pending.replies.append(reply)
                    if len(pending.replies) != pending.count:
                        continue
                    reply = pending.replies
                queue.popleft()
                if pending.future.done():
                    continue
                if isinstance(reply, Exception):
                    pending.future.set_exception(reply)
                    if isinstance(reply, ReadOnlyError):
                        raise ConnectionError("it is no longer the master")
                else:
                    pending.future.set_result(reply)
        except (ConnectionError, IndexError) as error:
            self.abort(ConnectionError(f"unexpected data: {error}"))

    # ---- open and closed -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport
        self.alive = True
        self.last_data_tick = self._observer.ticks

    def connection_lost(self, error: Exception | None) -> None:
        self.abort(error or ConnectionResetError("Redis closed the connection"))

    def abort(self, error: Exception) -> None:
        """Close the connection; every pending command fails with StoreUnavailable."""
        if not self.alive:
            return
        self.alive = False
        if self._transport is not None:
            self._transport.abort()
        self._out.clear()
        queue, self.pending = self.pending, deque()
        failed = sum(not command.future.done() for command in queue)
        for command in queue:
            fail_pending(command, f"the connection was lost: {error}", error)
        self._observer.on_lost(self, error, failed)


Connect = Callable[[ConnectionObserver], Awaitable[MultiplexedConnection]]
"""Opens a connection that is ready for commands."""


def fail_pending(pending: PendingCommand, why: str, cause: Exception | None = None) -> None:
    """Fail a command with StoreUnavailable, unless it is done already."""
    if not pending.future.done():
        error = StoreUnavailable(why)
        error.__cause__ = cause
        pending.future.set_exception(error)


async def connect(
    address: ServerAddress, observer: ConnectionObserver, replies: list[Any] | None = None
) -> MultiplexedConnection:
    """Open a connection and send the handshake. replies: its replies are appended here. Has no time limit. Raises
    OSError, RedisError."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, connection = await loop.create_unix_connection(
            lambda: MultiplexedConnection(observer), address.path
        )
    else:
        _, connection = await loop.create_connection(
            lambda: MultiplexedConnection(observer),
            address.host,
            address.port,
            ssl=address.context,
            server_hostname=address.host if address.tls else None,
        )
    try:
        handshake = address.handshake
        if address.login is not None:
            connection.login = login = await address.login.current()
            connection.login_at = time.monotonic()
            handshake = (login.command, *handshake)
        pending = PendingCommand(loop.create_future(), observer.ticks, 1, len(handshake))
        connection.write(b"".join(pack(words) for words in handshake), pending)
        for reply in await pending.future:
            if isinstance(reply, Exception):
                raise reply
            if replies is not None:
                replies.append(reply)
    except BaseException:
        connection.abort(ConnectionAbortedError("not ready"))
        raise
    return connection
