"""An application behind the connection of `bff serve`, in the test's loop: it starts faster than a process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from bff.edge.app.build import App
from bff.edge.http.protocol import HttpProtocol

from .served import end_tasks, listening


@asynccontextmanager
async def behind_own_connection(
    gateway: ASGIApp, runtime: App, sock: socket.socket | None = None
) -> AsyncIterator[int]:
    """Yields the port. gateway: the gateway, or an application in front of it; runtime: the started gateway; sock: a
    bound socket, default a new one."""
    async with own_server(gateway, runtime, sock) as server:
        yield server.servers[0].sockets[0].getsockname()[1]


@asynccontextmanager
async def own_server(
    gateway: ASGIApp, runtime: App, sock: socket.socket | None = None
) -> AsyncIterator[uvicorn.Server]:
    """Yields the server; `server_state.connections` are the open ones."""
    config = uvicorn.Config(
        gateway,
        http=partial(  # type: ignore[arg-type]
            HttpProtocol, settings=runtime.settings, admission=runtime.admission, bodies=runtime.bodies
        ),
        lifespan="off",
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=runtime.settings.http.keep_alive,
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock or listening()])
    try:
        yield server
    finally:
        for open_socket in server.servers:
            open_socket.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await end_tasks(server)
