"""Admission decides once for each request, and a request's reservation is released however the request ends."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from bff import Gateway
from bff.edge.app.build import App
from bff.edge.http.protocol import HttpProtocol
from bff.edge.settings import Settings

from ..waiting import GUARD, until
from .gateway import serving
from .own_connection import own_server


class Thing(BaseModel):
    name: str


@dataclass
class World:
    """A gateway with an application in front, which answers some requests itself. started: requests that began to run;
    decided: decisions of admission."""

    port: int
    runtime: App
    started: int = 0
    decided: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def idle_after(self, decisions: int) -> bool:
        return self.decided >= decisions and self.runtime.admission.in_flight == 0

    async def status(self, request: bytes) -> int:
        reader, writer = await self.open()
        writer.write(request)
        async with asyncio.timeout(GUARD):
            line = await reader.readline()
        writer.transport.abort()
        return int(line.split()[1])


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", *headers, "", ""]).encode()


def gateway_with(world: list[World]) -> Gateway:
    gateway = Gateway("admitting", deadline=GUARD)

    @gateway.view("/api/fast", public=True)
    async def fast() -> Thing:
        return Thing(name="fast")

    @gateway.view("/api/held", public=True)
    async def held() -> Thing:
        await world[0].release.wait()
        return Thing(name="held")

    @gateway.view("/api/bug", public=True)
    async def bug() -> Thing:
        raise ZeroDivisionError

    return gateway


def settings(redis_url: str, **admission: Any) -> Settings:
    return Settings.model_validate(
        {
            "redis": {"url": redis_url},
            "limits": {"default": "1000000/minute"},
            "admission": {"lag": 10, "standing": 10, **admission},
        }
    )


def count_decisions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = world.runtime.admission._decide

    def counted(scope: Any) -> Any:
        world.decided += 1
        return decide(scope)

    monkeypatch.setattr(world.runtime.admission, "_decide", counted)


@asynccontextmanager
async def behind_connection(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, **admission: Any
) -> AsyncIterator[World]:
    """The gateway behind the connection of `bff serve`."""
    worlds: list[World] = []
    gateway = gateway_with(worlds)
    runtime = await gateway.start(settings(redis_url, **admission))

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/front/raises":
            raise ZeroDivisionError
        if scope["path"] == "/front":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await gateway(scope, receive, send)

    start = HttpProtocol._start_asgi_task

    async with own_server(front, runtime) as server:
        world = World(server.servers[0].sockets[0].getsockname()[1], runtime)
        worlds.append(world)
        count_decisions(world, monkeypatch)

        def started(self: HttpProtocol, cycle: RequestResponseCycle, app: Any) -> None:
            world.started += 1
            before = set(server.server_state.tasks)
            start(self, cycle, app)
            if (b"x-test", b"cancel") in cycle.scope["headers"]:
                for task in server.server_state.tasks - before:
                    task.cancel()

        monkeypatch.setattr(HttpProtocol, "_start_asgi_task", started)
        try:
            yield world
        finally:
            world.release.set()
            await gateway.stop()


SCREEN, HELD = get("/api/fast"), get("/api/held")


async def test_a_request_is_decided_once_behind_our_own_connection(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_connection(redis_url, monkeypatch, in_flight=2) as world:
        assert [await world.status(SCREEN) for _ in range(3)] == [200, 200, 200]
        assert await world.status(get("/nowhere")) == 404
        assert await world.status(get("/livez")) == 200
        assert await world.status(get("/bff/live")) == 401
        assert (world.decided, world.started) == (6, 6)
        waiting = [await world.open() for _ in range(2)]
        for _, writer in waiting:
            writer.write(HELD)
        await until(lambda: world.runtime.admission.in_flight == 2)
        assert await world.status(SCREEN) == 503
        assert (world.decided, world.started) == (9, 9)
        world.release.set()
        for reader, writer in waiting:
            async with asyncio.timeout(GUARD):
                assert b" 200 " in await reader.readline()
            writer.transport.abort()
        await until(lambda: world.runtime.admission.in_flight == 0)


async def test_a_request_is_decided_once_under_another_server(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds: list[World] = []
    gateway = gateway_with(worlds)
    runtime = await gateway.start(settings(redis_url, in_flight=1))
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    async with serving(gateway, sock):
        world = World(sock.getsockname()[1], runtime)
        worlds.append(world)
        count_decisions(world, monkeypatch)
        try:
            assert [await world.status(SCREEN) for _ in range(3)] == [200, 200, 200]
            await until(lambda: runtime.admission.in_flight == 0)
            reader, writer = await world.open()
            writer.write(HELD)
            await until(lambda: runtime.admission.in_flight == 1)
            assert await world.status(SCREEN) == 503
            assert world.decided == 5
            world.release.set()
            async with asyncio.timeout(GUARD):
                assert b" 200 " in await reader.readline()
            writer.transport.abort()
            await until(lambda: runtime.admission.in_flight == 0)
        finally:
            await gateway.stop()


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(get("/front"), id="answered in front of the gateway"),
        pytest.param(get("/front/raises"), id="failed in front of the gateway"),
        pytest.param(get("/api/fast", "x-test: cancel"), id="cancelled before its first step"),
        pytest.param(get("/api/bug"), id="failed in the gateway"),
    ],
)
async def test_a_reservation_is_released_by_a_request_that_is_not_answered_by_a_screen(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request_: bytes
) -> None:
    async with behind_connection(redis_url, monkeypatch, in_flight=1) as world:
        for number in range(3):
            _, writer = await world.open()
            writer.write(request_)
            await until(partial(world.idle_after, number + 1))
            writer.transport.abort()
        assert await world.status(SCREEN) == 200
        assert world.decided == world.started == 4


# What one connection sends before it is lost or closed.
PLAYS: list[bytes] = [
    SCREEN,
    SCREEN * 5,
    HELD,
    HELD + SCREEN * 3,
    get("/api/held", method="HEAD"),
    get("/api/fast", "connection: close"),
    get("/api/fast", "x-test: cancel"),
    get("/api/held", "x-test: cancel") + SCREEN,
    get("/api/bug"),
    get("/nowhere") * 2,
    get("/front") * 3,
    get("/front/raises"),
    get("/bff/live"),
    get("/livez") + HELD,
    b"GET /api/fast HTTP/1.0\r\n\r\n",
    SCREEN + b"nonsense\r\n\r\n",
    HELD + get("/api/fast", "host: y"),
    SCREEN[:-9],
]


@pytest.mark.parametrize("seed", range(6))
async def test_no_reservation_is_left_after_any_ending(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    async with behind_connection(redis_url, monkeypatch, in_flight=chance.choice([2, 8, 1000])) as world:

        async def play() -> None:
            reader, writer = await world.open()
            writer.write(chance.choice(PLAYS))
            ending = chance.choice(["at once", "after a byte", "after a moment", "half-closed"])
            if ending == "after a byte":
                await asyncio.wait([asyncio.ensure_future(reader.read(1))], timeout=0.1)
            elif ending == "after a moment":
                await asyncio.sleep(chance.random() / 20)
            elif ending == "half-closed":
                writer.write_eof()
                await asyncio.sleep(chance.random() / 20)
            writer.transport.abort()

        for _ in range(12):
            await asyncio.gather(*(play() for _ in range(chance.randrange(1, 12))))
        world.release.set()
        await until(lambda: world.runtime.admission.in_flight == 0)
        assert world.started and world.decided == world.started
        assert await world.status(SCREEN) == 200, "no reservation is left"
        await until(lambda: world.runtime.admission.in_flight == 0)
