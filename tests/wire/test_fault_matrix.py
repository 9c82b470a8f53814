"""Every kind of route with every fault of its service, over real sockets: the answer that docs/contract.md promises.

The columns of the table below are faults of one service; a row is a kind of route. After each exchange the permit is
back, so no fault costs capacity.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Upstream
from bff.edge.settings import Settings

from ..waiting import GUARD, until
from .gateway import World, bearer, keyed, running
from .scripted import Asked
from .upstream import http

DEADLINE = 0.6


class Item(BaseModel):
    id: str


class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def read(self, how: str) -> Call[Item]:
        return self.get("/x/{how}", Item, how=how).tries(1)

    def write(self, how: str) -> Call[Item]:
        return self.post("/x/{how}", Item, how=how).tries(1)

    @Upstream.batch(by=lambda item: item.id)
    def item(self, ids: list[str]) -> Call[list[Item]]:
        return self.get("/x/{how}", list[Item], how=f"many-{ids[0]}").tries(1)


shelf = Shelf()


def declare(settings: Settings) -> Gateway:
    gateway = Gateway("faults", deadline=DEADLINE, settings=settings)

    @gateway.view("/screen/{how}")
    async def screen(how: str) -> Item:
        return await shelf.read(how)

    @gateway.view("/batch/{how}")
    async def batch(how: str) -> Item:
        return await shelf.item(how)

    async def command(how: str) -> Item:
        return await shelf.write(how)

    for method in ("POST", "PUT", "PATCH", "DELETE"):
        gateway.command("/command/{how}", method=method)(command)  # type: ignore[arg-type]
    gateway.forward("/forward/{how}", shelf, "/x/{how}", methods=("GET", "POST", "DELETE"))
    return gateway


@dataclass(frozen=True)
class Kind:
    """One kind of route. batch: its service is asked for a list."""

    method: str
    path: str
    many: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


KINDS = [
    Kind("GET", "screen"),
    Kind("GET", "batch", many=True),
    *(Kind(method, "command") for method in ("POST", "PUT", "PATCH", "DELETE")),
    *(Kind(method, "forward") for method in ("GET", "POST", "DELETE")),
]
FORWARDED = "forward"


async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(GUARD)


async def reset(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Whole, but in pieces, and within the deadline."""
    for piece in (
        b"HTTP/1.1 200 OK\r\ncontent-type: appli",
        b"cation/json\r\ncontent-le",
        b"ngth: 13\r\n\r\n",
    ):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
    writer.write(b'{"id":"slow"}' if "many" not in asked.path else b'[{"id":"slow"')


JSON = "content-type: application/problem+json\r\n"
FAULTS: dict[str, tuple[bytes | Callable[[Asked, asyncio.StreamWriter], Awaitable[None]], int, str]] = {
    "silent": (silent, 504, "timeout"),
    "reset": (reset, 502, "unreachable"),
    "missing": (http(404, b'{"code":"no-such","title":"No"}', JSON), 404, "no-such"),
    "broken": (http(500, b"secret insides"), 502, "failed"),
    "busy": (http(503, b"{}", "retry-after: 70\r\n"), 503, "overloaded"),
    "redirects": (http(302, b"", "location: https://evil.test/\r\n"), 502, "failed"),
    "garbage": (b"\x00\x01 what is this\r\n\r\n", 502, "invalid"),
}


@asynccontextmanager
async def world(redis_url: str, **changes: object) -> AsyncIterator[World]:
    shelf_settings = {"breaker": {"failures": 1000, "open_for": 60}, **changes}
    async with running(redis_url, declared=declare, shelf_settings=shelf_settings) as found:
        for how, (script, _, _) in FAULTS.items():
            found.upstream.answers |= {f"/x/{how}": script, f"/x/many-{how}": script}
        found.upstream.answers |= {
            "/x/ok": http(200, b'{"id":"ok"}'),
            "/x/many-ok": http(200, b'[{"id":"ok"}]'),
        }
        found.upstream.answers["/x/slow"] = slow
        yield found
        runtime = found.gateway.runtime
        assert runtime is not None
        client = runtime.calls.pipeline.clients["shelf"]
        await until(lambda: client.permits.bulkhead.used == 0)
        assert [backend.pending for backend in client.backends] == [0]


async def ask(found: World, kind: Kind, how: str) -> httpx.Response:
    headers = bearer() if kind.path != "command" else keyed()
    return await found.client.request(kind.method, f"/{kind.path}/{how}", headers=headers)


@pytest.mark.parametrize("how", FAULTS)
async def test_each_kind_of_route_answers_each_fault_as_promised(redis_url: str, how: str) -> None:
    _, status, code = FAULTS[how]
    async with world(redis_url) as found:
        for kind in KINDS:
            answer = await ask(found, kind, how)
            assert (answer.status_code, answer.json().get("code")) == (status, code), str(kind)
            assert "secret" not in answer.text and "location" not in answer.headers
            if kind.path != FORWARDED or status != 404:
                assert answer.json()["owner"]["team"] == "Shelf team", str(kind)


async def test_each_kind_of_route_answers_when_nothing_is_wrong_or_only_slow(redis_url: str) -> None:
    async with world(redis_url) as found:
        for kind in KINDS:
            assert (await ask(found, kind, "ok")).json() == {"id": "ok"}, str(kind)
            if not kind.many:
                assert (await ask(found, kind, "slow")).json() == {"id": "slow"}, str(kind)


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_an_open_breaker_answers_at_once_and_the_service_is_not_asked(
    redis_url: str, kind: Kind
) -> None:
    breaker = {"failures": 3, "open_for": 60}
    async with world(redis_url, breaker=breaker) as found:
        for _ in range(3):
            await ask(found, kind, "broken")
        before = len(found.upstream.asked)
        answer = await ask(found, kind, "ok")
        assert (answer.status_code, answer.json()["code"]) == (503, "circuit-open")
        assert int(answer.headers["retry-after"]) >= 1
        assert len(found.upstream.asked) == before


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_a_client_that_leaves_leaves_nothing_behind(redis_url: str, kind: Kind) -> None:
    async with world(redis_url) as found:
        asking = asyncio.create_task(ask(found, kind, "silent"))
        await until(lambda: len(found.upstream.asked) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await ask(found, kind, "ok")).json() == {"id": "ok"}
