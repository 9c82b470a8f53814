"""The contenders: how each is served, and how streams and events are sent to it."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..fanout.process import Program
from .publish import OverHttp, Publisher

HERE = Path(__file__).parent
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NODE, NPM, NGINX = shutil.which("node"), shutil.which("npm"), shutil.which("nginx")
BEAT = 15
"""Seconds between two heartbeats on an idle stream, the same for every contender."""


@dataclass(frozen=True)
class Place:
    """Where a contender runs. folder: for logs; streams: how many will be opened, each of another person."""

    folder: Path
    port: int
    streams: int


@dataclass(frozen=True)
class Prepared:
    """What is started, and what is ready beside it.

    cookies  of the people, in the order of their numbers; empty: no sign-in is required
    store    the program that stores its events, where it is a separate one
    bus      where services publish, for a contender that reads events itself
    proof    raises RuntimeError unless it checks and counts as its row says
    """

    command: list[str]
    env: dict[str, str]
    publisher: Publisher
    cookies: Sequence[str] = ()
    store: Program | None = None
    bus: Publisher | None = None
    proof: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True)
class Contender:
    """name: short and unique; does: what a stream and an event get; prepare: its surroundings; own, everybody: the
    paths of a user's stream (`{u}`) and of one with the events for everybody; ready: what a stream's first bytes
    contain; tasks: the path that returns the number of tasks; missing: why it cannot run here; most: streams with which
    it is measured, so that a run ends in time."""

    name: str
    does: str
    prepare: Callable[[Place], AbstractAsyncContextManager[Prepared]]
    own: str
    everybody: str
    versions: Callable[[], str]
    ready: str = "HTTP/1.1 200"
    tasks: str | None = None
    missing: Callable[[], str | None] = lambda: None
    most: float = math.inf


@asynccontextmanager
async def _nchan(place: Place) -> AsyncIterator[Prepared]:
    conf, folder = place.folder / "nginx.conf", place.folder
    conf.write_text(f"""
load_module {NCHAN};
daemon off; master_process off; worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/nginx.log error;
events {{ worker_connections {place.streams + 1000}; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{place.port} backlog=4096;
    location /sub {{
      nchan_subscriber eventsource; nchan_channel_id $arg_u; nchan_eventsource_ping_interval {BEAT};
      nchan_subscriber_first_message newest;
    }}
    location /pub {{
      nchan_publisher; nchan_channel_id $arg_u; nchan_message_timeout 60s; nchan_message_buffer_length 500;
    }}
  }}
}}
""")
    yield Prepared([str(NGINX), "-c", str(conf), "-p", str(folder)], {}, OverHttp(place.port, "/pub?u={u}"))


def _nchan_missing() -> str | None:
    there = NGINX and NCHAN.exists()
    return None if there else "nginx with nchan is not here: apt-get install libnginx-mod-nchan"


def _nchan_version() -> str:
    said = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True).stderr
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"], capture_output=True, text=True
    ).stdout
    return f"nginx {said.strip().rpartition('/')[2]}, nchan {package or '?'}"


def _install() -> None:
    command = [str(NPM), "ci", "--silent", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=HERE / "node", check=True, timeout=300)


@asynccontextmanager
async def _better_sse(place: Place) -> AsyncIterator[Prepared]:
    if not (HERE / "node" / "node_modules").exists():
        await asyncio.to_thread(_install)
    command = [str(NODE), str(HERE / "node" / "server.js"), str(place.port)]
    yield Prepared(command, {"NODE_ENV": "production"}, OverHttp(place.port, "/?u={u}"))


def _better_sse_version() -> str:
    node = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    package = json.loads((HERE / "node" / "node_modules" / "better-sse" / "package.json").read_text())
    return f"node {node.removeprefix('v')}, better-sse {package['version']}"


@asynccontextmanager
async def _handwritten(place: Place) -> AsyncIterator[Prepared]:
    command = [sys.executable, "-m", "uvicorn", "benchmarks.live.handwritten:app", "--port", str(place.port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    # The publisher pauses while nothing is sent, longer than the default of five seconds for idle connections.
    command += ["--backlog", "4096", "--timeout-keep-alive", "600"]
    yield Prepared(command, {}, OverHttp(place.port, "/pub?u={u}"))


NCHAN_SERVER = Contender(
    "nchan",
    "one worker in C, in its own memory, 500 messages stored for a minute; published by POST; no sign-in, no log",
    _nchan,
    own="/sub?u={u}",
    everybody="/sub?u=all",
    versions=_nchan_version,
    missing=_nchan_missing,
)
BETTER_SSE = Contender(
    "better-sse",
    "nothing stored; published by POST; no sign-in, no log",
    _better_sse,
    own="/?u={u}",
    everybody="/?u=all",
    versions=_better_sse_version,
    missing=lambda: None if NODE and NPM else "Node.js with npm is not here",
)
HANDWRITTEN = Contender(
    "sse-starlette by hand",
    "a queue per stream without a bound, nothing stored; published by POST; no sign-in, no log",
    _handwritten,
    own="/sub?u={u}",
    everybody="/sub?u=all",
    versions=lambda: f"sse-starlette {version('sse-starlette')}, starlette {version('starlette')}",
    tasks="/tasks",
)
