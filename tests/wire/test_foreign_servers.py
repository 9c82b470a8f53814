"""Under another ASGI server, streams end with `bye` when the server is stopped, and the process ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bff.edge.shutdown import ShutdownWatch

from ..conftest import ROOT, Program, free_port, start_program, wait_for_port
from ..unit.edge.access.issuing import ISSUER
from .gateway import bearer
from .scripted import upstream

APP = "tests.wire.gateway:served"
PYTHON = (sys.executable, "-m")


def command(server: str, port: int) -> list[str]:
    at = f"127.0.0.1:{port}"
    return {
        "uvicorn": [*PYTHON, "uvicorn", APP, "--port", str(port)],
        "uvicorn h11": [*PYTHON, "uvicorn", APP, "--port", str(port), "--http", "h11", "--loop", "asyncio"],
        "uvicorn workers": [*PYTHON, "uvicorn", APP, "--port", str(port), "--workers", "2"],
        "gunicorn": [*PYTHON, "gunicorn", APP, "-k", "uvicorn_worker.UvicornWorker", "-b", at],
        "granian": [*PYTHON, "granian", APP, "--interface", "asgi", "--port", str(port)],
        "hypercorn": [*PYTHON, "hypercorn", APP, "--bind", at],
    }[server]


@dataclass
class Running:
    program: Program
    url: str


@asynccontextmanager
async def under(
    line: list[str], port: int, redis_url: str, folder: Path, **env: str
) -> AsyncIterator[Running]:
    async with upstream() as scripted:
        issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{scripted.port}/keys"}
        program = start_program(
            line,
            log=folder / "log",
            env={
                "BFF_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "BFF_REDIS__URL": redis_url,
                "BFF_ISSUERS": json.dumps([issuer]),
                "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
                "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
                # A busy machine makes their loops late, and a gateway whose loop is late takes no new stream.
                "BFF_ADMISSION__LAG": "10",
                "BFF_ADMISSION__STANDING": "10",
                "PYTHONPATH": str(ROOT),
                **env,
            },
        )
        try:
            await asyncio.to_thread(wait_for_port, port, process=program.process, seconds=60)
            yield Running(program, f"http://127.0.0.1:{port}")
        finally:
            program.kill()


async def follow(client: httpx.AsyncClient, url: str, into: list[str], begun: asyncio.Event) -> None:
    """Collect the events of a stream until it ends; a broken connection counts as an event."""
    name = ""
    try:
        async with client.stream("GET", f"{url}/bff/live", headers=bearer()) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    into.append(f"{name} {line[5:].strip()}")
                    begun.set()
    except httpx.TransportError as error:
        into.append(f"cut off: {error!r}")
    finally:
        begun.set()


@asynccontextmanager
async def followed(url: str, number: int) -> AsyncIterator[list[list[str]]]:
    """The events of that many open streams; all have ended after the block."""
    received: list[list[str]] = [[] for _ in range(number)]
    begun = [asyncio.Event() for _ in received]
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        streams = [
            asyncio.create_task(follow(client, url, *one)) for one in zip(received, begun, strict=True)
        ]
        async with asyncio.timeout(60):
            await asyncio.gather(*(one.wait() for one in begun))
        yield received
        async with asyncio.timeout(60):
            await asyncio.gather(*streams)


def byes(received: list[list[str]]) -> list[str]:
    return [
        json.loads(one[-1].removeprefix("bye "))["reason"] if one[-1][:4] == "bye " else one[-1]
        for one in received
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    "server", ["uvicorn", "uvicorn h11", "uvicorn workers", "gunicorn", "granian", "hypercorn"]
)
async def test_streams_end_with_bye_when_the_server_gets_a_signal(
    redis_url: str, tmp_path: Path, server: str, number: int
) -> None:
    if server == "gunicorn" and number == signal.SIGINT:
        number = signal.SIGTERM  # hypercorn's SIGINT stops at once and waits for no stream
    port = free_port()
    async with under(command(server, port), port, redis_url, tmp_path) as running:
        async with followed(running.url, 3) as received:
            running.program.process.send_signal(number)
        assert byes(received) == ["drain"] * 3, running.program.log.read_text()[-3000:]
        # A guard against hanging: gunicorn would kill a worker after 30 s, uvicorn waits for ever.
        await asyncio.to_thread(running.program.process.wait, 25)
        assert "Traceback" not in running.program.log.read_text()


async def test_a_reload_ends_streams_and_serves_again_afterwards(redis_url: str, tmp_path: Path) -> None:
    module = tmp_path / "shop.py"
    module.write_text("from tests.wire.gateway import served as app\n")
    port = free_port()
    line = [*PYTHON, "uvicorn", "shop:app", "--port", str(port), "--reload", "--reload-dir", str(tmp_path)]
    async with under([*line, "--app-dir", str(tmp_path)], port, redis_url, tmp_path) as running:
        for _ in range(2):
            async with followed(running.url, 3) as received:
                module.write_text(module.read_text() + "# saved\n")
            assert byes(received) == ["drain"] * 3, running.program.log.read_text()[-3000:]
        running.program.process.terminate()
        await asyncio.to_thread(running.program.process.wait, 25)
        assert "Traceback" not in running.program.log.read_text()


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
async def test_streams_end_with_bye_when_a_server_stops_without_a_signal(
    redis_url: str, tmp_path: Path, server: str
) -> None:
    port = free_port()
    flag = {"uvicorn": "--limit-max-requests", "gunicorn": "--max-requests"}[server]
    async with under([*command(server, port), flag, "3"], port, redis_url, tmp_path) as running:
        async with followed(running.url, 3) as received, httpx.AsyncClient(trust_env=False) as client:
            for _ in range(3):
                assert (await client.get(f"{running.url}/livez")).status_code == 200
        assert byes(received) == ["drain"] * 3, running.program.log.read_text()[-3000:]
        assert "Traceback" not in running.program.log.read_text()


MOUNTED = """
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.wire.gateway import served

app = Starlette(routes=[Mount("/", served)])
"""


async def test_streams_end_with_bye_in_a_gateway_mounted_without_lifespan(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "host.py").write_text(MOUNTED)
    port = free_port()
    line = [*PYTHON, "uvicorn", "host:app", "--port", str(port), "--app-dir", str(tmp_path)]
    async with under(line, port, redis_url, tmp_path) as running:
        async with followed(running.url, 3) as received:
            running.program.process.terminate()
        assert byes(received) == ["drain"] * 3, running.program.log.read_text()[-3000:]
        await asyncio.to_thread(running.program.process.wait, 25)


async def test_the_shutdown_watch_calls_existing_signal_handlers_and_restores_them() -> None:
    calls: list[int] = []
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
        mine = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        notice = ShutdownWatch(lambda: calls.append(1))
        notice.start()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert (calls, received) == ([1], [signal.SIGTERM, signal.SIGTERM])
        await notice.close()
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
