"""Who is compared: how each is started, asked for a stream and given an event."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..fanout.issuer import AUDIENCE, ISSUER
from .publish import OverHttp, Publisher, ThroughRedis

HERE = Path(__file__).parent
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NODE, NPM, NGINX = shutil.which("node"), shutil.which("npm"), shutil.which("nginx")


@dataclass(frozen=True)
class Surroundings:
    """What contenders are started with. folder: for logs; keys: where the issuer's JWKS is."""

    folder: Path
    redis: str
    keys: str


Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Contender:
    """name: short and unique; does: what a stream and an event get; start: (surroundings, port) → command and
    environment; own, everybody: the paths of a user's stream (`{u}`) and of one that hears what all hear; ready: what a
    stream's first bytes contain; publisher: (surroundings, port); tokens: clients bring one; tasks: the path that
    tells how many tasks there are; missing: why it cannot run here."""

    name: str
    does: str
    start: Callable[[Surroundings, int], Command]
    own: str
    everybody: str
    ready: str
    publisher: Callable[[Surroundings, int], Publisher]
    versions: Callable[[], str]
    tokens: bool = False
    tasks: str | None = None
    missing: Callable[[], str | None] = lambda: None


def _bff(around: Surroundings, port: int) -> Command:
    trusted = [{"issuer": ISSUER, "audience": AUDIENCE, "jwks_uri": around.keys}]
    env = {
        "BFF_ADMIN_PORT": "0",
        "BFF_REDIS__URL": around.redis,
        "BFF_ISSUERS": json.dumps(trusted),
        # One machine stands for ten thousand people: nothing of theirs is to be refused.
        "BFF_LIMITS__DEFAULT": "1000000000/minute",
        "BFF_ADMISSION__LAG": "10",
        "BFF_REDIS__TIMEOUT": "5",
        "BFF_LIVE__AGE": "86400",
        "BFF_LIVE__STREAM_KEYS": '["events:orders:{p}"]',
        "BFF_TELEMETRY__LOG_LEVEL": "WARNING",
    }
    return [sys.executable, "-m", "bff", "serve", "benchmarks.live.gateway:live", "--port", str(port)], env


def _nchan(around: Surroundings, port: int) -> Command:
    conf = around.folder / "nginx.conf"
    conf.write_text(f"""
load_module {NCHAN};
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
pid {around.folder}/nginx.pid; error_log {around.folder}/nginx.log error;
events {{ worker_connections 19000; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 600s;
  client_body_temp_path {around.folder}/body; proxy_temp_path {around.folder}/proxy;
  fastcgi_temp_path {around.folder}/fastcgi; uwsgi_temp_path {around.folder}/uwsgi;
  scgi_temp_path {around.folder}/scgi;
  nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /sub {{
      nchan_subscriber eventsource; nchan_channel_id $arg_u; nchan_eventsource_ping_interval 15;
      nchan_subscriber_first_message newest;
    }}
    location /pub {{
      nchan_publisher; nchan_channel_id $arg_u; nchan_message_timeout 60s; nchan_message_buffer_length 500;
    }}
  }}
}}
""")
    return [str(NGINX), "-c", str(conf), "-p", str(around.folder)], {}


def _nchan_missing() -> str | None:
    return (
        None
        if NGINX and NCHAN.exists()
        else "nginx with nchan is not here: apt-get install libnginx-mod-nchan"
    )


def _nchan_version() -> str:
    said = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True).stderr
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"], capture_output=True, text=True
    ).stdout
    return f"nginx {said.strip().rpartition('/')[2]}, nchan {package or '?'}"


def _better_sse(around: Surroundings, port: int) -> Command:
    if not (HERE / "node" / "node_modules").exists():
        subprocess.run(
            [str(NPM), "ci", "--silent", "--no-audit", "--no-fund"],
            cwd=HERE / "node",
            check=True,
            timeout=300,
        )
    return [str(NODE), str(HERE / "node" / "server.js"), str(port)], {"NODE_ENV": "production"}


def _better_sse_version() -> str:
    node = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    package = json.loads((HERE / "node" / "node_modules" / "better-sse" / "package.json").read_text())
    return f"node {node.removeprefix('v')}, better-sse {package['version']}"


def _handwritten(around: Surroundings, port: int) -> Command:
    command = [sys.executable, "-m", "uvicorn", "benchmarks.live.handwritten:app", "--port", str(port)]
    return [
        *command,
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--backlog",
        "4096",
        "--timeout-keep-alive",
        "600",
    ], {}


ALL = (
    Contender(
        "bff",
        "token checked, limits, ids, log line, metrics, one seat of the user's; a journal to resume from and values, "
        "both from Redis",
        _bff,
        own="/bff/live",
        everybody="/bff/live?value=tick/all",
        ready="event: snapshot",
        publisher=lambda around, port: ThroughRedis(around.redis),
        versions=lambda: (
            f"uvicorn {version('uvicorn')}, uvloop {version('uvloop')}, hiredis {version('hiredis')}"
        ),
        tokens=True,
        tasks="/tasks",
    ),
    Contender(
        "nchan",
        "in C, in its own memory, 500 messages kept a minute; published by POST; no check of anybody",
        _nchan,
        own="/sub?u={u}",
        everybody="/sub?u=all",
        ready="HTTP/1.1 200",
        publisher=lambda around, port: OverHttp(port, "/pub?u={u}"),
        versions=_nchan_version,
        missing=_nchan_missing,
    ),
    Contender(
        "better-sse",
        "nothing kept; published by POST; no check of anybody",
        _better_sse,
        own="/?u={u}",
        everybody="/?u=all",
        ready="HTTP/1.1 200",
        publisher=lambda around, port: OverHttp(port, "/?u={u}"),
        versions=_better_sse_version,
        missing=lambda: None if NODE and NPM else "Node.js with npm is not here",
    ),
    Contender(
        "sse-starlette by hand",
        "a queue per stream without a bound, nothing kept; published by POST; no check of anybody",
        _handwritten,
        own="/sub?u={u}",
        everybody="/sub?u=all",
        ready="HTTP/1.1 200",
        publisher=lambda around, port: OverHttp(port, "/pub?u={u}"),
        versions=lambda: f"sse-starlette {version('sse-starlette')}, starlette {version('starlette')}",
        tasks="/tasks",
    ),
)
