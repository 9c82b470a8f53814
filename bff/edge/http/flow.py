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


class Pipeline(list[Any]):
    """Requests in waiting: hardly ever one, and an empty deque takes 700 bytes."""

    def appendleft(self, waiting: Any) -> None:
        self.insert(0, waiting)

    def popleft(self) -> Any:
        return self.pop(0)
