"""More clients than a gateway can serve: a screen of three parts, a slow upstream, and clients that send at a fixed
rate without waiting for answers. The gateway and the upstream are processes of their own.

    python -m tests.wire.crowd upstream <port> <milliseconds>
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from pydantic import BaseModel

from bff import Call, Gateway, Part, Upstream, optional, together

from ..conftest import ROOT, free_port

BUDGET = 0.5
"""Seconds the screen may take."""


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, name: str, number: int) -> Call[Thing]:
        return self.get("/{name}/{number}", Thing, name=name, number=number).public()


class Screen(BaseModel):
    one: Thing
    two: Part[Thing]
    three: Part[Thing]


shelf = Shelf()
crowded = Gateway("crowded", deadline=BUDGET)


@crowded.view("/api/screen/{number}", public=True)
async def screen(number: int) -> Screen:
    one, two, three = await together(
        shelf.thing("one", number),
        optional(shelf.thing("two", number)),
        optional(shelf.thing("three", number)),
    )
    return Screen(one=one, two=two, three=three)


# ---- the upstream ------------------------------------------------------------------------------------------------

_ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{"name":"good"}'


class _Slow(asyncio.Protocol):
    def __init__(self, delay: float) -> None:
        self._delay = delay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            asyncio.get_running_loop().call_later(self._delay, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def _upstream(port: int, delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Slow(delay), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


# ---- the crowd ---------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """What the clients measured.

    admitted, refused  seconds each took
    complete           screens with all their parts
    timeouts           admitted requests answered 504
    broken             other answers, and broken connections
    unasked            requests not sent because no connection was free
    behind             seconds by which the client was late with each request
    """

    admitted: list[float] = field(default_factory=list)
    complete: int = 0
    refused: list[float] = field(default_factory=list)
    timeouts: int = 0
    broken: int = 0
    unasked: int = 0
    behind: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def later_than(self, seconds: float) -> float:
        """The share of the admitted requests that took longer."""
        return sum(took > seconds for took in self.admitted) / max(1, len(self.admitted))

    def __str__(self) -> str:
        screens = (len(self.admitted) - self.timeouts) / self.seconds
        late = 100 * self.later_than(BUDGET + 0.025)
        return (
            f"{screens:.0f} screens/s; {len(self.admitted)} admitted, {_spread(self.admitted)}, "
            f"{self.complete} complete, {self.timeouts} of them 504, {late:.2f} % later than budget + 25 ms; "
            f"{len(self.refused)} refused, {_spread(self.refused)}; {self.broken} broken, {self.unasked} unasked; "
            f"the crowd behind {_spread(self.behind)}"
        )


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    ranked = [round(one * 1000) for one in sorted(seconds)]
    return f"p50 {ranked[len(ranked) // 2]} p99 {ranked[len(ranked) * 99 // 100]} max {ranked[-1]} ms"


_numbers = itertools.count()


class _Asker(asyncio.Protocol):
    def __init__(self, found: Found, idle: list[_Asker]) -> None:
        self._found = found
        self._idle = idle
        self._began = 0.0
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def ask(self) -> None:
        self._began = time.perf_counter()
        # Every request asks for another thing, so that coalescing saves no work.
        self._transport.write(b"GET /api/screen/%d HTTP/1.1\r\nhost: x\r\n\r\n" % next(_numbers))

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, separator, body = self._read.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        took = time.perf_counter() - self._began
        self._began = 0.0
        self._read = b""
        status = head[9:12]
        if status == b"503" and b"retry-after" in head.lower():
            self._found.refused.append(took)
        elif status in (b"200", b"504"):
            self._found.admitted.append(took)
            self._found.timeouts += status == b"504"
            self._found.complete += b"bff-complete: true" in head.lower()
        else:
            self._found.broken += 1
        self._idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._found.broken += bool(self._began)
        if self in self._idle:
            self._idle.remove(self)


async def crowd(port: int, *, rate: float, seconds: float, most: int = 2000) -> Found:
    """Send `rate` requests a second, whatever the answers, over `most` connections. A request for which no connection
    is free is not sent."""
    found, idle, every = Found(), [], []
    loop = asyncio.get_running_loop()
    for _ in range(most):
        _, asker = await loop.create_connection(lambda: _Asker(found, idle), "127.0.0.1", port)
        every.append(asker)
    idle += every
    began = time.perf_counter()
    sent = 0
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * rate:
            if not idle:
                found.unasked += 1
                sent += 1
                continue
            idle.pop().ask()
            found.behind.append(max(0.0, time.perf_counter() - began - sent / rate))
            sent += 1
        await asyncio.sleep(0.001)
    end = time.perf_counter() + 10
    while len(idle) < len(every) and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    found.seconds = seconds
    for asker in every:
        asker._transport.abort()
    await asyncio.sleep(0)
    return found


async def saturated(port: int, *, connections: int = 64, seconds: float = 2.0) -> float:
    """Answers a second when each connection waits for its answer before the next request."""
    found, idle = Found(), []
    loop = asyncio.get_running_loop()
    every = []
    for _ in range(connections):
        _, asker = await loop.create_connection(lambda: _Asker(found, idle), "127.0.0.1", port)
        every.append(asker)
        asker.ask()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        await asyncio.sleep(0.001)
        while idle:
            idle.pop().ask()
    rate = len(found.admitted) / (time.perf_counter() - began)
    for asker in every:
        asker._transport.abort()
    await asyncio.sleep(0)
    return rate


# ---- the processes -----------------------------------------------------------------------------------------------


@contextmanager
def process(*arguments: str, env: dict[str, str] | None = None) -> Iterator[None]:
    """Start a Python process; it ends with the block."""
    running = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        running.kill()
        running.wait()


async def _up(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


@asynccontextmanager
async def gateway(redis_url: str, upstream: int, **settings: object) -> AsyncIterator[int]:
    """`bff serve` in front of this upstream. settings: further environment. Yields its port."""
    port = free_port()
    env = {
        "BFF_PORT": str(port),
        "BFF_ADMIN_PORT": str(free_port()),
        "BFF_REDIS__URL": redis_url,
        "BFF_LIMITS__DEFAULT": "1000000000/minute",
        "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{upstream}",
        "BFF_UPSTREAMS__SHELF__CONNECTIONS": "1000",
        "BFF_UPSTREAMS__SHELF__BULKHEAD__PERMITS": "1000",
        "BFF_TELEMETRY__LOG_LEVEL": "WARNING",
    } | {f"BFF_{name.upper()}": str(value) for name, value in settings.items()}
    with process("bff", "serve", "tests.wire.crowd:crowded", env=env):
        await _up(port)
        yield port


@asynccontextmanager
async def upstream(milliseconds: int) -> AsyncIterator[int]:
    """The slow upstream; yields its port."""
    port = free_port()
    with process("tests.wire.crowd", "upstream", str(port), str(milliseconds)):
        await _up(port)
        yield port


if __name__ == "__main__" and sys.argv[1] == "upstream":
    asyncio.run(_upstream(int(sys.argv[2]), int(sys.argv[3]) / 1000))
