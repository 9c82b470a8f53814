"""What the cases share: an upstream that answers exactly the given bytes, and requests through a whole gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from bff import Gateway
from bff.edge.settings import Settings

from ..waiting import GUARD
from ..wire.upstream import RawServer, raw_server

PATIENT: dict[str, Any] = {"admission": {"lag": 10, "standing": 10}}
"""A busy machine is not an overload: a case's gateway has `deadline=GUARD` unless the case is about a deadline."""


def answer(
    body: bytes, *, media: str | None = "application/json", status: str = "200 OK", headers: str = ""
) -> bytes:
    """One HTTP/1.1 response; headers: further lines, each ended by CR LF."""
    kind = f"Content-Type: {media}\r\n" if media else ""
    return f"HTTP/1.1 {status}\r\n{kind}Content-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@asynccontextmanager
async def upstream(reply: Callable[[str], bytes] | bytes) -> AsyncIterator[RawServer]:
    """A real server on loopback. reply: the bytes for every request, or a function from its target to the bytes."""

    async def respond(target: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply if isinstance(reply, bytes) else reply(target))

    async with raw_server(respond) as server:
        yield server


@asynccontextmanager
async def client(
    gateway: Gateway,
    redis_url: str,
    upstreams: dict[str, int] | None = None,
    /,
    *,
    each: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, which is started in this process.

    upstreams  the port of each upstream on loopback, by its name
    each       further settings of every upstream; by default one attempt, with a long time limit
    settings   further settings of the gateway
    """
    given = {
        name: {"url": f"http://127.0.0.1:{port}", "timeout": GUARD, "retry": {"attempts": 1}, **(each or {})}
        for name, port in (upstreams or {}).items()
    }
    await gateway.start(
        Settings.model_validate(
            {"upstreams": given, "redis": {"url": redis_url, "timeout": 10}, **PATIENT, **settings}
        )
    )
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway), base_url="http://localhost:8000", timeout=GUARD
        ) as http:
            yield http
    finally:
        await gateway.stop()
