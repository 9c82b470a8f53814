"""Tools for the tests of the services: a small real token issuer, services on real sockets in this process, and
services in their own processes that a test may kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import jwt
import pytest
import uvicorn
from bff_service import http_client
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.types import ASGIApp

from tests.conftest import Program, free_port, start_module, wait_for_port
from tests.upstreams.world import World, variables

Json = dict[str, Any]


async def until(check: Callable[[], Awaitable[Any]], *, seconds: float = 60.0) -> Any:
    """The first true value of the check; fails after the time limit."""
    end = time.monotonic() + seconds
    while True:
        value = await check()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"still not so after {seconds} s: {value!r}")
        await asyncio.sleep(0.02)


@dataclass
class Issuer:
    """A token issuer with an EC key, its discovery document and keys on a real socket."""

    port: int = field(default_factory=free_port)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    kid: str = "key-1"
    asked: int = 0
    token_requests: int = 0
    expires_in: int = 600
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def document(self, path: str) -> Json | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            self.asked += 1
            public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
            return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "ES256"}]}
        if path == "/token":
            self.token_requests += 1
            token = self.token("orders", client_id="orders", scope="saga")
            return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}
        return None

    def start(self) -> Issuer:
        issuer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                found = issuer.document(self.path)
                body = json.dumps(found or {}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Answers)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def claims(self, sub: str, **changed: Any) -> Json:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": sub,
            "aud": "shop",
            "client_id": "bff",
            "iat": now,
            "exp": now + 600,
            "jti": uuid.uuid4().hex,
            "scope": "openid",
            "name": sub.title(),
        }
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def token(self, sub: str = "ada", *, headers: Json | None = None, **changed: Any) -> str:
        """An access token; a claim with the value None is left out."""
        head = {"typ": "at+jwt", "kid": self.kid, **(headers or {})}
        return jwt.encode(self.claims(sub, **changed), self.key, algorithm="ES256", headers=head)

    def saga_token(self) -> str:
        return self.token("orders", client_id="orders", scope="saga")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer().start()
    yield made
    made.stop()


@dataclass
class Running:
    """A service that answers on a real socket."""

    url: str
    client: httpx.AsyncClient

    async def get(self, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        return await self.client.get(path, headers=headers, **more)

    async def post(
        self,
        path: str,
        body: Json | None = None,
        *,
        token: str | None = None,
        key: str | None = "",
        **more: Any,
    ) -> httpx.Response:
        """Send a mutation: with a new idempotency key unless one is given, without a key for None."""
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key or f'"{uuid.uuid4()}"'
        return await self.client.post(path, json=body, headers=headers, **more)

    async def faults(self, **plan: Any) -> Json:
        answer = await self.client.put("/faults", json=plan)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def held(self, number: int = 1) -> None:
        """Return once that many requests are held."""

        async def enough() -> bool:
            return bool((await self.client.get("/faults")).json()["held"] >= number)

        await until(enough)

    async def release(self) -> None:
        await self.client.post("/faults/release")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[Running]:
    """An application, served by uvicorn in this loop on a free port."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.serve())

        async def started() -> bool:
            if running.done():
                raise RuntimeError("the service did not start")
            return server.started

        await until(started)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with http_client(url, timeout=60) as client:
            yield Running(url, client)
        server.should_exit = True


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All services, each in a process; a test repairs what it broke."""
    with World(tmp_path_factory.mktemp("services")) as world:
        yield world


Build = Callable[[Any], ASGIApp]
Serve = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Serve]:
    """`await serve(build, redis_url=…)`: the service with faults enabled and its data in the test's own folder."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(build: Build, **changed: Any) -> Running:
            values = {"faults": True, "data_dir": tmp_path, "identity_url": issuer.url, **changed}
            settings = get_type_hints(build)["settings"]
            return await stack.enter_async_context(served(build(settings(**values))))

        yield start


@dataclass
class Process:
    """A service in a process: can be killed, and started again on the same port with the same data."""

    module: str
    folder: Path
    env: dict[str, str]
    client: httpx.AsyncClient
    port: int
    program: Program | None = None

    async def start(self) -> Running:
        env = {**self.env, "PORT": str(self.port), "DATA_DIR": str(self.folder), "FAULTS": "1"}
        env = variables(env)
        log = self.folder / f"{self.module}.log"
        self.program = start_module(self.module, log=log, env=env)
        await asyncio.to_thread(wait_for_port, self.port, process=self.program.process)
        return Running(str(self.client.base_url), self.client)

    def kill(self) -> None:
        """SIGKILL."""
        if self.program is not None:
            self.program.kill()


@pytest.fixture
async def process(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Callable[..., Process]]:
    """`process("upstreams.payments")` makes one to be started; it is killed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        def make(module: str, **env: str) -> Process:
            port = free_port()
            client = http_client(f"http://127.0.0.1:{port}", timeout=60)
            made = Process(module, tmp_path, {"IDENTITY_URL": issuer.url, **env}, client, port)
            stack.push_async_callback(client.aclose)
            stack.callback(made.kill)
            return made

        yield make
