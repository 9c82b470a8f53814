"""HTTP/1.0, as the connection's own protocol promises to speak it."""

from __future__ import annotations

import asyncio
from functools import partial

from bff.edge.http.protocol import HttpProtocol
from bff.edge.settings import Settings

from .test_stream import world


async def test_an_http_1_0_client_gets_a_stream_without_chunks(redis_url: str) -> None:
    """RFC 9112, 6.1: no Transfer-Encoding in an answer to HTTP/1.0; the body ends with the connection."""
    protocol = partial(HttpProtocol, settings=Settings())
    async with world(redis_url, http=protocol) as one:  # type: ignore[arg-type]  # as `bff serve` gives it
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(b"GET /bff/live HTTP/1.0\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"event: snapshot")
        writer.transport.abort()
        assert b"transfer-encoding" not in head.lower()
        assert body == b"retry: 1000\n\nevent: snapshot", body
