"""Clients that read slowly, and clients that freeze while much is sent to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest

from bff.calls import SagaStatus
from bff.edge.http.outlet import Direct
from bff.stores.journal import Entry

from ..waiting import GUARD, until
from .test_stream import AT, World, client, offsets, person, world


async def fill(one: World, sagas: int, versions: int, size: int) -> None:
    for version in range(1, versions + 1):
        for number in range(sagas):
            saga = SagaStatus(
                id=f"o{number}", type="order", status="RUNNING", version=version, at=AT, data="x" * size
            )
            await one.journal.append(person("ada").id, Entry.of(saga, now_ms=1))


@contextlib.asynccontextmanager
async def narrow(one: World, cursor: str = "") -> AsyncIterator[socket.socket]:
    """A stream over a connection with small buffers, which is not read."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", one.port))
        await loop.sock_sendall(
            sock, f"GET /bff/live HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {cursor}\r\n\r\n".encode()
        )
        await one.settled(1)
        yield sock


@pytest.mark.parametrize(
    ("rate", "stall"),
    [
        pytest.param(80_000, 3.0, id="a phone, with a third of the time limit"),
        pytest.param(10_000, 12.0, id="a train in a tunnel", marks=pytest.mark.slow),
    ],
)
async def test_a_client_that_reads_slowly_but_always_gets_its_whole_snapshot(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, rate: int, stall: float
) -> None:
    """rate: bytes a second."""
    monkeypatch.setattr("bff.live.scheduler.STALL", stall)
    async with world(redis_url) as one:
        await fill(one, 100, 1, 4_000)
        loop = asyncio.get_running_loop()
        async with narrow(one) as sock:
            got, began = b"", loop.time()
            while b"event: snapshot" not in got or b"\n\n" not in got.partition(b"event: snapshot")[2]:
                with contextlib.suppress(ConnectionResetError):
                    piece = b""
                    piece = await loop.sock_recv(sock, rate // 10)
                took = loop.time() - began
                assert piece, f"cut off after {took:.0f} s and {len(got)} bytes, although it never stopped"
                got += piece
                await asyncio.sleep(0.1)
            assert len(got) > 400_000 and loop.time() - began > 1.5 * stall


async def test_a_client_that_freezes_as_it_joins_is_cut_off_in_time(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another write to it, so before the next heartbeat."""
    monkeypatch.setattr("bff.live.scheduler.STALL", 1.0)
    # The first heartbeat would come after a minute at the earliest.
    async with world(redis_url, beat=4 * GUARD) as one:
        await fill(one, 60, 1, 4_000)
        began = time.monotonic()
        async with narrow(one):
            await until(lambda: one.hub.count == 0)
        assert time.monotonic() - began >= 1.0, "it had no time to continue reading"


async def test_a_client_that_freezes_as_it_resumes_costs_bounded_memory(redis_url: str) -> None:
    async with world(redis_url) as one:
        await fill(one, 1, 500, 4_000)
        top = (await one.journal.open(person("ada").id, None)).position
        assert top is not None
        async with narrow(one, f"{top.epoch}-0"):
            (stream,) = one.hub._streams
            await until(lambda: stream.position == top)
            assert isinstance(stream._outlet, Direct)
            assert stream.unsent <= 150_000, "for one client that does not read"


@pytest.mark.parametrize(
    ("sagas", "versions", "event_name"), [(1, 60, "reset"), (60, 1, "saga"), (1, 20, "saga")]
)
async def test_a_client_that_resumes_gets_the_state_where_that_is_less_than_a_long_history(
    redis_url: str, sagas: int, versions: int, event_name: str
) -> None:
    """64 KiB is long."""
    async with world(redis_url) as one:
        await fill(one, sagas, versions, 2_000)
        top = (await one.journal.open(person("ada").id, None)).position
        assert top is not None
        async with client(one, after=f"{top.epoch}-0") as ada:
            event = await ada.until(event_name)
            if event_name == "reset":
                assert event.id == str(top) and [row["version"] for row in event.data["sagas"]] == [versions]
            else:
                rest = [await ada.until("saga") for _ in range(sagas * versions - 1)]
                assert offsets([event, *rest]) == list(range(1, sagas * versions + 1))
            await one.tell("o0", versions + 1)
            assert offsets([await ada.until("saga")]) == [top.offset + 1]
