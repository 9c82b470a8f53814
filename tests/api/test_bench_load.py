"""The benchmark's load generator: what it sends, which answers are wrong, and from when an answer's time counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.fanout.load import Load
from benchmarks.fanout.own_load import apply

from ..waiting import close_listener

HEAD = "GET /open/{sku} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def service(answer: Callable[[int], bytes], after: float = 0.0) -> AsyncIterator[tuple[int, list[str]]]:
    """Its port, and the heads of its requests. answer: (how many came before) → the bytes, none: it closes; after:
    seconds from the first request until any answer."""
    heads: list[str] = []
    ready = asyncio.Event()
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if not heads:
                    asyncio.get_running_loop().call_later(after, ready.set)
                heads.append(head)
                await ready.wait()
                if not (data := answer(len(heads) - 1)):
                    break
                writer.write(data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        await close_listener(server)
        # The load has closed its connections.
        await asyncio.gather(*(task for task in serving if task is not None))


def load(
    port: int, *, seconds: float = 0.0, connections: int = 1, rate: float = 0.0, count: int = 20
) -> Load:
    tokens = ("a", "b", "c")
    return Load(port, HEAD, 7, connections, seconds, 5, rate=rate, count=count, tokens=tokens)


async def test_each_request_asks_for_another_product_with_the_next_token() -> None:
    async with service(lambda _: RIGHT) as (port, heads):
        found = await apply(load(port))
    assert found.answers == len(heads) == 20 and found.wrong == 0
    assert [head.split()[1] for head in heads] == [f"/open/p{7 + number:09d}" for number in range(20)]
    assert [head.split()[-1] for head in heads] == [("a", "b", "c")[(7 + number) % 3] for number in range(20)]


async def test_a_chunked_answer_is_read_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    async with service(lambda _: chunked) as (port, _):
        found = await apply(load(port))
    assert (found.answers, found.wrong) == (20, 0)


@pytest.mark.parametrize(
    "other",
    [
        b"HTTP/1.1 503 Sorry\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ],
)
async def test_an_answer_with_another_status_or_length_is_wrong(other: bytes) -> None:
    async with service(lambda number: other if number == 3 else RIGHT) as (port, _):
        found = await apply(load(port))
    assert (found.answers, found.wrong) == (20, 1)


async def test_a_connection_that_is_closed_without_an_answer_is_wrong() -> None:
    async with service(lambda number: b"" if number == 3 else RIGHT) as (port, _):
        found = await apply(load(port, connections=1))
    assert (found.answers, found.wrong) == (3, 1)


async def test_at_a_constant_rate_a_request_that_had_to_wait_is_late() -> None:
    async with service(lambda _: RIGHT, after=0.4) as (port, heads):
        found = await apply(load(port, seconds=0.3, rate=100.0, count=0))
    assert found.answers == len(heads) and found.wrong == 0 and found.answers > 1
    assert found.p50 > 100, "milliseconds: the requests due meanwhile waited for the only connection"
