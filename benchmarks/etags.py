"""What a client saves that knows a screen already: 304 against 200, plain and compressed, by the size of the screen.

The gateway is called in this process as an ASGI application, so the figures are its own CPU time without that of a
connection. Valkey and the service are programs (`python -m benchmarks.etags PORT` is the service), and each screen
calls the service. Bytes are those of the answer's head and body as HTTP/1.1 writes them. CPU time is that of this
process, the least of several rounds, which other programs disturb least. Each answer is checked before anything is
timed.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff import Call, Gateway, Upstream
from bff.edge.settings import Settings

from .fanout.place import valkey_program
from .fanout.process import AROUND, CONTENDER, Program, free_port, pin

SIZES = {"2 KB": 12, "20 KB": 125, "200 KB": 1_250}
"""Rows of the screen of each size."""
ROUNDS, TIMES = 8, 100


class Row(BaseModel):
    id: int
    title: str
    state: str
    assignee: str
    changed: str


class Table(BaseModel):
    rows: list[Row]


class Rows(Upstream, team="Bench", contact="#bench"):
    def table(self, name: str) -> Call[Table]:
        return self.get("/{name}", Table, name=name).public()


rows = Rows()
gateway = Gateway("etags", deadline=10)


@gateway.view("/{name}", public=True)
async def screen(name: str) -> Table:
    return await rows.table(name)


@dataclass
class Answer:
    """size: bytes of head and body."""

    status: int
    headers: dict[bytes, bytes]
    size: int
    body: bytes


async def asked(app: Gateway, path: str, headers: dict[str, str]) -> Answer:
    """One request to a gateway in this process."""
    found = Answer(0, {}, 0, b"")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in {"host": "bench", **headers}.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.status, found.headers = message["status"], dict(message["headers"])
            found.size = 17 + sum(len(name) + len(value) + 4 for name, value in message["headers"])
        else:
            found.body += message.get("body", b"")
            found.size += len(message.get("body", b""))

    await app(scope, receive, send)
    return found


async def _measured(redis: str, service: str) -> dict[str, list[str]]:
    settings = {
        "redis": {"url": redis},
        "public_url": "http://bench",
        "upstreams": {"rows": {"url": service}},
        "limits": {"default": "100000000/minute"},
    }
    await gateway.start(Settings.model_validate(settings))
    try:
        found = {}
        for name in SIZES:
            path = f"/{SIZES[name]}"
            ways: dict[str, tuple[int, dict[str, str]]] = {}
            for coding in ("identity", "gzip"):
                plain = {"accept-encoding": coding}
                etag = (await asked(gateway, path, plain)).headers[b"etag"].decode()
                ways[f"200 {coding}"] = 200, plain
                ways[f"304 {coding}"] = 304, plain | {"if-none-match": etag}
            sizes, least = {}, dict.fromkeys(ways, float("inf"))
            for way, (status, headers) in ways.items():
                answer = await asked(gateway, path, headers)
                if answer.status != status or (b"content-encoding" in answer.headers) != (way == "200 gzip"):
                    raise RuntimeError(f"{way} of {name}: {answer}")
                sizes[way] = answer.size
            # In turn, so that load from other programs affects all of them.
            for _ in range(ROUNDS):
                for way, (_, headers) in ways.items():
                    began = time.process_time()
                    for _ in range(TIMES):
                        await asked(gateway, path, headers)
                    least[way] = min(least[way], (time.process_time() - began) / TIMES * 1e6)
            found[name] = [f"{sizes[way]:,} B, {least[way]:,.0f} µs" for way in ways]
            for coding in ("identity", "gzip"):
                bytes_saved = 1 - sizes[f"304 {coding}"] / sizes[f"200 {coding}"]
                cpu_saved = 1 - least[f"304 {coding}"] / least[f"200 {coding}"]
                found[name].append(f"{bytes_saved:.0%}, {cpu_saved:.0%}")
        return found
    finally:
        await gateway.stop()


@contextmanager
def _services() -> Iterator[tuple[str, str]]:
    """The addresses of a Valkey and of the service."""
    with tempfile.TemporaryDirectory(prefix="bff-bench-") as place:
        folder, port = Path(place), free_port()
        valkey, redis = valkey_program(folder)
        command = [sys.executable, "-m", "benchmarks.etags", str(port)]
        service = Program(command, log=folder / "service.log", cpu=AROUND)
        try:
            service.ready(port)
            yield redis, f"http://127.0.0.1:{port}"
        finally:
            service.stop()
            valkey.stop()


def _service() -> Starlette:
    """Answers with one table for each size."""
    chosen = random.Random(7)  # the same rows in each run
    bodies = {
        str(count): json.dumps({"rows": [_row(number, chosen) for number in range(count)]}).encode()
        for count in SIZES.values()
    }

    async def answer(request: Request) -> Response:
        return Response(bodies[request.path_params["name"]], media_type="application/json")

    return Starlette(routes=[Route("/{name}", answer)])


def _row(number: int, chosen: random.Random) -> dict[str, Any]:
    words = " ".join(chosen.choice(("engine", "hums", "silent", "valve", "leaks", "cold")) for _ in range(6))
    return {
        "id": chosen.randrange(10**9),
        "title": f"{number}: {words} {chosen.randrange(10**6)}",
        "state": chosen.choice(("open", "doing", "done")),
        "assignee": chosen.choice(("Ada Lovelace", "Bo Diddley", "Cy Twombly")),
        "changed": f"2026-01-{chosen.randrange(1, 29):02}T{chosen.randrange(24):02}:00:00Z",
    }


def table() -> str:
    """Runs everything; a Markdown table: bytes and CPU of each answer, and the shares that a 304 saves of both."""
    pin(CONTENDER)
    with _services() as (redis, service):
        found = uvloop.run(_measured(redis, service))
    lines = [
        "| screen | 200 | 304 | 200 gzip | 304 gzip | saved: bytes, CPU | saved of gzip |",
        "|---" * 7 + "|",
    ]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in found.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    uvicorn.run(_service(), port=int(sys.argv[1]), log_level="warning")
