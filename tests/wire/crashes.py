"""Two real gateways, a real Redis with an append-only log, and a service that counts its effects. For each step of a
command there is a point on the wire at which a test may hold it and kill, freeze or restart any process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bff.stores.redis.scripts import read

from ..conftest import Program, Valkey, free_port, start_module, wait_for_port
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD, close_listener
from .gateway import bearer
from .scripted import Asked, Scripted, upstream
from .upstream import http

LEASE = 2.0
POINTS = ("before claim", "after claim", "sent", "committed", "before store", "after store")
SCRIPTS = {
    step: (hashlib.sha1(read(name).encode()).hexdigest().encode(), read(name).encode())
    for step, name in (("claim", "claim"), ("store", "claim_complete"))
}


class Held:
    """A point on the wire at which one message is held once."""

    def __init__(self) -> None:
        self.point: str | None = None
        self.reached = asyncio.Event()
        self.let = asyncio.Event()

    def arm(self, point: str | None) -> None:
        self.let.set()
        self.point, self.reached, self.let = point, asyncio.Event(), asyncio.Event()

    def takes(self, point: str) -> bool:
        if self.point != point:
            return False
        self.point = None
        return True

    async def here(self) -> None:
        let = self.let
        self.reached.set()
        await let.wait()


class Tap:
    """A relay between a gateway and Redis."""

    def __init__(self, target: int, held: Held) -> None:
        self.port = 0
        self._target = target
        self._held = held

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, to_redis = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        waits = False

        async def asked() -> None:
            nonlocal waits
            while data := await reader.read(262_144):
                for step, marks in SCRIPTS.items():
                    if any(mark in data for mark in marks):
                        if self._held.takes(f"before {step}"):
                            await self._held.here()
                        if self._held.takes(f"after {step}"):
                            waits = True
                to_redis.write(data)

        async def answered() -> None:
            nonlocal waits
            while data := await behind.read(262_144):
                if waits:
                    waits = False
                    await self._held.here()
                writer.write(data)

        pumps = [asyncio.ensure_future(asked()), asyncio.ensure_future(answered())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, to_redis):
                end.close()


@dataclass
class Gate:
    """A gateway process that can be started again at the same address."""

    folder: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    program: Program | None = None

    def start(self) -> None:
        self.program = start_module(
            "bff",
            "serve",
            "tests.wire.gateway:served",
            log=self.folder / f"gate-{self.port}.log",
            env=self.env | {"BFF_PORT": str(self.port), "BFF_ADMIN_PORT": str(free_port())},
        )
        wait_for_port(self.port, process=self.program.process)

    def send(self, number: int) -> None:
        assert self.program is not None
        self.program.process.send_signal(number)

    def kill(self) -> None:
        if self.program is not None:
            self.program.kill()


class Counting:
    """The service: `/things/safe` honours idempotency keys, from every sender; `/things/unsafe` acts on every
    request."""

    def __init__(self, held: Held) -> None:
        self.effects: Counter[tuple[str, str, str]] = Counter()
        self._held = held
        self._known: dict[str, bytes] = {}

    def into(self, scripted: Scripted) -> None:
        for how in ("safe", "unsafe"):
            scripted.answers[f"/things/{how}"] = self._do

    async def _do(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if self._held.takes("sent"):
            await self._held.here()
        key, owner = asked.headers["idempotency-key"], asked.headers["bff-owner"]
        how = asked.path.rpartition("/")[2]
        answer = self._known.get(key) if how == "safe" else None
        if answer is None:
            name = json.loads(asked.body)["name"]
            self.effects[how, owner, asked.headers["bff-mutation"]] += 1
            answer = json.dumps({"name": f"{owner} {name}"}).encode()
            self._known[key] = answer
        if self._held.takes("committed"):
            await self._held.here()
        with contextlib.suppress(ConnectionError):
            writer.write(http(200, answer))


@dataclass
class World:
    """gates: the two gateways; service: its effects."""

    valkey: Valkey
    gates: list[Gate]
    held: Held
    service: Counting
    client: httpx.AsyncClient

    async def post(self, gate: Gate, how: str, key: str, subject: str) -> httpx.Response:
        path = "/api/things/safe" if how == "safe" else "/api/unsafe/unsafe"
        return await self.client.post(
            f"http://127.0.0.1:{gate.port}{path}",
            headers=bearer(subject) | {"idempotency-key": f'"{key}"'},
            json={"name": key},
        )

    async def settled(self, gate: Gate, how: str, key: str, subject: str) -> httpx.Response:
        """What a client ends with that retries with the same key: its answer, or an unknown outcome."""
        end = time.monotonic() + 2 * GUARD
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.post(gate, how, key, subject)
                if answer.status_code == 200:
                    assert answer.json() == {"name": f"{ISSUER}|{subject} {key}"}, "nobody else's"
                    return answer
                code = answer.json()["code"]
                if code == "idempotency-unknown":
                    return answer
                assert answer.status_code in (409, 429, 502, 503, 504), answer.text
            assert time.monotonic() < end, "the client never got a final answer"
            await asyncio.sleep(0.1)

    def done(self, how: str, key: str, subject: str) -> int:
        return self.service.effects[how, f"{ISSUER}|{subject}", key]

    async def restart_redis(self) -> None:
        await asyncio.to_thread(self.valkey.stop)
        await asyncio.to_thread(self.valkey.start)


@asynccontextmanager
async def world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    held = Held()
    redis = folder / "redis"
    redis.mkdir()
    valkey = Valkey(redis, args=("--appendonly", "yes", "--appendfsync", "always")).start()
    tap = Tap(valkey.port, held)
    listening = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
    tap.port = listening.sockets[0].getsockname()[1]
    service = Counting(held)
    async with upstream() as scripted, httpx.AsyncClient(trust_env=False, timeout=GUARD / 2) as client:
        service.into(scripted)
        issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{scripted.port}/keys"}
        env = {
            "BFF_REDIS__URL": f"redis://127.0.0.1:{tap.port}/0",
            "BFF_ISSUERS": json.dumps([issuer]),
            "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
            "BFF_UPSTREAMS__SHELF__TIMEOUT": "30",
            "BFF_UPSTREAMS__SHELF__BREAKER__FAILURES": "1000",
            "BFF_IDEMPOTENCY__LEASE": str(LEASE),
            "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
            "BFF_LIMITS__DEFAULT": "100000/minute",
            "BFF_ADMISSION__LAG": "10",
            **settings,
        }
        gates = [Gate(folder, env), Gate(folder, env)]
        try:
            await asyncio.gather(*(asyncio.to_thread(gate.start) for gate in gates))
            yield World(valkey, gates, held, service, client)
        finally:
            held.arm(None)
            for gate in gates:
                if gate.program is not None:
                    with contextlib.suppress(ProcessLookupError):
                        gate.send(signal.SIGCONT)
                gate.kill()
            await close_listener(listening)
            valkey.stop()
