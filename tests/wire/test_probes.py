"""`bff serve` against hostile bytes, over real sockets, with an upstream that records every request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path

import pytest

from ..waiting import GUARD
from . import probes
from .gateway import running
from .own_connection import behind_own_connection
from .probes import Probe, get, in_pieces, play
from .test_gateway_serve import Served, serve

PATIENT = {
    "BFF_LIMITS__DEFAULT": "100000/minute",
    "BFF_HTTP__HEAD_TIMEOUT": "60",
    "BFF_HTTP__BODY_TIMEOUT": "60",
}
QUICK = {
    "BFF_LIMITS__DEFAULT": "100000/minute",
    "BFF_HTTP__HEAD_TIMEOUT": "1",
    "BFF_HTTP__BODY_TIMEOUT": "1",
    "BFF_HTTP__KEEP_ALIVE": "1",
}


async def mistakes(served: Served, table: list[Probe]) -> list[str]:
    """Send each probe; returns what was wrong, with the requests at the upstream meanwhile."""
    found = []
    for probe in table:
        served.upstream.asked.clear()
        try:
            answers: object = await play(served.port, probe)
        except (AssertionError, TimeoutError, ConnectionError) as error:
            answers = repr(error)
        asked = tuple(one.path for one in served.upstream.asked)
        if answers != probe.answers or asked != probe.asked:
            found.append(f"{probe.name}: {answers} for {probe.answers}, asked {asked}")
    return found


async def test_each_hostile_request_gets_its_answer_and_reaches_the_upstream_as_one_request_at_most(
    redis_url: str, tmp_path: Path
) -> None:
    table = [
        *probes.plain(),
        *probes.framing(),
        *probes.lines(),
        *probes.addresses(),
        *probes.sizes(),
        *probes.rows(),
        *probes.upgrades(),
    ]
    assert len(table) + len(probes.slow()) >= 60
    assert not any(status >= 500 for probe in table for status in probe.answers)
    async with serve(redis_url, tmp_path, **PATIENT) as served:
        assert await mistakes(served, table) == []
        # The places where the network splits the bytes must not matter. What is sent after an announced end may meet a
        # closed connection, though.
        ended = (
            "a second after the last",
            "h2c",
            "h2c, a body, another request",
            "h2c, chunks, another request",
        )
        rows = [
            one for one in (*probes.framing(), *probes.rows(), *probes.upgrades()) if one.name not in ended
        ]
        short = [one for one in rows if sum(map(len, one.sends)) < 2_000]
        assert await mistakes(served, [in_pieces(one, 7 + n % 60) for n, one in enumerate(short)]) == []
        assert "Traceback" not in served.said()


async def test_each_slow_connection_is_ended_in_time_with_its_answer(redis_url: str, tmp_path: Path) -> None:
    async with serve(redis_url, tmp_path, **QUICK) as served:
        table = probes.slow()
        ended = await asyncio.gather(*(play(served.port, probe) for probe in table))
        assert [(probe.name, one) for probe, one in zip(table, ended, strict=True)] == [
            (probe.name, probe.answers) for probe in table
        ]
        assert "Traceback" not in served.said()


SOCKETS = 1_000


@pytest.mark.slow
@pytest.mark.alone
async def test_a_thousand_slow_sockets_are_closed_within_ten_seconds_while_others_are_served(
    redis_url: str, tmp_path: Path
) -> None:
    """The timeouts have their default values. A third of the sockets is silent, a third stops in the head, a third in
    the body."""
    head, body = get()[:-2], probes.post(probes.CL)
    async with serve(redis_url, tmp_path, BFF_LIMITS__DEFAULT="100000/minute") as served:
        ended: list[float] = []
        waits: list[float] = []
        began = time.monotonic()

        async def crawl(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write((b"", head, body)[number % 3])
            await reader.read()
            writer.close()
            ended.append(time.monotonic() - began)

        async def ask() -> None:
            while len(ended) < SOCKETS:
                asked = time.monotonic()
                assert (await served.client.get("/api/open/ok")).status_code == 200
                waits.append(time.monotonic() - asked)
                await asyncio.sleep(0.02)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(ask())
            for number in range(SOCKETS):
                group.create_task(crawl(number))
        waits.sort()
        print(
            f"shed in {max(ended):.1f} s; {len(waits)} others, median {waits[len(waits) // 2] * 1000:.1f} ms"
        )
        assert max(ended) < 10
        assert len(waits) > 20
        assert waits[len(waits) // 2] < 0.5


async def unread(port: int, seconds: float) -> int:
    """Bytes that arrive when a client requests much and starts to read only after so many seconds."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    document = get("/openapi.json", close=False)
    await loop.sock_sendall(raw, document * 15 + get("/openapi.json"))
    await asyncio.sleep(seconds)
    came = 0
    with raw, contextlib.suppress(ConnectionError):
        while some := await asyncio.wait_for(loop.sock_recv(raw, 65_536), 10):
            came += len(some)
    return came


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_cut_off(redis_url: str, tmp_path: Path) -> None:
    async with serve(redis_url, tmp_path, **QUICK, BFF_HTTP__UNREAD="1.5") as served:
        size = 16 * len((await served.client.get("/openapi.json")).content)
        assert await unread(served.port, 0.1) > size
        assert await unread(served.port, 5) < size


async def test_a_connection_beyond_the_limit_gets_503_and_is_closed(redis_url: str) -> None:
    async with (
        running(redis_url, http={"connections": 8, "head_timeout": 1}) as world,
        behind_own_connection(world.gateway, await world.gateway.start()) as port,
    ):
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        said = await asyncio.gather(*(asyncio.wait_for(reader.read(), GUARD) for reader, _ in crowd))
        refused = [one for one in said if one]
        assert len(refused) == 4, "connections within the limit are silent and end without an answer"
        assert all(one.startswith(b"HTTP/1.1 503 ") and b'"unavailable"' in one for one in refused)
        for _, writer in crowd:
            writer.close()


@pytest.mark.slow
async def test_a_client_that_reads_slowly_gets_all_of_it(redis_url: str, tmp_path: Path) -> None:
    async with serve(redis_url, tmp_path, **QUICK, BFF_HTTP__UNREAD="0.8") as served:
        size = 16 * len((await served.client.get("/openapi.json")).content)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", served.port))
        await loop.sock_sendall(raw, get("/openapi.json", close=False) * 15 + get("/openapi.json"))
        came, began = 0, loop.time()
        with raw:
            while some := await asyncio.wait_for(loop.sock_recv(raw, 2_000), 10):
                came += len(some)
                await asyncio.sleep(0.02)
        print(f"{came} bytes in {loop.time() - began:.1f} s")
        assert came > size
