"""Several `bff serve` processes of one gateway on one Redis, with a provider that can be slow."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from ..conftest import free_port, start_module, wait_for_port
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD, until
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .scripted import Scripted, upstream
from .served import listening, served
from .test_signin import Browser


@dataclass
class Followed:
    """One open stream. ended: monotonic seconds, None while it is open; last: its last event's name and data."""

    ended: float | None = None
    last: tuple[str, dict[str, Any]] = ("", {})
    open: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Replicas:
    """sites: each process's address; env: their environment; redis: its address."""

    sites: list[str]
    env: dict[str, str]
    redis: str
    provider: OidcProvider
    upstream: Scripted
    http: aiohttp.ClientSession
    plain: httpx.AsyncClient

    def browser(self, replica: int = 0) -> Browser:
        return Browser(self.plain, self.sites[replica])

    def cookie(self, browser: Browser) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in browser.jar.items())}

    @asynccontextmanager
    async def streams(self, headers: dict[str, str], count: int = 1) -> AsyncIterator[list[Followed]]:
        """`count` open streams on every replica; each has had its first event."""
        found: list[Followed] = []
        async with asyncio.TaskGroup() as group:
            for site in self.sites:
                for _ in range(count):
                    found.append(Followed())
                    group.create_task(self._follow(site, headers, found[-1]))
            async with asyncio.timeout(GUARD):
                await asyncio.gather(*(one.open.wait() for one in found))
            yield found
            await until(lambda: all(one.ended is not None for one in found))

    async def _follow(self, site: str, headers: dict[str, str], into: Followed) -> None:
        async with self.http.get(f"{site}/bff/live", headers=headers) as answer:
            if answer.status != 200:
                raise AssertionError(f"the stream answered {answer.status}: {await answer.text()}")
            name = ""
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    into.last = (name, json.loads(line[5:]))
                    into.open.set()
        into.ended = time.monotonic()


@asynccontextmanager
async def replicas(redis_url: str, folder: Path, count: int, **env: str) -> AsyncIterator[Replicas]:
    ports = [free_port() for _ in range(count)]
    sites = [f"http://127.0.0.1:{port}" for port in ports]
    provider_sock = listening()
    provider = OidcProvider(f"{sites[0]}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
    async with AsyncExitStack() as stack:
        scripted = await stack.enter_async_context(upstream())
        await stack.enter_async_context(served(provider.app, provider_sock))
        issuers = [
            {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{scripted.port}/keys"},
            {"issuer": provider.issuer, "audience": "shop"},
        ]
        settings = {
            "BFF_PUBLIC_URL": sites[0],
            "BFF_REDIS__URL": redis_url,
            "BFF_REDIS__TIMEOUT": "10",
            "BFF_ISSUERS": json.dumps(issuers),
            "BFF_OIDC__ISSUER": provider.issuer,
            "BFF_OIDC__CLIENT_ID": CLIENT,
            "BFF_OIDC__CLIENT_SECRET": SECRET,
            "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
            "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
            "BFF_LIMITS__DEFAULT": "100000/minute",
            "BFF_LIMITS__LOGIN": "100000/minute",
            # Many requests at once on a busy machine are intended here.
            "BFF_ADMISSION__LAG": "10",
            "BFF_ADMISSION__STANDING": "10",
            "BFF_ADMISSION__IN_FLIGHT": "5000",
            **env,
        }
        programs = []
        for port in ports:
            own = {"BFF_PORT": str(port), "BFF_ADMIN_PORT": str(free_port())}
            log = folder / f"gateway-{port}.log"
            programs.append(
                start_module("bff", "serve", "tests.wire.gateway:served", log=log, env=settings | own)
            )
            stack.callback(programs[-1].kill)
        for port, program in zip(ports, programs, strict=True):
            await asyncio.to_thread(wait_for_port, port, process=program.process)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=2 * GUARD)
            )
        )
        plain = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=GUARD))
        yield Replicas(sites, {**os.environ, **settings}, redis_url, provider, scripted, http, plain)
