"""A client on a slow link that reads all the time."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bff.calls import SagaStatus
from bff.stores.journal import Entry

from .test_stream import AT, person, world

RATE = 10_000
"""Bytes a second: a train in a tunnel."""


@pytest.mark.slow
async def test_a_client_that_reads_slowly_but_always_gets_its_whole_snapshot(redis_url: str) -> None:
    async with world(redis_url) as one:
        for number in range(100):
            saga = SagaStatus(
                id=f"o{number}", type="order", status="RUNNING", version=1, at=AT, data="x" * 4000
            )
            await one.journal.append(person("ada").id, Entry.of(saga, now_ms=1))
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", one.port))
            await loop.sock_sendall(sock, b"GET /bff/live HTTP/1.1\r\nHost: x\r\n\r\n")
            got, began = b"", loop.time()
            while b"event: snapshot" not in got or b"\n\n" not in got.partition(b"event: snapshot")[2]:
                try:
                    piece = await loop.sock_recv(sock, RATE // 10)
                except ConnectionResetError:
                    piece = b""
                took = loop.time() - began
                assert piece, (
                    f"cut off after {took:.0f} s and {len(got)} bytes, though it never stopped reading"
                )
                got += piece
                await asyncio.sleep(0.1)
            body = got.partition(b"event: snapshot")[2]
            assert len(body) > 400_000
