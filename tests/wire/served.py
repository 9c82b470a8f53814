"""A real uvicorn in the test's event loop, on a port of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from ..waiting import GUARD, close_listener


def listening() -> socket.socket:
    """A bound socket: its port is known before the application is created."""
    # asyncio turns Nagle off only when the protocol is named; otherwise each answer waits 40 ms for an acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    return sock


async def no_connections(listener: asyncio.Server) -> None:
    """Wait until the connections of a closed listener have ended, also those whose handshake a client gave up."""
    async with asyncio.timeout(GUARD):
        while getattr(listener, "_active_count", 0):
            await asyncio.sleep(0.005)


async def end_tasks(server: uvicorn.Server) -> None:
    """End what still answers, and wait for it: a task that is left to the end of the loop cannot close its file."""
    tasks = list(server.server_state.tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


@asynccontextmanager
async def served(
    app: Any, sock: socket.socket | None = None, *, cert: Path | None = None, key: Path | None = None
) -> AsyncIterator[str]:
    """Serve `app`, with TLS where it is given a certificate; yields its address. Ends at once and closes idle
    connections too."""
    sock = sock or listening()
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ssl_certfile=cert, ssl_keyfile=key)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not `serve`, which takes over the process's signals and takes 0.4 s to end.
    await server.startup([sock])
    try:
        yield f"{'http' if cert is None else 'https'}://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        # Not `shutdown`, which sleeps: no answer has to be finished.
        for listener in server.servers:
            await close_listener(listener)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        while server.server_state.connections:
            await asyncio.sleep(0)
        for listener in server.servers:
            await no_connections(listener)
        await end_tasks(server)
        sock.close()
