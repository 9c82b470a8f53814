"""What a lost connection held is released without the garbage collector: requests, bodies, parsers."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httptools
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from bff.edge.http.protocol import HttpProtocol

from ..waiting import GUARD
from .gateway import running
from .own_connection import behind_own_connection
from .probes import CL, H2C, TE, WISH, get, post

KINDS = (HttpProtocol, RequestResponseCycle, httptools.HttpRequestParser)


@contextmanager
def without_collector() -> Iterator[None]:
    # pytest keeps what is logged: exceptions, and with them the requests in which they were raised.
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.disable()
    # Objects that exist already are not scanned again and again.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
        logging.disable(logging.NOTSET)


def held() -> Counter[str]:
    """Objects created since the collector was stopped."""
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, KINDS))


def holders(depth: int = 6) -> str:
    """Why they are still there: for each of them, the objects that lead to it, nearest first."""
    lines = []
    left = [one for one in gc.get_objects() if isinstance(one, KINDS)][:3]
    # The collector looks for what refers to them among all objects.
    gc.unfreeze()
    for one in left:
        line, objects = [type(one).__name__], [one]
        for _ in range(depth):
            passed = {id(objects), id(left), *map(id, objects)}
            found = [
                by for by in gc.get_referrers(*objects) if id(by) not in passed and by is not sys._getframe()
            ]
            line.append(", ".join(sorted({repr(by)[:150] for by in found})[:4]))
            objects = found
        lines.append("\n  ".join(line))
    return "\n".join(lines)


BODY = b"x" * 60_000
LONG = f"content-length: {len(BODY)}"
STREAM = get("/bff/live", close=False)
# The bytes that are sent before the client disconnects, and whether it first waits for and reads an answer.
TRAFFIC = {
    "a screen": (get(), True),
    "a screen, kept alive": (get(close=False), True),
    "a command": (post(CL) + WISH, True),
    "a command in chunks": (post(TE) + b"c\r\n" + WISH + b"\r\n0\r\n\r\n", True),
    "a command with h2c": (post(*H2C, CL) + WISH, True),
    "an unknown address": (get("/nowhere", close=False), True),
    "a bug in a view": (get("/api/bug", close=False), True),
    "bytes that are no request": (b"nonsense\r\n\r\n", True),
    "a head that is too large": (get("/api/me", "a: " + "b" * 40_000), True),
    "a body that is too large": (post("content-length: 70000") + b"x" * 70_000, True),
    "half a head": (get()[:-9], False),
    "half a body": (post(LONG) + BODY[:30_000], False),
    "half a body after h2c": (post(*H2C, LONG) + BODY[:30_000], False),
    "a stream": (STREAM, True),
    "requests behind a stream": (STREAM + (post(LONG, close=False) + BODY) * 6, True),
    "requests behind a slow answer": (get("/api/required/hang", close=False) + post(LONG) + BODY, False),
    "half a request behind a slow answer": (
        get("/api/required/hang", close=False) + post(LONG) + BODY[:9],
        False,
    ),
    "too many requests": (get("/api/required/hang", close=False) * 20, False),
    "answers nobody reads": (
        get("/openapi.json", close=False) * 12 + (post(LONG, close=False) + BODY) * 4,
        False,
    ),
}


async def visit(port: int, sends: bytes, waits: bool, how: str) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    with raw:
        await loop.sock_connect(raw, ("127.0.0.1", port))
        sending = asyncio.create_task(loop.sock_sendall(raw, sends))
        if waits:
            assert await asyncio.wait_for(loop.sock_recv(raw, 1), 20)
        else:
            await asyncio.wait([sending], timeout=0.1)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        if how == "resets":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_everything_of_a_lost_connection_is_released(redis_url: str, how: str) -> None:
    async with (
        running(
            redis_url,
            limits={"default": "100000/minute"},
            http={"head_timeout": 1, "body_timeout": 1},
            live={"beat": 1},
        ) as world,
        behind_own_connection(world.gateway, await world.gateway.start()) as port,
    ):

        async def hang(asked: object, writer: object) -> None:
            await asyncio.sleep(30)

        world.upstream.answers["/things/hang"] = hang
        for sends, waits in TRAFFIC.values():
            await visit(port, sends, waits, how)  # what is created once exists afterwards
        for what, (sends, waits) in TRAFFIC.items():
            with without_collector():
                assert not held()
                await asyncio.gather(*(visit(port, sends, waits, how) for _ in range(3)))
                left = held()
                end = time.monotonic() + GUARD
                while left and time.monotonic() < end:
                    await asyncio.sleep(0.1)
                    left = held()
                assert not left, f"{what}: {left}\n{holders()}"
