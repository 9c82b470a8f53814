"""Redis is frozen under load: the loop runs on, screens are served, commands answer 503, and all recovers soon
afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from ..conftest import Valkey
from ..waiting import until
from .gateway import bearer, keyed
from .test_gateway_serve import Served, serve

RATE = 200  # requests a second, half of them screens
FROZEN = 1.0  # seconds


@dataclass
class Seen:
    """The answers. gap: the longest time in seconds that the loop did not run."""

    screens: Counter[int] = field(default_factory=Counter)
    commands: Counter[int] = field(default_factory=Counter)
    slowest_screen: float = 0.0
    gap: float = 0.0


def cpu_wait(*pids: int) -> float:
    """Seconds for which the first threads of these processes were ready but the CPU was busy with other processes."""
    seconds = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            seconds += int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    return seconds


async def _probe(served: Served, seen: Seen, over: asyncio.Event) -> None:
    """How long the loop does not run, measured from outside: a health page needs nothing but the loop. Time that other
    processes took from either side is subtracted."""
    pids = served.program.process.pid, os.getpid()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    while not over.is_set():
        began, before = time.monotonic(), cpu_wait(*pids)
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        seen.gap = max(seen.gap, time.monotonic() - began - (cpu_wait(*pids) - before))
        await asyncio.sleep(0.004)
    writer.close()


async def load(client: aiohttp.ClientSession, seen: Seen, seconds: float) -> None:
    """Send screens and commands in turn."""
    headers = bearer()

    async def screen() -> None:
        began = time.monotonic()
        async with client.get("/api/required/plain", headers=headers) as answer:
            await answer.read()
        seen.slowest_screen = max(seen.slowest_screen, time.monotonic() - began)
        seen.screens[answer.status] += 1

    async def command() -> None:
        seen.commands[await order(client)] += 1

    tasks = set()
    began = time.monotonic()
    for turn in range(int(seconds * RATE / 2)):
        tasks |= {asyncio.ensure_future(screen()), asyncio.ensure_future(command())}
        await asyncio.sleep(max(0.0, began + (turn + 1) * 2 / RATE - time.monotonic()))
    await asyncio.gather(*tasks)


async def order(client: aiohttp.ClientSession) -> int:
    headers = keyed()
    async with client.post("/api/things/ok", headers=headers, json={"name": "x"}) as answer:
        await answer.read()
        return answer.status


@asynccontextmanager
async def watched(served: Served, seen: Seen) -> AsyncIterator[None]:
    over = asyncio.Event()
    probe = asyncio.ensure_future(_probe(served, seen, over))
    try:
        yield
    finally:
        over.set()
        await probe


@asynccontextmanager
async def loaded(valkey: Valkey, folder: Path) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    env = {"BFF_LIMITS__DEFAULT": "1000000/minute", "BFF_REDIS__TIMEOUT": "0.5"}
    async with (
        serve(valkey.url, folder, **env) as served,
        aiohttp.ClientSession(
            f"http://127.0.0.1:{served.port}", connector=aiohttp.TCPConnector(limit=0)
        ) as client,
    ):
        yield served, client


async def freeze(valkey: Valkey, served: Served, client: aiohttp.ClientSession) -> tuple[Seen, float]:
    """The answers while Redis was frozen, and the seconds until commands succeeded again."""
    well, frozen = Seen(), Seen()
    async with watched(served, well):
        await load(client, well, FROZEN)
    assert set(well.screens) == {200} and well.commands[200]
    valkey.send(signal.SIGSTOP)
    async with watched(served, frozen):
        await load(client, frozen, FROZEN)
    valkey.send(signal.SIGCONT)
    woke = time.monotonic()

    async def carried_out() -> bool:
        return await order(client) == 200

    await until(carried_out)
    recovered = time.monotonic() - woke
    assert frozen.screens == {200: int(FROZEN * RATE / 2)}
    assert frozen.commands == {503: int(FROZEN * RATE / 2)}
    print(
        f"frozen: longest gap {frozen.gap * 1000:.0f} ms (well {well.gap * 1000:.0f}),"
        f" slowest screen {frozen.slowest_screen * 1000:.0f} ms (well {well.slowest_screen * 1000:.0f}),"
        f" commands again after {recovered * 1000:.0f} ms"
    )
    return frozen, recovered


async def test_while_redis_is_frozen_screens_are_served_and_commands_are_503_until_it_continues(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    async with loaded(own_valkey, tmp_path) as (served, client):
        await freeze(own_valkey, served, client)


@pytest.mark.slow
@pytest.mark.alone
async def test_a_frozen_redis_under_load_delays_neither_the_loop_nor_screens(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    async with loaded(own_valkey, tmp_path) as (served, client):
        gaps, recoveries = [], []
        # The best of three, because other processes on the machine disturb the measurement.
        for _ in range(3):
            frozen, recovered = await freeze(own_valkey, served, client)
            gaps.append(frozen.gap)
            recoveries.append(recovered)
            if frozen.gap < 0.05 and recovered < 1:
                break
        assert min(gaps) < 0.05 and min(recoveries) < 1
