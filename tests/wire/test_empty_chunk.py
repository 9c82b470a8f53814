"""A chunk of no bytes ends a body (RFC 9112 section 7.1), so an empty write must not become a chunk."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import uvicorn

from bff.edge.http.outlet import outlet

from ..waiting import close_listener
from .served import listening


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_an_empty_chunk_does_not_end_a_stream(http: Any, wrapped: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def through(message: Any) -> None:
            await send(message)

        out = outlet(through if wrapped else send, 256)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in (b"", b"a", b"", b"b"):
            if not out.write(chunk):
                await out.send(chunk)
            await out.send(b"")
        try:
            await out.send(b"", last=True)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass

    sock = listening()
    config = uvicorn.Config(app, http=http, log_level="critical", lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([sock])
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"http://127.0.0.1:{sock.getsockname()[1]}/")
        assert answer.text == "ab"
    finally:
        for listener in server.servers:
            await close_listener(listener)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        while server.server_state.connections:
            await asyncio.sleep(0)
        sock.close()
