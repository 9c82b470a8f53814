"""An upstream on a real socket that answers by path as the test says, records its requests, and serves token keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..unit.edge.access.issuing import ec_key, jwk
from ..waiting import close_listener
from .upstream import http

KEY = ec_key()
PROBLEM = "content-type: application/problem+json\r\n"


@dataclass
class Asked:
    """One request as the upstream received it; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    target: str = ""


Script = bytes | Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """The upstream: answers by path. `asked` is every request except those for keys."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, Script] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        keys = {"keys": [jwk(KEY, "k1", use="sig", alg="ES256")]}
        self.answers |= {
            "/keys": http(200, json.dumps(keys).encode()),
            "/things/ok": http(200, b'{"name":"ok","hidden":"inside"}'),
            "/things/silent": _silent,
            "/things/cut": _cut,
            "/things/broken": http(500, b'{"trace":"hunter2"}'),
            # Longer than every deadline of the gateway, so nothing is retried.
            "/things/busy": http(503, b"{}", "content-type: application/json\r\nretry-after: 70\r\n"),
            "/things/throttled": http(429, b"{}", "content-type: application/json\r\nretry-after: 90\r\n"),
            "/things/nonsense": http(200, b'{"title":"x"}'),
            "/jobs": http(
                202,
                b'{"id":"j1","type":"job","status":"RUNNING","version":1,"at":"2026-01-01T00:00:00Z"}',
            ),
        }
        for status in (400, 401, 403, 404, 405, 409, 410, 415, 422):
            problem = {"code": f"no-{status}", "title": "No", "detail": f"It says {status}."}
            if status == 422:
                problem["errors"] = [{"pointer": "/name", "detail": "too short"}]  # type: ignore[assignment]
            self.answers[f"/things/{status}"] = http(status, json.dumps(problem).encode(), PROBLEM)

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head.strip().split("\r\n")
                method, target, _ = line.split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, target.partition("?")[0], headers, body, target)
                if asked.path != "/keys":
                    self.asked.append(asked)
                    self.news.set()
                answer = self.answers.get(asked.path, http(404, b"{}"))
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(asked, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def _cut(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


class Gate:
    """An upstream answer that waits until the test releases it."""

    def __init__(self, body: bytes = b'{"name":"late"}', *, status: int = 200) -> None:
        self.open = asyncio.Event()
        self._body = body
        self._status = status

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        writer.write(http(self._status, self._body))


@asynccontextmanager
async def upstream() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = listening.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        await close_listener(listening)
