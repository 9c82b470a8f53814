"""One connection to Redis that everybody writes to: commands of one turn of the loop leave in one write, answers come
back in the same order.

Promises that nobody's patience is another's loss: who gives up or is cancelled leaves his place in the row, and the
answer is dropped when it comes. Time is counted in ticks of the loop, between which it has listened: what the loop was
too busy to read was not late. Refuses more than `most` commands or `UNSENT` bytes that wait to be written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import hiredis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from ...calls import BffError
from .address import ServerAddress

UNSENT = 16 * 1024 * 1024
"""Bytes that may wait for a connection that takes no more."""

Packable = str | bytes | int | float


class StoreUnavailable(BffError):
    """Redis could not be reached in time or would not carry the command out. Its cause is the driver's error."""

    code = "unavailable"


def pack(command: Sequence[Packable]) -> bytes:
    """A command as it goes on the wire."""
    words: Any = tuple(command)  # its stub means one type for all words
    packed: bytes = hiredis.pack_command(words)
    return packed


def _error(text: str) -> ResponseError:
    word = text.partition(" ")[0]
    return {"NOSCRIPT": NoScriptError, "READONLY": ReadOnlyError}.get(word, ResponseError)(text)


class PendingCommand:
    """A place in the row. born: the tick it was asked at; limit: ticks it may take; replies: None for one answer, else
    the list that is filled until it has `count`."""

    __slots__ = ("count", "future", "limit", "replies", "start_tick")

    def __init__(self, future: asyncio.Future[Any], born: int, limit: int, count: int | None) -> None:
        self.future = future
        self.start_tick = born
        self.limit = limit
        self.replies: list[Any] | None = None if count is None else []
        self.count = count


class ConnectionObserver(Protocol):
    """Who holds the connection: its clock, and who is told of its end and of what Redis answered with an error."""

    ticks: int

    def on_data(self, wire: MultiplexedConnection) -> None: ...

    def on_lost(self, wire: MultiplexedConnection, error: Exception, pending: int) -> None: ...

    def on_error_reply(self, wire: MultiplexedConnection, error: Exception) -> None: ...


class MultiplexedConnection(asyncio.Protocol):
    """The row of commands under way on one connection. Once lost it stays lost."""

    def __init__(self, watch: ConnectionObserver) -> None:
        self.pending: deque[PendingCommand] = deque()
        self.last_data_tick = 0
        self.alive = False
        self._watch = watch
        self._reader = hiredis.Reader(protocolError=ConnectionError, replyError=_error)
        self._out: list[bytes] = []
        self._size = 0
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._soon: Callable[..., Any] = asyncio.get_running_loop().call_soon

    # ---- writing ---------------------------------------------------------------------------------------------

    def write(self, packed: bytes, pending: PendingCommand) -> None:
        """Put a command at the end of the row. Raises StoreUnavailable when too much waits already."""
        if self._size > UNSENT:
            raise StoreUnavailable("Redis takes no more for now")
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
            # uvloop's word for a connection that the other side has just closed.
            self.abort(error)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    # ---- reading ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.last_data_tick = self._watch.ticks
        self._watch.on_data(self)
        reader, row = self._reader, self.pending
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                pending = row[0]
                if isinstance(reply, Exception):
                    self._watch.on_error_reply(self, reply)
                if pending.replies is not None:
                    pending.replies.append(reply)
                    if len(pending.replies) != pending.count:
                        continue
                    reply = pending.replies
                row.popleft()
                if pending.future.done():
                    continue
                if isinstance(reply, Exception):
                    pending.future.set_exception(reply)
                    if isinstance(reply, ReadOnlyError):
                        raise ConnectionError("it is not the master any more")
                else:
                    pending.future.set_result(reply)
        except (ConnectionError, IndexError) as error:
            self.abort(ConnectionError(f"what came is no answer to go on from: {error}"))

    # ---- life ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport
        self.alive = True
        self.last_data_tick = self._watch.ticks

    def connection_lost(self, error: Exception | None) -> None:
        self.abort(error or ConnectionResetError("Redis closed the connection"))

    def abort(self, error: Exception) -> None:
        """End the connection; everyone in the row hears StoreUnavailable."""
        if not self.alive:
            return
        self.alive = False
        if self._transport is not None:
            self._transport.abort()
        self._out.clear()
        row, self.pending = self.pending, deque()
        pending = sum(not one.future.done() for one in row)
        for one in row:
            fail_pending(one, f"the connection was lost: {error}", error)
        self._watch.on_lost(self, error, pending)


Connect = Callable[[ConnectionObserver], Awaitable[MultiplexedConnection]]
"""Opens a connection that is ready for commands."""


def fail_pending(pending: PendingCommand, why: str, cause: Exception | None = None) -> None:
    """Tell whoever still waits for it."""
    if not pending.future.done():
        told = StoreUnavailable(why)
        told.__cause__ = cause
        pending.future.set_exception(told)


async def connect(
    address: ServerAddress, watch: ConnectionObserver, said: list[Any] | None = None
) -> MultiplexedConnection:
    """Open a connection and say the greeting; said: takes the answers. Raises OSError, RedisError. Bound it from
    outside."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, wire = await loop.create_unix_connection(lambda: MultiplexedConnection(watch), address.path)
    else:
        _, wire = await loop.create_connection(
            lambda: MultiplexedConnection(watch),
            address.host,
            address.port,
            ssl=address.tls,
            server_hostname=address.host if address.tls else None,
        )
    try:
        pending = PendingCommand(loop.create_future(), watch.ticks, 1, len(address.handshake))
        wire.write(b"".join(pack(words) for words in address.handshake), pending)
        for answer in await pending.future:
            if isinstance(answer, Exception):
                raise answer
            if said is not None:
                said.append(answer)
    except BaseException:
        wire.abort(ConnectionAbortedError("not ready"))
        raise
    return wire
