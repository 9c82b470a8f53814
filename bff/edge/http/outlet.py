"""The outlet of a live stream that is written as server-sent events to an ASGI `send`.

A message is written without a task wherever that is safe. Uvicorn's `send` either writes before it first suspends, or
suspends before it writes anything, and it suspends only while writing is paused. So one step of it is enough: if it
suspends, it has written nothing, it is closed, and the message is buffered. With httptools `send` is not called at all:
it would write one chunk (RFC 9112, 7.1), which is encoded once for all clients that get the same event. An empty chunk
would end the body, so none is written: only `bye` ends a stream. Any other server, and any middleware that wraps
`send`, may suspend anywhere: there no message is written in one step.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from starlette.types import Send
from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as HttpToolsCycle

from ...live.outlet import Buffer, Bye, Snapshot
from ...stores.journal import Position
from . import sse
from .cycle import Cycle

# The last messages that were encoded: each is encoded once for all clients that get the same one.
_position: bytes | None = None
_entry: bytes | None = None
_saga = b""
_payload: bytes | None = None
_value = b""
_frame: bytes | None = None
_chunk = b""


class SseOutlet(ABC):
    """Encodes messages, and buffers those that the connection does not take; see `live.outlet.Outlet`. queue: messages
    that may wait. Subclasses write bytes to one kind of connection."""

    __slots__ = ("_buffer", "_queue", "full")

    def __init__(self, queue: int) -> None:
        self._queue = queue
        # None while the connection takes every message at once.
        self._buffer: Buffer | None = None
        self.full = False

    # ---- messages ------------------------------------------------------------------------------------------------

    def hello(self) -> bool:
        return self._buffer is not None or self._write_or_buffer(sse.HELLO)

    def state(self, snapshot: Snapshot, *, reset: bool, first: bool) -> bool:
        if self._buffer is not None:
            # The state has them, or newer ones.
            self._buffer.values.clear()
        return self._start(sse.state(snapshot, reset=reset), first=first)

    def history(
        self, after: Position | None, entries: Sequence[bytes], values: Sequence[bytes], *, first: bool
    ) -> bool:
        return self._start(sse.history(after, entries) + b"".join(map(sse.value, values)), first=first)

    def event(self, position: bytes, entry: bytes) -> bool:
        global _position, _entry, _saga
        if _entry is not entry or _position is not position:
            _position, _entry, _saga = position, entry, sse.saga(position, entry)
        return (self._buffer is None and self.write(_saga)) or self._put(_saga)

    def value(self, name: str, payload: bytes) -> bool:
        global _payload, _value
        if _payload is not payload:
            _payload, _value = payload, sse.value(payload)
        if self._buffer is None:
            return self.write(_value) or self._put(_value)
        self._buffer.values[name] = _value
        return False

    def heartbeat(self, at: str) -> bool:
        return self._buffer is not None or self._write_or_buffer(sse.heartbeat(at))

    def expiring(self, at: str, seconds: float) -> bool:
        return self._buffer is not None or self._write_or_buffer(sse.expiring(at, seconds))

    def bye(self, reason: Bye, retry_after: float | None) -> bool:
        frame = sse.bye(reason, retry_after)
        if self._buffer is None and self.write(frame, last=True):
            return True
        self._buffering().bye = frame
        return False

    # ---- the buffer ----------------------------------------------------------------------------------------------

    def _buffering(self) -> Buffer:
        if self._buffer is None:
            self._buffer = Buffer(self._queue)
        return self._buffer

    def _write_or_buffer(self, frame: bytes) -> bool:
        return (self._buffer is None and self.write(frame)) or self._put(frame)

    def _put(self, frame: bytes) -> bool:
        self.full = not self._buffering().put(frame)
        return False

    def _start(self, frame: bytes, *, first: bool) -> bool:
        frame = sse.HELLO + frame if first else frame
        if frame and not (self._buffer is None and self.write(frame)):
            self.full = not self._buffering().put_start(frame)
        elif self.paused:
            # A client that does not read is noticed without another write to it.
            self._buffering()
        return self._buffer is None

    @property
    def waiting(self) -> bool:
        buffer = self._buffer
        if buffer is None or len(buffer) or buffer.values or buffer.bye or self.paused:
            return buffer is not None
        self._buffer = None
        return False

    async def flush(self) -> None:
        chunk, last = self._buffering().take()
        await self.send(chunk, last=last)
        if last:
            self._buffer = None

    def discard(self) -> None:
        self.full = False
        if self._buffer is not None:
            self._buffer.clear()

    # ---- the connection ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def paused(self) -> bool:
        """The connection has too many unsent bytes to take more."""

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes that the connection holds and the network has not taken."""

    @abstractmethod
    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        """Write all of it now; False: nothing was written. An empty chunk is not written. Never raises."""

    @abstractmethod
    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        """Write as soon as the connection takes it; for an empty chunk only wait until it is not `paused`. Raises
        OSError or RuntimeError when it will never take it."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection off."""


class Inline(SseOutlet):
    """Under uvicorn. cycle: the request whose `send` it is."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: Any, queue: int) -> None:  # uvicorn's two cycles share no type
        super().__init__(queue)
        self._cycle = cycle

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        if not chunk and not last:
            return True
        step = self._cycle.send({"type": "http.response.body", "body": chunk, "more_body": not last})
        try:
            step.send(None)
        except (StopIteration, OSError, RuntimeError):
            # It is written, or the connection is closing, which the request learns from `receive`.
            return True
        step.close()
        return False

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        if chunk or last:
            await self._cycle.send({"type": "http.response.body", "body": chunk, "more_body": not last})
        else:
            await self._cycle.flow.drain()

    def abort(self) -> None:
        self._cycle.transport.abort()

    @property
    def paused(self) -> bool:
        return bool(self._cycle.flow.write_paused)

    @property
    def unsent(self) -> int:
        return int(self._cycle.transport.get_write_buffer_size())


class Direct(Inline):
    """Under uvicorn with httptools, in chunks. It refers directly to what each event needs: with ten thousand
    streams nothing is in the CPU's cache, and every object on the way costs an access to main memory."""

    __slots__ = ("_flow", "_transport_write")

    def __init__(self, cycle: HttpToolsCycle, queue: int) -> None:
        super().__init__(cycle, queue)
        if isinstance(cycle, Cycle):
            # It may still wait for the first piece of the body, which is written past it.
            cycle.send_head()
        self._flow = cycle.flow
        self._transport_write = cycle.transport.write

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        if last or not chunk:
            # A chunk of no bytes would end the body (RFC 9112 section 7.1).
            return super().write(chunk, last=last)
        if self._flow.write_paused:
            return False
        global _frame, _chunk
        if _frame is not chunk:
            _frame, _chunk = chunk, b"%x\r\n%b\r\n" % (len(chunk), chunk)
        try:
            self._transport_write(_chunk)
        except (OSError, RuntimeError):
            return True  # The connection is closing, which the request learns from `receive`.
        return True


class Queued(SseOutlet):
    """On any other server. Made in the request's task, which `abort` and the last chunk cancel; released: they have."""

    # Each chunk waits until the server takes it, and how much the server holds is not known.
    paused = False
    unsent = 0

    def __init__(self, send: Send, queue: int) -> None:
        super().__init__(queue)
        self._send = send
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.released = False

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        return False

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        if chunk or last:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
        if last:
            self.abort()

    def abort(self) -> None:
        self.released = True
        self._task.cancel()


def outlet(send: Send, queue: int) -> Inline | Queued:
    """The outlet that writes to this `send`, which has sent the head already. queue: messages that may wait."""
    cycle = getattr(send, "__self__", None)
    if isinstance(cycle, HttpToolsCycle) and cycle.chunked_encoding:
        return Direct(cycle, queue)
    return Inline(cycle, queue) if isinstance(cycle, HttpToolsCycle | H11Cycle) else Queued(send, queue)
