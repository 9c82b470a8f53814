"""The parts of a connection that differ from uvicorn's: flow control, events, the pipeline.

They are smaller than uvicorn's, because each of ten thousand open streams has its own.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ..state import state_of

# Reasons to pause reading: a body that its request has not read (uvicorn's reason), waiting requests that hold as many
# bytes as are allowed, a client that does not read its answers.
_BODY, _WAITING, _WRITING = 1, 2, 4


class ConnectionFlow(FlowControl):
    """Uvicorn's, without the event that it makes for every connection in case writing is paused: a tenth of an open
    stream's memory. Reading is resumed when no reason to pause it is left. unread: seconds for which a client may read
    nothing while writing is paused (see StalledReader)."""

    def __init__(self, transport: asyncio.Transport, unread: float) -> None:
        self._transport = transport
        self._unread = unread
        self.read_paused = self.write_paused = False
        self._reasons = 0
        self._writable: asyncio.Event | None = None
        self._stalled: StalledReader | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        self._set(_BODY, True)

    def resume_reading(self) -> None:
        self._set(_BODY, False)

    def limit_waiting(self, full: bool) -> None:
        """full: waiting requests hold as many bytes as are allowed; read nothing until they hold fewer."""
        self._set(_WAITING, full)

    def read_to_end(self) -> None:
        """Read all that arrives; the caller drops it."""
        self._set(_BODY | _WAITING | _WRITING, False)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._set(_WRITING, True)
        self._stalled = StalledReader(self._transport, self._unread)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._set(_WRITING, False)
        stalled, self._stalled = self._stalled, None
        if stalled is not None:
            stalled.cancel()
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()

    def _set(self, reason: int, pause: bool) -> None:
        self._reasons = self._reasons | reason if pause else self._reasons & ~reason
        if self.read_paused != bool(self._reasons):
            self.read_paused = not self.read_paused
            if not self._transport.is_closing():
                self._transport.pause_reading() if self.read_paused else self._transport.resume_reading()


class StalledReader:
    """Aborts the connection of a client that reads nothing for `seconds`: the bytes that wait to be sent must become
    fewer. They are counted four times in that time, so a client is never cut off early, and at most a quarter of the
    time late."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._unsent = transport.get_write_buffer_size()
        self._since = self._loop.time()
        self._timer = self._loop.call_later(seconds / 4, self._check)

    def cancel(self) -> None:
        """The client reads again, or is gone."""
        self._timer.cancel()

    def _check(self) -> None:
        unsent, now = self._transport.get_write_buffer_size(), self._loop.time()
        if unsent < self._unsent:
            self._since = now
        elif now - self._since >= self._seconds:
            self._transport.abort()
            return
        self._unsent = unsent
        self._timer = self._loop.call_later(self._seconds / 4, self._check)


class LightEvent:
    """An `asyncio.Event` without its deque of waiters, which takes 600 bytes. A request's task waits on it for more of
    the body or for the client to leave."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        if self._is_set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


class RequestPipeline(list[Any]):
    """Requests that wait for their turn, the newest first, each as `[request, application, bytes]`. size: the bytes
    that all of them hold. A list, because requests hardly ever wait, and an empty deque takes 700 bytes."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def appendleft(self, waiting: tuple[RequestResponseCycle, Any]) -> None:
        self.insert(0, [*waiting, 0])

    def grow(self, size: int) -> None:
        """So many more bytes of the newest request have arrived."""
        self[0][2] += size
        self.size += size

    def pop(self, at: Any = -1) -> tuple[RequestResponseCycle, Any]:
        cycle, app, size = super().pop(at)
        self.size -= size
        return cycle, app

    def release(self) -> None:
        """These requests will not be answered: drop their bodies and their references to the connection."""
        while self:
            cycle, _ = self.pop()
            cycle.on_response = lambda: None
            cycle.body = bytearray()


def disconnect(cycle: RequestResponseCycle) -> None:
    """Notify a request, once, that its client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()
    state = state_of(cast(dict[str, Any], cycle.scope))
    state.is_lost = True
    while state.on_lost:
        state.on_lost.pop()()
