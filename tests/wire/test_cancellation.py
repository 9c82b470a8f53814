"""A gateway's deadlines are cancellations: thousands of calls that are cancelled midway must leave no resource held.

Stock httpx 0.28 fails this (encode/httpcore#1093), so no wire uses its connections.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from pydantic import BaseModel

from bff import Call, Upstream, UpstreamError
from bff.calls import Deadline, RequestContext, use_context
from bff.transport.aiohttp_wire import AiohttpWire
from bff.transport.h1_wire import H1Wire
from bff.transport.httpx_wire import HttpxWire
from bff.transport.pipeline import CallPipeline

from ..clients import upstream_client
from ..waiting import GUARD
from .upstream import http, raw_server


class Thing(BaseModel):
    name: str


class Store(Upstream, team="Store", contact="#store"):
    def thing(self) -> Call[Thing]:
        return self.get("/thing", Thing).public()


store = Store()
CONNECTIONS = 10


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        pytest.param(H1Wire, uvloop.run, id="h1-uvloop"),
        pytest.param(H1Wire, asyncio.run, id="h1-asyncio", marks=pytest.mark.slow),
        pytest.param(AiohttpWire, asyncio.run, id="aiohttp-asyncio"),
        pytest.param(HttpxWire, asyncio.run, id="httpx-asyncio"),
    ],
)
def test_nothing_leaks_after_75_rounds_of_40_calls_cancelled_at_random(
    kind: type[H1Wire | AiohttpWire | HttpxWire], run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    run(rounds(kind))


async def rounds(kind: type[H1Wire | AiohttpWire | HttpxWire]) -> None:
    dice = random.Random(7)

    async def sometimes_slow(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(dice.uniform(0.0, 0.05))
        writer.write(http(200, b'{"name":"x"}'))

    async with raw_server(sometimes_slow) as server:
        wire = kind(f"http://127.0.0.1:{server.port}", connections=CONNECTIONS, max_body=10_000)
        pipeline = CallPipeline({"store": upstream_client(wire)})

        async def call(seconds: float) -> bool:
            with use_context(RequestContext(Deadline.after(seconds), pipeline, "id")):
                try:
                    await store.thing()
                except UpstreamError:
                    return False
                return True

        before = len(asyncio.all_tasks())
        cut = 0
        for _ in range(75):
            results = await asyncio.gather(*(call(dice.uniform(0.0005, 0.06)) for _ in range(40)))
            cut += results.count(False)
        assert cut > 500, "the rounds must have cancelled calls"
        assert await asyncio.gather(*(call(GUARD) for _ in range(50))) == [True] * 50
        assert server.open <= CONNECTIONS
        assert len(asyncio.all_tasks()) - before <= CONNECTIONS, (
            "one serving task for each open connection at most"
        )
        await pipeline.close()
