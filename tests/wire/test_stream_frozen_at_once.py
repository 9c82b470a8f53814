"""A client that asks for much at once and never reads it: one that resumes from far back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from bff.calls import SagaStatus
from bff.stores.journal import Entry

from .test_stream import AT, World, person, world


@contextlib.asynccontextmanager
async def frozen(one: World, size: int) -> AsyncIterator[None]:
    """Resumes at the beginning of a full journal, and freezes."""
    for version in range(1, 501):
        saga = SagaStatus(id="o1", type="order", status="RUNNING", version=version, at=AT, data="x" * size)
        await one.journal.append(person("ada").id, Entry.of(saga, now_ms=1))
    top = (await one.journal.open(person("ada").id, None)).position
    assert top is not None
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", one.port))
        head = f"GET /bff/live HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {top.epoch}-0\r\n\r\n"
        await loop.sock_sendall(sock, head.encode())
        await one.settled(1)
        await asyncio.sleep(0.5)
        yield


async def test_a_client_that_freezes_as_it_resumes_is_gone_in_time(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a beat's time later: nobody has to write to it again before it is noticed."""
    monkeypatch.setattr("bff.live.timer.STALL", 1.0)
    async with world(redis_url) as one, frozen(one, 600):
        async with asyncio.timeout(2.5):
            while one.hub.count:
                await asyncio.sleep(0.02)


async def test_a_client_that_freezes_as_it_resumes_costs_no_more_than_any_other(redis_url: str) -> None:
    async with world(redis_url) as one, frozen(one, 4_000):
        (stream,) = one.hub._streams
        held = stream._outlet._cycle.transport.get_write_buffer_size()  # type: ignore[attr-defined]  # uvicorn's
        assert held <= 256_000, f"{held} bytes wait for one client that does not read"
