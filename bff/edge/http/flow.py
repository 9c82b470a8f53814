"""What uvicorn keeps for every connection, made smaller: ten thousand open streams pay for it ten thousand times."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Uvicorn's, less what it keeps for every connection in case writing is paused: a tenth of an open stream."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()


class Unread:
    """Cuts a connection off that takes nothing for `seconds`: what waits for it has to become less. Looks a few times
    in between, so a client is not cut early, and is at most a quarter late."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._left = transport.get_write_buffer_size()
        self._since = loop.time()
        self._timer = loop.call_later(seconds / 4, self._look)

    def cancel(self) -> None:
        """It takes what it is given."""
        self._timer.cancel()

    def _look(self) -> None:
        left, now = self._transport.get_write_buffer_size(), self._loop.time()
        if left < self._left:
            self._since = now
        elif now - self._since >= self._seconds:
            self._transport.abort()
            return
        self._left = left
        self._timer = self._loop.call_later(self._seconds / 4, self._look)


class Pipeline(list[Any]):
    """Requests in waiting: hardly ever one, and an empty deque takes 700 bytes."""

    def appendleft(self, waiting: Any) -> None:
        self.insert(0, waiting)

    def popleft(self) -> Any:
        return self.pop(0)
