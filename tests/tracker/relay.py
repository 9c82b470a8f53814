"""A TCP relay in front of a service, which can hold either direction after a number of bytes: so a test knows that an
exchange is in its middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..waiting import close_listener

PIECE = 65_536


class Relay:
    """hold_up, hold_down: bytes of one connection towards the service, and from it, after which nothing passes until
    `release()`. up, down: bytes that have passed in all. held: set while a direction is held."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.hold_up: int | None = None
        self.hold_down: int | None = None
        self.up = 0
        self.down = 0
        self.held = asyncio.Event()
        self._go = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    def release(self) -> None:
        """Let everything pass from now on."""
        self.hold_up = self.hold_down = None
        self.held.clear()
        self._go.set()
        self._go = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far, out = await asyncio.open_connection("127.0.0.1", self.target, limit=PIECE)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, out}
        tasks = [
            asyncio.create_task(self._pump(reader, out, "up")),
            asyncio.create_task(self._pump(far, writer, "down")),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The end of one side is the end of both, and at once: a reset, as when a machine dies.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for end in (out, writer):
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()
            self._open -= {writer, out}

    async def close(self) -> None:
        """Reset every connection, and wait until none is left."""
        self.release()
        for end in self._open:
            end.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE):
                hold = self.hold_up if way == "up" else self.hold_down
                if hold is not None and passed + len(piece) > hold:
                    self.held.set()
                    await self._go.wait()
                sink.write(piece)
                await sink.drain()
                passed += len(piece)
                if way == "up":
                    self.up += len(piece)
                else:
                    self.down += len(piece)


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    """In front of a port."""
    found = Relay(target)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, limit=PIECE)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        await close_listener(server)
        await found.close()
