"""Our own load generator, for machines without wrk: keep-alive connections on one asyncio loop, answers read by length.

It stops sending when the time is over and waits for the requests under way.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

import uvloop

from .bodies import sku
from .load import Load, Loaded

AT_MOST = 30.0
"""Seconds that an answer may take."""


class Counts:
    """The results of all connections together."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self.wrong = 0


async def _connection(load: Load, numbers: itertools.count[int], end: float, counts: Counts) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    try:
        while (began := time.perf_counter()) < end:
            number = next(numbers)
            head = f"GET {load.path.replace('{sku}', sku(number))} HTTP/1.1\r\nHost: bench\r\n"
            if load.tokens:
                head += f"Authorization: Bearer {load.tokens[number % len(load.tokens)]}\r\n"
            writer.write(f"{head}\r\n".encode())
            async with asyncio.timeout(AT_MOST):
                right = await _answer(reader, load.length)
            counts.took.append(time.perf_counter() - began)
            counts.wrong += not right
    except (OSError, EOFError, ValueError):
        counts.wrong += 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, length: int) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        size = 0
        while chunk := int(await reader.readuntil(b"\r\n"), 16):
            size += chunk
            await reader.readexactly(chunk + 2)
        await reader.readexactly(2)
    else:
        size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(size)
    return b" 200 " in head[:16] and size == length


async def apply(load: Load) -> Loaded:
    """Run the load."""
    counts = Counts()
    numbers = itertools.count(load.first)
    began = time.perf_counter()
    end = began + load.seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(load.connections):
            group.create_task(_connection(load, numbers, end, counts))
    took = sorted(counts.took) or [0.0]
    return Loaded(
        answers=len(counts.took),
        rate=round(len(counts.took) / (time.perf_counter() - began), 1),
        p50=took[len(took) // 2] * 1000,
        p99=took[len(took) * 99 // 100] * 1000,
        wrong=counts.wrong,
    )


if __name__ == "__main__":
    given = Load(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(vars(uvloop.run(apply(given)))))
