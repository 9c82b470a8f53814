"""`bff serve` as a process: its two ports, and how it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ..conftest import Program, free_port, start_program, wait_for_port
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD, until
from .gateway import bearer, keyed
from .scripted import Gate, Scripted, upstream


@dataclass
class Served:
    program: Program
    client: httpx.AsyncClient
    admin: str
    upstream: Scripted
    port: int

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.program.process.send_signal(number)

    async def ended(self, seconds: float) -> int:
        return await asyncio.to_thread(self.program.process.wait, seconds)

    def said(self) -> str:
        return self.program.log.read_text()


@asynccontextmanager
async def serve(
    redis_url: str, folder: Path, *, target: str = "tests.wire.gateway:served", **env: str
) -> AsyncIterator[Served]:
    port, admin = free_port(), free_port()
    async with upstream() as scripted:
        issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{scripted.port}/keys"}
        program = start_program(
            [sys.executable, "-m", "bff", "serve", target],
            log=folder / "log",
            env={
                "BFF_PORT": str(port),
                "BFF_ADMIN_PORT": str(admin),
                "BFF_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "BFF_REDIS__URL": redis_url,
                "BFF_REDIS__TIMEOUT": "10",
                "BFF_ADMISSION__LAG": "10",
                "BFF_ADMISSION__STANDING": "10",
                "BFF_UPSTREAMS__SHELF__TIMEOUT": "60",
                "BFF_ISSUERS": json.dumps([issuer]),
                "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
                "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
                **env,
            },
        )
        try:
            # The admin port opens just after the public one.
            for opened in (port, admin):
                await asyncio.to_thread(wait_for_port, opened, process=program.process)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GUARD
            ) as client:
                yield Served(program, client, f"http://127.0.0.1:{admin}", scripted, port)
        finally:
            program.kill()


async def events(response: httpx.Response, into: list[str], first: asyncio.Event) -> None:
    """Collect `event data` lines until the stream ends."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            into.append(f"{name} {line[5:].strip()}")
            first.set()


async def open_stream(served: Served, into: list[str]) -> asyncio.Task[None]:
    """Follow /bff/live in the background; returns once its first event has come."""
    first = asyncio.Event()

    async def follow() -> None:
        async with served.client.stream("GET", "/bff/live", headers=bearer()) as response:
            assert response.status_code == 200
            await events(response, into, first)

    task = asyncio.create_task(follow(), name="stream")
    async with asyncio.timeout(GUARD):
        await first.wait()
    return task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_after_a_signal_streams_end_with_bye_commands_finish_and_the_exit_code_is_0(
    redis_url: str, tmp_path: Path, number: int
) -> None:
    async with serve(redis_url, tmp_path, BFF_LIVE__DRAIN="1") as served:
        heard: list[str] = []
        stream = await open_stream(served, heard)

        gate = served.upstream.answers["/things/late"] = Gate()
        command = asyncio.create_task(
            served.client.post("/api/things/late", headers=keyed("k"), json={"name": "x"}), name="command"
        )
        await asyncio.wait_for(served.upstream.news.wait(), GUARD)
        served.signal(number)

        async def draining() -> bool:
            try:
                ready = await served.client.get("/readyz")
            except httpx.TransportError:
                return True  # the listening socket may be closed already
            assert ready.status_code == 200 or ready.json()["status"] == "draining"
            return ready.status_code == 503

        await until(draining)
        gate.open.set()
        assert (await command).json() == {"name": "late"}
        await asyncio.wait_for(stream, GUARD)
        assert heard[-1].startswith("bye ")
        bye = json.loads(heard[-1].removeprefix("bye "))
        assert bye["reason"] == "drain"
        assert 0 <= bye["retry_after"] <= 1
        assert await served.ended(GUARD) == 0
        assert "Traceback" not in served.said()


async def test_the_gateway_becomes_unready_before_it_stops_listening(redis_url: str, tmp_path: Path) -> None:
    async with serve(redis_url, tmp_path, BFF_HTTP__LINGER="300") as served:
        served.signal()
        async with asyncio.timeout(GUARD):
            while (await served.client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
            ready = await served.client.get(f"{served.admin}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert (await served.client.get("/api/open/ok")).status_code == 200, "it still serves meanwhile"

        served.signal()
        assert await served.ended(GUARD) == 0, "a second signal stops it now, not after the linger"
        assert "Traceback" not in served.said()


async def test_a_second_signal_stops_the_gateway_during_the_drain(redis_url: str, tmp_path: Path) -> None:
    async with serve(redis_url, tmp_path, BFF_LIVE__DRAIN="300") as served:
        # A stream is still open at the second signal, whatever end times are drawn.
        streams = [await open_stream(served, []) for _ in range(8)]
        served.signal()
        async with asyncio.timeout(GUARD):
            while (await served.client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        served.signal()
        assert await served.ended(GUARD) == 0, "now, not after the window"
        await asyncio.gather(*streams, return_exceptions=True)
        assert "Traceback" not in served.said()


async def test_the_admin_port_is_on_loopback_whatever_address_the_public_port_has(
    redis_url: str, tmp_path: Path
) -> None:
    def reached(address: str, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((address, port)) == 0

    # All of 127.0.0.0/8 is this machine: a socket on every address accepts 127.0.0.2, one on 127.0.0.1 does not.
    async with serve(redis_url, tmp_path, BFF_HOST="0.0.0.0") as served:
        admin = httpx.URL(served.admin).port or 0
        assert reached("127.0.0.2", served.port)
        assert reached("127.0.0.1", admin)
        assert not reached("127.0.0.2", admin)
    async with serve(redis_url, tmp_path, BFF_ADMIN_HOST="0.0.0.0") as served:
        assert not reached("127.0.0.2", served.port)
        assert reached("127.0.0.2", httpx.URL(served.admin).port or 0)


async def test_an_unready_gateway_serves_before_streams_end_and_connections_are_refused(
    redis_url: str, tmp_path: Path
) -> None:
    """A load balancer sends requests until it has noticed that this process is unready."""
    async with serve(redis_url, tmp_path, BFF_HTTP__LINGER="3", BFF_LIVE__DRAIN="0") as served:
        heard: list[str] = []
        stream = await open_stream(served, heard)
        served.signal()
        async with asyncio.timeout(GUARD):
            while (await served.client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        # New connections, new streams and requests are served as before.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", trust_env=False) as another:
            assert (await another.get("/api/open/ok")).status_code == 200
        late: list[str] = []
        following = await open_stream(served, late)
        assert not [one for one in (*heard, *late) if one.startswith("bye ")]
        async with asyncio.timeout(GUARD):
            await asyncio.gather(stream, following)
        assert heard[-1].startswith("bye ") and late[-1].startswith("bye ")
        assert await served.ended(GUARD) == 0
        assert "Traceback" not in served.said()


async def test_the_admin_port_serves_health_and_no_public_route(redis_url: str, tmp_path: Path) -> None:
    async with serve(redis_url, tmp_path) as served:
        get = served.client.get
        assert (await get(f"{served.admin}/livez")).json() == {"status": "alive"}
        assert (await get(f"{served.admin}/readyz")).status_code == 200
        for path in ("/api/open/ok", "/docs", "/bff/live"):
            answer = await get(f"{served.admin}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        public = await get("/metrics")
        assert (public.status_code, public.json()["code"]) == (404, "not-found")
        assert "server" not in public.headers

        for nonsense in (b"BREW /pot HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(nonsense)
            head, _, body = (await asyncio.wait_for(reader.read(), GUARD)).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in head
            problem = json.loads(body)
            assert problem["code"] == "invalid-request"
            assert f"x-correlation-id: {problem['correlation_id']}" in head.decode()
        lines = [json.loads(line) for line in served.said().splitlines()]
        assert {"at", "level", "logger", "message"} <= set(lines[0])
        metrics = next(line for line in lines if line.get("path") == "/metrics")
        assert metrics["correlation_id"] == public.headers["x-correlation-id"]
        assert metrics["status"] == 404


DYING = """
from bff import Gateway
from pydantic import BaseModel

app = Gateway("dying")


class Done(BaseModel):
    done: bool


@app.view("/die", public=True)
async def die() -> Done:
    app.runtime.live.hub._main.cancel()  # as a fault inside would end it
    return Done(done=True)
"""


async def test_a_process_whose_hub_has_died_exits_with_an_error(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    port = free_port()
    program = start_program(
        [sys.executable, "-m", "bff", "serve", "dying:app"],
        log=tmp_path / "log",
        env={
            "PYTHONPATH": str(tmp_path),
            "BFF_PORT": str(port),
            "BFF_ADMIN_PORT": str(free_port()),
            "BFF_REDIS__URL": redis_url,
        },
    )
    try:
        await asyncio.to_thread(wait_for_port, port, process=program.process)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GUARD
        ) as client:
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/die")).status_code == 200
            async with asyncio.timeout(GUARD):
                # Its connections are closed first.
                while (gone := await client.get("/livez")).status_code == 200:
                    await asyncio.sleep(0.01)
            assert (gone.status_code, gone.json()["parts"]) == (503, ["hub"])
        assert await asyncio.to_thread(program.process.wait, GUARD) == 1
        assert "ended by a fault" in program.log.read_text()
    finally:
        program.kill()
