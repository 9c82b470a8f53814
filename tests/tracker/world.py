"""The tracker with everything around it: its services, an identity provider, a Redis, and the gateway, in this process
or as `bff serve`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.cli.target import load
from bff.edge.gateway import Gateway
from bff.edge.settings import Settings

from ..conftest import ROOT, Program, free_port, start_module, start_program, wait_for_port
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD
from ..wire.gateway import token
from ..wire.oidc_provider import CLIENT, SECRET, OidcProvider
from ..wire.own_connection import behind_own_connection
from ..wire.scripted import upstream as keys
from ..wire.served import listening, served
from .relay import Relay, relay

TRACKER = ROOT / "docs" / "examples" / "tracker"
API_KEY = "only-for-development"


@dataclass
class Received:
    """One request that the stand-in got; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Recorder:
    """An application in front of another one that records each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.received: list[Received] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        query = scope["query_string"].decode()
        self.received.append(
            Received(
                scope["method"],
                scope["path"] + (f"?{query}" if query else ""),
                {name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
                message.get("body", b""),
            )
        )
        given = iter([message])

        async def again() -> Any:
            return next(given, None) or await receive()

        await self._app(scope, again, send)

    def to(self, path: str) -> list[Received]:
        """The requests for a path."""
        return [one for one in self.received if one.target.partition("?")[0] == path]


@dataclass
class FileService:
    """The service of attachments as a process that can be killed and started again. folder: its files."""

    folder: Path
    log: Path
    port: int = field(default_factory=free_port)
    program: Program | None = None

    def start(self) -> None:
        arguments = (str(self.port), str(self.folder))
        self.program = start_module("tests.tracker.file_service", *arguments, log=self.log)
        wait_for_port(self.port, process=self.program.process)

    def kill(self) -> None:
        if self.program is not None:
            self.program.kill()

    def whole(self, ticket: str) -> list[str]:
        """The names of the files that a ticket has."""
        return sorted(place.name for place in (self.folder / ticket).glob("*"))

    def incoming(self) -> list[Path]:
        """Files that are on their way."""
        return list((self.folder / ".incoming").glob("*"))


@dataclass
class World:
    """client: without credentials. gateway: where it runs in this process, program: where it is one of its own."""

    site: str
    client: httpx.AsyncClient
    provider: OidcProvider
    standin: Recorder
    files: FileService
    relay: Relay
    gateway: Gateway | None = None
    program: Program | None = None

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request of ada; a write has a new key unless it brings one."""
        headers = bearer() | more.pop("headers", {})
        if method in ("POST", "PATCH"):
            headers.setdefault("idempotency-key", str(uuid.uuid4()))
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.call("GET", path, headers=headers)


def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {token('ada', aud='tracker', scope='tracker')}"}


def _standin() -> Recorder:
    """The stand-in with its first entries: a module of its own for each world."""
    spec = importlib.util.spec_from_file_location("standin", TRACKER / "services" / "standin.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("the stand-in cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Recorder(module.app)


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    sys.path.insert(0, str(TRACKER))
    try:
        yield
    finally:
        sys.path.remove(str(TRACKER))


@asynccontextmanager
async def world(
    redis_url: str, folder: Path, *, as_process: bool = False, files_port: int | None = None, **changes: Any
) -> AsyncIterator[World]:
    """as_process: the gateway is `bff serve`; files_port: of another service of attachments; changes: settings."""
    sock, provider_sock = listening(), listening()
    port = sock.getsockname()[1]
    # localhost and 127.0.0.1 are two sites, as a provider is another one.
    site = f"http://localhost:{port}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
    provider.scope = "openid tracker"
    standin, files = _standin(), FileService(folder / "files", folder / "files.log")
    files.folder.mkdir()
    async with AsyncExitStack() as stack:
        standin_url = await stack.enter_async_context(served(standin))
        await stack.enter_async_context(served(provider.app, provider_sock))
        scripted = await stack.enter_async_context(keys())
        if files_port is None:
            await asyncio.to_thread(files.start)
            stack.callback(files.kill)
        between = await stack.enter_async_context(relay(files_port or files.port))
        names = ("projects", "tickets", "people", "search")
        upstreams: dict[str, dict[str, Any]] = {name: {"url": standin_url} for name in names}
        upstreams["search"]["headers"] = {"x-api-key": API_KEY}
        settings: dict[str, Any] = {
            "public_url": site,
            "redis": {"url": redis_url, "timeout": 10},
            "admission": {"lag": 10, "standing": 10},
            "upstreams": {
                **upstreams,
                "files": {"url": f"http://127.0.0.1:{between.port}", "breaker": {"failures": 1000}},
            },
            "issuers": [
                {
                    "issuer": ISSUER,
                    "audience": "tracker",
                    "jwks_uri": f"http://127.0.0.1:{scripted.port}/keys",
                }
            ],
            "oidc": {
                "issuer": provider.issuer,
                "client_id": CLIENT,
                "client_secret": SECRET,
                "scopes": ["openid", "tracker"],
            },
            "live": {"stream_keys": ["events:projects:{p}"]},
            **changes,
        }
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=site, trust_env=False, timeout=GUARD)
        )
        found = World(site, client, provider, standin, files, between)
        if as_process:
            sock.close()
            found.program = _process(settings, port, folder)
            stack.callback(found.program.kill)
            await asyncio.to_thread(wait_for_port, port, process=found.program.process)
        else:
            with _importable():
                found.gateway = load("tracker:app")
            runtime = await found.gateway.start(Settings.model_validate(settings))
            stack.push_async_callback(found.gateway.stop)
            await stack.enter_async_context(behind_own_connection(found.gateway, runtime, sock))
        yield found
    shutil.rmtree(files.folder, ignore_errors=True)


def _process(settings: dict[str, Any], port: int, folder: Path) -> Program:
    env = {
        f"BFF_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    env |= {"BFF_PORT": str(port), "BFF_ADMIN_PORT": str(free_port())}
    env |= {"PYTHONPATH": f"{ROOT}:{TRACKER}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "bff", "serve", "tracker:app"]
    return start_program(command, log=folder / "gateway.log", env=env)
