"""Several gateways on one Valkey, and browsers that resume on any gateway that answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import redis.asyncio as redis
from redis.exceptions import RedisError

from bff.stores.journal import channel_of
from tests.events import cloud_event

from ..conftest import Program, Valkey, free_port, start_module, wait_for_port
from ..unit.edge.access.issuing import ISSUER, jwk
from ..waiting import eventually
from .gateway import token
from .scripted import KEY

AT = "2026-03-01T10:00:00Z"


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
class Fleet:
    """Replicas of `tests.wire.gateway:served`. env: settings common to all."""

    folder: Path
    valkey: Valkey
    keys: str
    env: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    programs: dict[int, Program] = field(default_factory=dict)

    def begin(self, port: int) -> None:
        issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": self.keys}
        self.programs[port] = start_module(
            "bff",
            "serve",
            "tests.wire.gateway:served",
            log=self.folder / f"{port}.log",
            env={
                "BFF_PORT": str(port),
                "BFF_ADMIN_PORT": "0",
                "BFF_REDIS__URL": self.valkey.url,
                "BFF_ISSUERS": json.dumps([issuer]),
                "BFF_UPSTREAMS__SHELF__URL": "http://127.0.0.1:1",
                "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
                "BFF_LIVE__PARTITIONS": "4",
                "BFF_LIMITS__DEFAULT": "100000000/minute",
                # On a busy machine, many clients at once are served late and not refused.
                "BFF_ADMISSION__LAG": "10",
                "BFF_TELEMETRY__LOG_LEVEL": "WARNING",
                **self.env,
            },
        )

    def up(self, port: int, seconds: float = 60.0) -> None:
        """Return once the replica serves and has the keys for tokens. Without the keys a stream is answered 503, and a
        browser would not connect again."""
        wait_for_port(port, seconds=seconds, process=self.programs[port].process)
        headers = {"authorization": f"Bearer {token('nobody in particular')}"}
        eventually(
            lambda: (
                httpx.get(f"http://127.0.0.1:{port}/api/me", headers=headers, trust_env=False).status_code
                == 200
            ),
            seconds,
        )

    async def again(self, port: int, number: int = signal.SIGKILL) -> None:
        """Stop a replica and start it again."""
        program = self.programs[port]
        program.process.send_signal(number)
        await asyncio.to_thread(program.process.wait, 30)
        self.begin(port)
        await asyncio.to_thread(self.up, port)

    async def power_cut(
        self, seconds: float, service: Service, browsers: list[Browser], still: asyncio.Lock
    ) -> int:
        """Redis ends as in a power failure: what was written and confirmed in the last seconds is not on the disk.
        Afterwards the service publishes new events, then the lost ones again, and some browsers reconnect meanwhile.
        Returns the number of bytes lost.

        still: a lock held while events are published
        """
        sagas = [(one.subject, f"{one.subject}.{number}") for one in browsers for number in range(5)]
        log = max((self.folder / "appendonlydir").glob("*.incr.aof"))
        since, size = time.monotonic(), log.stat().st_size
        while time.monotonic() < since + seconds:
            async with still:
                await service.publish(*random.choices(sagas, k=20))
            await asyncio.sleep(0.05)
        async with still:
            self.valkey.stop(signal.SIGKILL)
            for browser in random.sample(browsers, len(browsers) // 2):
                if browser.line is not None:
                    browser.line.transport.abort()
            lost = log.stat().st_size - size
            os.truncate(log, size)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(self.valkey.start)
            for _ in range(3):
                some = random.sample(browsers, min(50, len(browsers)))
                await service.publish(*((one.subject, f"{one.subject}.new") for one in some))
            await asyncio.sleep(0.3)
            # Redis writes what it confirmed up to two seconds later while the disk is busy.
            await service.again(since - 5.0)
        return lost


@contextlib.contextmanager
def fleet(folder: Path, replicas: int = 3, **env: str) -> Iterator[Fleet]:
    """The replicas, started and serving."""
    keys = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    threading.Thread(target=keys.serve_forever, daemon=True).start()
    # One file for the whole run; a test that changes it restores it.
    durable = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
    valkey = Valkey(folder, args=durable)
    one = Fleet(folder, valkey.start(), f"http://127.0.0.1:{keys.server_port}/keys", env)
    try:
        one.ports = [free_port() for _ in range(replicas)]
        for port in one.ports:
            one.begin(port)
        for port in one.ports:
            one.up(port)
        yield one
    finally:
        for program in one.programs.values():
            program.kill()
        valkey.stop()
        keys.shutdown()
        keys.server_close()


class _Line(asyncio.Protocol):
    """One connection of a browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._rest = b""
        self._head = True
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if self._head:
            head, found, self._rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 200"):
                # A real browser would not connect again after this status.
                self._browser.wrong.append(head.decode("latin-1"))
            self._head = False
        *blocks, self._rest = self._rest.split(b"\n\n")
        for block in blocks:
            self._browser.block(block)
        if self._rest.endswith(b"0\r\n\r\n"):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


@dataclass
class Browser:
    """The state that one person's page shows, and every error in what it received.

    view: version by saga; wrong: errors; gaps: seconds from an end to the next stream's first bytes; opened: when each
    connection was requested
    """

    subject: str
    ports: list[int]
    token: str = ""
    cursor: str | None = None
    view: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    resets: int = 0
    events: int = 0
    byes: list[str] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    line: _Line | None = None
    live: bool = False
    on: int = 0
    _retry: float = 1.0
    _ended: float | None = None
    _avoid: int = 0

    def block(self, block: bytes) -> None:
        fields = dict(
            line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and not line.startswith(b":")
        )
        if b"retry" in fields:
            self._retry = int(fields[b"retry"]) / 1000
        name = fields.get(b"event")
        if name in (b"snapshot", b"reset"):
            self._state(name.decode(), json.loads(fields[b"data"]))
        elif name == b"saga":
            self._saga(fields[b"id"].decode(), json.loads(fields[b"data"]))
        elif name == b"bye":
            self.byes.append(json.loads(fields[b"data"])["reason"])
            self._ended, self.live = time.monotonic(), False
        if name != b"bye":
            self.live = self.live or name is not None
            if self._ended is not None:
                self.gaps.append(time.monotonic() - self._ended)
                self._ended = None

    def _state(self, name: str, data: dict[str, Any]) -> None:
        if name == "snapshot" and self.cursor is not None:
            self.wrong.append(f"{self.subject}: a snapshot although it sent {self.cursor}")
        self.resets += name == "reset"
        self.cursor = data["cursor"]
        self.view = {saga["id"]: saga["version"] for saga in data["sagas"]}

    def _saga(self, id: str, data: dict[str, Any]) -> None:
        self.events += 1
        epoch, _, offset = (self.cursor or "-").rpartition("-")
        if id != f"{epoch}-{int(offset or 0) + 1}":
            self.wrong.append(f"{self.subject}: {id} after {self.cursor}")
        if data["version"] != self.view.get(data["id"], 0) + 1:
            self.wrong.append(
                f"{self.subject}: {data['id']} {data['version']} after {self.view.get(data['id'])}"
            )
        self.cursor = id
        self.view[data["id"]] = data["version"]
        sent = (data["data"] or {}).get("name", "")
        if sent:
            self.took.append(time.monotonic() - float(sent.split()[0]))

    async def run(self) -> None:
        """Follow for ever, as EventSource does: with the last id, after the last `retry`, on any replica."""
        loop = asyncio.get_running_loop()
        self.token = self.token or token(self.subject, exp=int(time.time()) + 3600)
        while True:
            port = random.choice([one for one in self.ports if one != self._avoid] or self.ports)
            self.opened.append(time.monotonic())
            try:
                _, line = await loop.create_connection(lambda: _Line(self), "127.0.0.1", port)
            except OSError:
                # As a load balancer does: not immediately to the replica that is away.
                self._avoid = port
                await asyncio.sleep(random.uniform(0.05, 0.2))
                continue
            self.line, self.on, self._avoid = line, port, 0
            resume = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
            line.transport.write(
                f"GET /bff/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n{resume}\r\n".encode()
            )
            try:
                await line.lost
            finally:
                line.transport.abort()
            self.live = False
            if self._ended is None:
                self._ended = time.monotonic()
            if self.byes and self.byes[-1] == "drain":
                self._avoid = port
            await asyncio.sleep(self._retry)
            self._retry = random.uniform(0.1, 1.0)


def status(subject: str, saga: str, sequence: int, pad: str = "") -> str:
    """The event of a service; `name` carries when it was sent."""
    data = {"status": "RUNNING", "step": "reserve", "attempt": 1, "reason": None}
    data |= {
        "owner": f"{ISSUER}|{subject}",
        "mutation": "k",
        "at": AT,
        "data": {"name": f"{time.monotonic()} {pad}"},
    }
    return cloud_event("wire.job.status", saga, sequence, data).decode()


class Service:
    """Publishes as services do: again until Redis has confirmed it. told: the newest version by subject and saga."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.from_url(url)
        self._sent: deque[tuple[float, str, str, str]] = deque(maxlen=50_000)
        self.told: dict[str, dict[str, int]] = {}

    async def publish(self, *events: tuple[str, str], pad: str = "") -> None:
        """Publish the next event of each (subject, saga)."""
        bodies = []
        now = time.monotonic()
        for subject, saga in events:
            mine = self.told.setdefault(subject, {})
            mine[saga] = mine.get(saga, 0) + 1
            bodies.append(
                (now, saga, f"events:jobs:{hash(subject) % 4}", status(subject, saga, mine[saga], pad))
            )
        self._sent += bodies
        await self._send(bodies)

    async def again(self, since: float) -> None:
        """Publish again what was published since that moment, in order within each saga, but not everything: Redis lost
        what it had confirmed."""
        late = [one for one in self._sent if one[0] >= since]
        for start in range(0, len(late), 500):
            await self._send(sorted(late, key=lambda one: one[1])[start : start + 500])

    async def _send(self, bodies: Sequence[tuple[float, str, str, str]]) -> None:
        while True:
            try:
                async with self._client.pipeline(transaction=False) as pipe:
                    for _, _, stream, body in bodies:
                        pipe.xadd(stream, {"event": body})
                    await pipe.execute()
                return
            except (RedisError, OSError):
                await asyncio.sleep(0.1)

    async def subscribed(self, subject: str) -> bool:
        """Whether any gateway is subscribed to this person's events."""
        channel = channel_of(f"{ISSUER}|{subject}")
        ((_, listening),) = await self._client.pubsub_numsub(channel)
        return bool(listening)

    async def close(self) -> None:
        await self._client.aclose()


def ranked(values: list[float], share: float) -> float:
    """The quantile: the value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def agreed(browsers: list[Browser], service: Service, seconds: float) -> float:
    """Wait until every browser shows what was published; returns the seconds that took."""
    began = time.monotonic()
    while behind := [one for one in browsers if one.view != service.told.get(one.subject, {})]:
        if time.monotonic() - began > seconds:
            one = behind[0]
            raise AssertionError(
                f"{len(behind)} do not agree, {one.subject}: {one.view} at {one.cursor}, told "
                f"{service.told.get(one.subject)}"
            )
        await asyncio.sleep(0.02)
    return time.monotonic() - began
