"""What the cases about refusals share: a gateway with one service that answers as the test says, and signed-in or
anonymous requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import BaseModel

from bff import Call, Gateway, Upstream

from ..unit.edge.access.issuing import ISSUER
from ..wire.gateway import keyed
from ..wire.scripted import Scripted
from ..wire.scripted import upstream as scripted
from ..wire.upstream import http
from .kit import client

__all__ = ["Done", "Service", "Wish", "asking", "http", "keyed", "post", "refusal", "service"]


class Done(BaseModel):
    name: str


class Wish(BaseModel):
    name: str = "mug"
    note: str = ""


class Service(Upstream, team="Service team", contact="#service", docs="https://docs.test/service"):
    def read(self, how: str) -> Call[Done]:
        return self.get("/things/{how}", Done, how=how)

    def write(self, how: str, wish: Wish) -> Call[Done]:
        return self.post("/things/{how}", Done, wish, how=how)


service = Service()


def refusal(status: int, body: bytes = b"{}", headers: str = "content-type: application/json\r\n") -> bytes:
    """One answer of the service."""
    return http(status, body, headers)


@asynccontextmanager
async def asking(
    gateway: Gateway, redis_url: str, *, identity: str = "user", attempts: int = 1, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Scripted]]:
    """A client of the gateway, and its service. identity: how the service learns who asks; attempts: of each call."""
    async with scripted() as told:
        issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{told.port}/keys"}
        async with client(
            gateway,
            redis_url,
            {"service": told.port},
            each={
                "identity": identity,
                "timeout": 10,
                "breaker": {"failures": 1000, "error_rate": 1},
                "retry": {"attempts": attempts},
            },
            issuers=[issuer],
            **settings,
        ) as http:
            yield http, told


Post = Callable[[str, str], Any]


async def post(http: httpx.AsyncClient, path: str, key: str, **body: str) -> httpx.Response:
    return await http.post(path, headers=keyed(key), json=body)
