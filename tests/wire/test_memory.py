"""The memory of `bff serve`: what a connection can make it hold, and that it is released."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from bff.edge.memory import GROWTH, LEAST, MemoryWatch

from .probes import get, post
from .test_gateway_serve import Served, serve

CROWD = 90
SECONDS = 8.0
BODY = b"x" * 60_000
DOCUMENT = get("/openapi.json", close=False)


def resident(served: Served) -> int:
    pages = Path(f"/proc/{served.program.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def flood(port: int, until: float) -> int:
    """Answers that the client does not read, and behind them commands that wait for their turn, in repeated rounds."""
    loop = asyncio.get_running_loop()
    made = 0
    while time.monotonic() < until:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            raw.setblocking(False)
            try:
                await loop.sock_connect(raw, ("127.0.0.1", port))
                async with asyncio.timeout(0.5):
                    await loop.sock_sendall(raw, DOCUMENT * 8)
                    await asyncio.sleep(0.05)
                    command = post(f"content-length: {len(BODY)}", user=False, close=False) + BODY
                    await loop.sock_sendall(raw, command * 12)
                    await asyncio.sleep(0.3)
            except (TimeoutError, OSError):
                pass
        made += 1
    return made


async def test_commands_behind_unread_answers_do_not_fill_the_memory(redis_url: str, tmp_path: Path) -> None:
    async with serve(
        redis_url, tmp_path, BFF_LIMITS__DEFAULT="1000000/minute", BFF_ADMISSION__LAG="5"
    ) as served:
        assert (await served.client.get("/openapi.json")).status_code == 200
        before, most = resident(served), 0
        until = time.monotonic() + SECONDS
        flooding = [asyncio.create_task(flood(served.port, until)) for _ in range(CROWD)]
        while any(not one.done() for one in flooding):
            most = max(most, resident(served))
            await asyncio.sleep(0.1)
        made = sum(one.result() for one in flooding)
        async with asyncio.timeout(60):
            while (after := resident(served)) > 1.2 * before:
                await asyncio.sleep(0.5)
        print(
            f"\n{made} connections, {CROWD} at a time: {before / 1e6:.0f} MB before, at most {most / 1e6:.0f} MB, "
            f"{after / 1e6:.0f} MB after"
        )
        assert most <= 130_000_000
        assert (await served.client.get("/livez")).status_code == 200


def test_only_growth_causes_a_full_collection() -> None:
    sizes = [100_000_000]
    collected: list[int] = []

    def full() -> None:
        collected.append(sizes[0])
        sizes[0] = 110_000_000

    watch = MemoryWatch(lambda: sizes[0], full)
    watch._floor = sizes[0]
    limit = int(100_000_000 * GROWTH + LEAST)
    for size, times in ((limit, 0), (limit + 1, 1), (limit + 1, 1), (110_000_000 * GROWTH + LEAST + 1, 2)):
        sizes[0] = int(size)
        watch.check()
        assert len(collected) == times
    sizes[0] = 50_000_000
    watch.check()
    sizes[0] = int(50_000_000 * GROWTH + LEAST + 1)
    watch.check()
    assert len(collected) == 3, "the baseline decreases with the process"


async def test_without_a_known_process_size_nothing_is_collected() -> None:
    async with asyncio.timeout(20):
        await MemoryWatch(lambda: None, lambda: pytest.fail("collected")).run()
