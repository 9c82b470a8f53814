"""`bff serve` with several workers, and clients that keep their connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ..conftest import Program, free_port, start_program
from ..programs import parents_of_processes
from ..unit.edge.access.issuing import ISSUER, jwk
from ..waiting import GUARD, eventually
from .gateway import token
from .scripted import KEY

APPLICATION = """
import asyncio, contextlib, os, pathlib, signal, subprocess
from pydantic import BaseModel
from bff import Gateway

HERE = pathlib.Path(__file__).parent


class Process(BaseModel):
    pid: int
    version: int


@contextlib.asynccontextmanager
async def lifespan():
    while (HERE / "hang").exists():
        await asyncio.sleep(0.05)
    if (HERE / "die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    yield


app = Gateway("worked", lifespan=lifespan)


@app.view("/process", public=True)
async def process() -> Process:
    return Process(pid=os.getpid(), version=VERSION)


@app.view("/block", public=True)
async def block() -> Process:
    while True:
        pass


@app.view("/leave", public=True)
async def leave() -> Process:
    # The shell ends at once, and leaves a child without a parent.
    left = subprocess.run(["sh", "-c", "sleep 1000 > /dev/null & echo $!"], stdout=subprocess.PIPE)
    return Process(pid=int(left.stdout), version=VERSION)

"""


# Like process 1 of a container, the parent becomes the parent of processes that lost theirs (PR_SET_CHILD_SUBREAPER).
_AS_PROCESS_1 = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(36, 1, 0, 0, 0):
    raise OSError("prctl")
os.execv(sys.executable, [sys.executable, "-m", "bff", *sys.argv[1:]])
"""


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"keys": [jwk(KEY, "k1", use="sig", alg="ES256")]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class ServedWorkers:
    """The parent and its workers. folder: of the application and the log."""

    folder: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    program: Program | None = None

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def write(self, version: int = 1, *, end: str = "") -> None:
        """Write the application. end: its last lines."""
        (self.folder / "worked_app.py").write_text(f"VERSION = {version}\n{APPLICATION}\n{end}\n")

    def start(self, *arguments: str) -> Program:
        self.program = start_program(
            [sys.executable, "-c", _AS_PROCESS_1, "serve", "worked_app:app", *arguments],
            log=self.folder / "log",
            env={
                "PYTHONPATH": str(self.folder),
                # A file that changes twice within a second must not be read from an outdated compiled one.
                "PYTHONDONTWRITEBYTECODE": "1",
                "BFF_PORT": str(self.port),
                "BFF_ADMIN_PORT": str(self.admin_port),
                "BFF_LIMITS__DEFAULT": "100000000/minute",
                "BFF_ADMISSION__LAG": "10",
                **self.env,
            },
        )
        return self.program

    @property
    def process(self) -> Any:
        if self.program is None:
            raise RuntimeError("not started")
        return self.program.process

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        code: int = await asyncio.to_thread(self.process.wait, GUARD)
        return code

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def workers(self) -> set[int]:
        """The process ids of the parent's children."""
        return {pid for pid, parent in parents_of_processes().items() if parent == self.process.pid}

    def pid_of(self, index: int) -> int:
        """The process of a worker, as the log names it."""
        return int(re.findall(rf"worker {index} is ready \(process (\d+)\)", self.log())[-1])

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask the admin port."""
        return httpx.get(f"{self.admin}{path}", headers=headers, trust_env=False, timeout=GUARD)

    def up(self) -> None:
        """Return once every worker is ready."""

        def is_up() -> bool:
            assert self.process.poll() is None, self.log()
            return self.get("/readyz").status_code == 200

        eventually(is_up, 2 * GUARD)

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every value of the metrics page, by name and labels."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            (one.name, frozenset(one.labels.items())): one.value
            for family in families
            for one in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))

    def counters(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every value of the page that must never become less."""
        ends = ("_total", "_bucket", "_count", "_sum")
        return {key: value for key, value in self.samples().items() if key[0].endswith(ends)}

    async def rolled(self, times: int = 1) -> None:
        """Return when so many rolling restarts are complete."""
        await asyncio.to_thread(
            eventually, lambda: self.log().count("the rolling restart is complete") >= times, 2 * GUARD
        )

    def end(self) -> None:
        """End the parent and its workers at once."""
        left = self.workers() if self.program is not None else set()
        if self.program is not None:
            self.program.kill()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def served_workers(folder: Path, redis_url: str, workers: int = 2, **env: str) -> Iterator[ServedWorkers]:
    """The application is written, and not started."""
    keys = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    threading.Thread(target=keys.serve_forever, daemon=True).start()
    issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{keys.server_port}/keys"}
    common = {
        "BFF_WORKERS": str(workers),
        "BFF_REDIS__URL": redis_url,
        "BFF_ISSUERS": json.dumps([issuer]),
        "BFF_LIVE__DRAIN": "0.5",
    }
    made = ServedWorkers(folder, common | env)
    made.write()
    try:
        yield made
    finally:
        made.end()
        keys.shutdown()
        keys.server_close()


class Connection:
    """A client that uses one connection until the gateway says `Connection: close`. closed: how often it did."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.closed = 0

    async def get(self, path: str = "/process") -> dict[str, Any]:
        """Raises when it is not answered with 200."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), GUARD)).decode().lower()
        assert head.startswith("http/1.1 200 "), head
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body: dict[str, Any] = json.loads(await asyncio.wait_for(self._reader.readexactly(length), GUARD))
        if "\r\nconnection: close\r\n" in head:
            self.closed += 1
            self.close()
        return body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def ask(port: int, path: str = "/process") -> dict[str, Any]:
    """One request over a new connection."""
    client = Connection(port)
    try:
        return await client.get(path)
    finally:
        client.close()


async def pids(port: int, connections: int) -> list[int]:
    """The workers that answer so many new connections, all open at once."""
    clients = [Connection(port) for _ in range(connections)]
    try:
        return [(await client.get())["pid"] for client in clients]
    finally:
        for client in clients:
            client.close()


async def follow(port: int, subject: str, begun: asyncio.Event) -> str:
    """Open a stream and read it to its end. begun: set with its first event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"host: x\r\nconnection: close\r\nauthorization: Bearer {token(subject)}"
    writer.write(f"GET /bff/live HTTP/1.1\r\n{head}\r\n\r\n".encode())
    text = ""
    try:
        while data := await reader.read(65_536):
            text += data.decode()
            if "event:" in text:
                begun.set()
            assert text.startswith("HTTP/1.1 200 "), text
        return text
    finally:
        writer.close()


async def streams(port: int, count: int) -> list[asyncio.Task[str]]:
    """So many open streams, each of another person, all with their first event."""
    opened = []
    for number in range(count):
        begun = asyncio.Event()
        opened.append(asyncio.create_task(follow(port, f"person-{number}", begun), name=f"stream {number}"))
        await asyncio.wait_for(begun.wait(), GUARD)
    return opened
