"""What a forwarded exchange costs beside nginx `proxy_pass` and Caddy `reverse_proxy`: CPU time for each small
exchange, and megabytes a second of a body of 1 MB.

One service (nginx, files) is behind all of them. Contender and service have CPU 0 and the last one; the load comes from
the last one. Each answer is compared before anything is timed. The rounds of the contenders take turns, and the medians
with the smallest and largest round are printed. The gateway does more than the others: limits, ids, a trace context, an
access decision, headers by list; so the figures say what that costs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from .fanout.place import valkey_program
from .fanout.process import AROUND, CONTENDER, PINNED, Program, free_port, pin

NGINX = os.environ.get("BENCH_NGINX") or shutil.which("nginx")
CADDY = os.environ.get("BENCH_CADDY") or shutil.which("caddy")
CONNECTIONS = 16
ROUNDS = 7
SMALL = b'{"id":"7","title":"A small answer of a service","state":"open","labels":["a","b","c"]}'
LARGE = b"0123456789abcdef" * 65_536

_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 100000000; sendfile on; tcp_nodelay on;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; open_file_cache max=10;
  {upstream}
  server {{ listen 127.0.0.1:{port} backlog=2048; {location} }}
}}
"""


@dataclass
class Contender:
    """name; start: the program on a port; figures of each round."""

    name: str
    start: Callable[[Path, int, int], Program]
    program: Program | None = None
    port: int = 0
    microseconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    bulk_cpu: list[float] = field(default_factory=list)


def _nginx(folder: Path, port: int, *, upstream: str, location: str, cpu: int | None) -> Program:
    folder.mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream, location=location))
    command = [str(NGINX), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(conf)]
    return Program(command, log=folder / "log", cpu=cpu)


def _service(folder: Path, port: int) -> Program:
    files = folder / "files"
    files.mkdir()
    (files / "small").write_bytes(SMALL)
    (files / "large").write_bytes(LARGE)
    return _nginx(folder / "service", port, upstream="", location=f"root {files};", cpu=AROUND)


def _proxy(folder: Path, port: int, service: int) -> Program:
    upstream = f"upstream files {{ server 127.0.0.1:{service}; keepalive 64; keepalive_requests 100000000; }}"
    location = 'location /files/ { proxy_pass http://files/; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    return _nginx(folder / "proxy", port, upstream=upstream, location=location, cpu=CONTENDER)


def _caddy(folder: Path, port: int, service: int) -> Program:
    conf = folder / "Caddyfile"
    conf.write_text(
        "{\n admin off\n auto_https off\n log default {\n  level ERROR\n }\n}\n"
        f"http://:{port} {{\n bind 127.0.0.1\n handle_path /files/* {{\n  reverse_proxy 127.0.0.1:{service}\n }}\n}}\n"
    )
    environment = {"GOMAXPROCS": "1", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    command = [str(CADDY), "run", "--adapter", "caddyfile", "--config", str(conf)]
    return Program(command, log=folder / "caddy.log", cpu=CONTENDER, env=environment)


def _gateway(redis: str) -> Callable[[Path, int, int], Program]:
    def start(folder: Path, port: int, service: int) -> Program:
        return Program(
            [sys.executable, "-m", "bff", "serve", "benchmarks.forwarded:gateway"],
            log=folder / "bff.log",
            cpu=CONTENDER,
            env={
                "BFF_PORT": str(port),
                "BFF_ADMIN_PORT": str(free_port()),
                "BFF_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "BFF_REDIS__URL": redis,
                "BFF_UPSTREAMS__FILES__URL": f"http://127.0.0.1:{service}",
                "BFF_UPSTREAMS__FILES__BULKHEAD__PERMITS": "1000",
                "BFF_LIMITS__DEFAULT": "100000000/minute",
            },
        )

    return start


async def _exchanges(port: int, name: str, size: int, seconds: float) -> int:
    """How many exchanges were whole within the time, over all connections."""
    end = time.perf_counter() + seconds

    async def connection() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2_000_000)
        done = 0
        while time.perf_counter() < end:
            writer.write(f"GET /files/{name} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 200 " not in head[:16]:
                raise RuntimeError(head.decode("latin-1"))
            if b"transfer-encoding: chunked" in head:
                got = 0
                while chunk := int(await reader.readuntil(b"\r\n"), 16):
                    await reader.readexactly(chunk + 2)
                    got += chunk
                await reader.readexactly(2)
            else:
                got = len(
                    await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
                )
            if got != size:
                raise RuntimeError(f"{got} bytes, not {size}")
            done += 1
        writer.close()
        return done

    return sum(await asyncio.gather(*(connection() for _ in range(CONNECTIONS))))


def table(seconds: float = 2.0) -> str:
    """Runs everything; a Markdown table."""
    pin(AROUND)
    with tempfile.TemporaryDirectory(prefix="bff-bench-") as place:
        folder, service = Path(place), free_port()
        valkey, redis = valkey_program(folder)
        contenders = [Contender("bff", _gateway(redis))]
        contenders += [Contender("nginx proxy_pass", _proxy)] if NGINX else []
        contenders += [Contender("Caddy reverse_proxy", _caddy)] if CADDY else []
        programs = [valkey, _service(folder, service)]
        try:
            programs[1].ready(service)
            for one in contenders:
                one.port = free_port()
                one.program = one.start(folder, one.port, service)
                programs.append(one.program)
                one.program.ready(one.port)
            _measure(contenders, seconds)
        finally:
            for program in programs:
                program.stop()
    return _shown(contenders)


def _measure(contenders: list[Contender], seconds: float) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for one in contenders:
            for name, body in (("small", SMALL), ("large", LARGE)):
                runner.run(_exchanges(one.port, name, len(body), 0.5))
        for number in range(ROUNDS):
            for one in contenders[number % len(contenders) :] + contenders[: number % len(contenders)]:
                assert one.program is not None
                one.program.idle()
                before = one.program.cpu()
                done = runner.run(_exchanges(one.port, "small", len(SMALL), seconds))
                one.microseconds.append((one.program.cpu() - before) / done * 1e6)
                before, began = one.program.cpu(), time.perf_counter()
                done = runner.run(_exchanges(one.port, "large", len(LARGE), seconds))
                megabytes = done * len(LARGE) / 1e6
                one.rates.append(megabytes / (time.perf_counter() - began))
                one.bulk_cpu.append((one.program.cpu() - before) / megabytes * 1e6)


def _shown(contenders: list[Contender]) -> str:
    lines = [
        "| | CPU for a small exchange, µs | 1 MB body, MB/s | CPU for a megabyte, µs |",
        "|---|---|---|---|",
    ]
    for one in contenders:
        cells = [_spread(figures) for figures in (one.microseconds, one.rates, one.bulk_cpu)]
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    floor = next((one for one in contenders if one.name.startswith("nginx")), None)
    if floor is not None:
        ratio = statistics.median(contenders[0].microseconds) / statistics.median(floor.microseconds)
        lines.append(f"\nbff / nginx, CPU for a small exchange: {ratio:.2f}")
    lines.append(
        f"\n{ROUNDS} rounds, {CONNECTIONS} connections, {'pinned' if PINNED else 'not pinned'}; median (least–most)."
    )
    return "\n".join(lines)


def _spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f}–{max(figures):,.0f})"
