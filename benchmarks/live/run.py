"""The comparison: each contender alone on its CPU, checked, then measured with so many streams open.

CPU is the contender's user and system time from before an action until it is idle again; clients, publisher and Redis
are on the other CPU. An event counts once it has reached the client.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ..fanout.issuer import Issuer
from ..fanout.place import valkey_program
from ..fanout.process import AROUND, CONTENDER, ROOT, Program, free_port, pin
from .contenders import Contender, Surroundings
from .publish import Publisher

_BATCH = 100


@dataclass(frozen=True)
class Plan:
    """streams: open at once, each number a table; deliveries: of a broadcast, in all; events: to single users; idle:
    seconds; rate: events a second for the latencies, over `seconds`."""

    streams: tuple[int, ...] = (2000, 10_000)
    deliveries: int = 100_000
    events: int = 10_000
    idle: float = 16.0
    rate: float = 5000.0
    seconds: float = 4.0


@dataclass(frozen=True)
class Figures:
    """broadcast, unicast: CPU µs per delivered event; memory: kB per stream; tasks: per stream, None where there are
    none to count; connect: CPU µs; idle: CPU µs per stream and second; p50, p99: ms at `reached` events a second."""

    contender: Contender
    streams: int
    broadcast: float
    unicast: float
    memory: float
    tasks: float | None
    connect: float
    idle: float
    reached: float
    p50: float
    p99: float


class Clients:
    """The other process, told what to do a line at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.live.clients"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**24,
            preexec_fn=lambda: pin(AROUND),
        )

    async def tell(self, command: str, seconds: float = 120.0) -> Any:  # whatever JSON it answers
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the clients have no pipes")
        self._process.stdin.write(f"{command}\n".encode())
        async with asyncio.timeout(seconds):
            answer = json.loads(await self._process.stdout.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    async def open(self, port: int, requests: list[str], ready: str) -> None:
        wish = self._folder / "wish.json"
        wish.write_text(json.dumps({"port": port, "requests": requests, "ready": ready}))
        await self.tell(f"open {wish}")

    async def until(self, events: int, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while (seen := await self.tell("count")) < events:
            if time.monotonic() > end:
                raise RuntimeError(f"{seen} of {events} events came in {seconds} s")
            await asyncio.sleep(0.005)
        if seen > events:
            raise RuntimeError(f"{seen} events came, {events} were sent")

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()


class Trial:
    """One contender that is up."""

    def __init__(
        self,
        contender: Contender,
        program: Program,
        port: int,
        clients: Clients,
        publisher: Publisher,
        tokens: Sequence[str],
    ) -> None:
        self._contender = contender
        self._program = program
        self._port = port
        self._clients = clients
        self._publisher = publisher
        self._tokens = tokens

    def _requests(self, path: str, streams: int) -> list[str]:
        return [
            f"GET {path.replace('{u}', str(user))} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            + (f"Authorization: Bearer {self._tokens[user]}\r\n" if self._contender.tokens else "")
            + "\r\n"
            for user in range(streams)
        ]

    async def _open(self, path: str, streams: int) -> None:
        await self._clients.open(self._port, self._requests(path, streams), self._contender.ready)
        # Behind a fast answer there may be work left, and a queue that is not yet there hears nothing.
        await asyncio.sleep(0.5)
        await self._idle()

    async def _idle(self) -> None:
        await asyncio.to_thread(self._program.idle)

    def _tasks(self) -> float | None:
        if self._contender.tasks is None:
            return None
        address = f"http://127.0.0.1:{self._port}{self._contender.tasks}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found = json.loads(answer.read())
        return float(found["open"] if isinstance(found, dict) else found)

    async def check(self) -> None:
        """Ten events to one user and one to everybody come whole, once and in order."""
        await self._open(self._contender.own, 2)
        for _ in range(10):
            await self._publisher.users([0])
        await self._clients.until(10)
        await self._publisher.users([1])
        await self._clients.until(11)
        said = [
            json.loads(line[5:])["data"]
            for line in str(await self._clients.tell("first")).splitlines()
            if line.startswith("data:") and '"n":' in line
        ]
        if [one["n"] for one in said] != list(range(1, 11)) or any(len(one["pad"]) != 60 for one in said):
            raise RuntimeError(f"{self._contender.name} sent something else: {said}")
        await self._clients.tell("close")
        await self._open(self._contender.everybody, 2)
        await self._publisher.everybody()
        await self._clients.until(2)
        await self._clients.tell("close")
        await self._idle()

    async def run(self, streams: int, plan: Plan) -> Figures:
        program, clients = self._program, self._clients
        before, held, tasks = program.cpu(), program.memory(), self._tasks()
        await self._open(self._contender.own, streams)
        connect = (program.cpu() - before) / streams * 1e6
        memory = (program.memory() - held) * 1024 / streams
        each = None if tasks is None else ((self._tasks() or 0) - tasks) / streams
        before = program.cpu()
        await asyncio.sleep(plan.idle)
        idle = (program.cpu() - before) / streams / plan.idle * 1e6
        unicast = await self._unicast(streams, plan.events)
        reached, timed = await self._latency(streams, plan)
        await clients.tell("close")
        await self._idle()
        await self._open(self._contender.everybody, streams)
        rounds = max(3, plan.deliveries // streams)
        before = program.cpu()
        for number in range(rounds):
            await self._publisher.everybody()
            await clients.until((number + 1) * streams)
        await self._idle()
        broadcast = (program.cpu() - before) / rounds / streams * 1e6
        await clients.tell("close")
        await self._idle()
        return Figures(
            *(self._contender, streams, broadcast, unicast, memory, each, connect, idle),
            *(reached, timed["p50"], timed["p99"]),
        )

    async def _unicast(self, streams: int, events: int) -> float:
        users = list(range(streams))
        already = await self._clients.tell("count")
        before = self._program.cpu()
        for start in range(0, events, _BATCH):
            await self._publisher.users(random.sample(users, _BATCH))
            # A queue without a bound behind the publisher would be measured instead.
            await self._clients.until(already + start + _BATCH)
        await self._idle()
        return (self._program.cpu() - before) / events * 1e6

    async def _latency(self, streams: int, plan: Plan) -> tuple[float, dict[str, float]]:
        """At a steady rate, whether or not the last ones have come."""
        already = await self._clients.tell("count")
        await self._clients.tell("latency on")
        sent, step = 0, 0.005
        began = time.perf_counter()
        while (now := time.perf_counter() - began) < plan.seconds:
            due = min(int(now * plan.rate) - sent, _BATCH)
            if due > 0:
                await self._publisher.users(random.sample(range(streams), due))
                sent += due
            await asyncio.sleep(max(0.0, step - (time.perf_counter() - began - now)))
        took = time.perf_counter() - began
        await self._clients.until(already + sent)
        return sent / took, await self._clients.tell("latency off")


class _Keys(BaseHTTPRequestHandler):
    jwks = ""

    def do_GET(self) -> None:
        body = self.jwks.encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@asynccontextmanager
async def _around(folder: Path, issuer: Issuer) -> AsyncIterator[tuple[Surroundings, Clients]]:
    valkey, url = valkey_program(folder)
    keys = ThreadingHTTPServer(("127.0.0.1", 0), type("Keys", (_Keys,), {"jwks": issuer.jwks}))
    threading.Thread(target=keys.serve_forever, daemon=True).start()
    clients = Clients(folder)
    await clients.start()
    try:
        yield Surroundings(folder, url, f"http://127.0.0.1:{keys.server_port}/keys"), clients
    finally:
        await clients.stop()
        keys.shutdown()
        valkey.stop()


async def compare(contenders: Sequence[Contender], plan: Plan) -> list[Figures]:
    """Measure them all. Raises RuntimeError when one sends something else than it should."""
    pin(AROUND)
    results: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="bff-live-") as name:
        folder = Path(name)
        issuer = Issuer(max(plan.streams))
        async with _around(folder, issuer) as (around, clients):
            for streams in plan.streams:
                for contender in contenders:
                    port = free_port()
                    command, env = contender.start(around, port)
                    program = Program(command, log=folder / f"{len(results)}.log", cpu=CONTENDER, env=env)
                    publisher = contender.publisher(around, port)
                    try:
                        await asyncio.to_thread(program.ready, port)
                        trial = Trial(contender, program, port, clients, publisher, issuer.tokens)
                        await trial.check()
                        results.append(await trial.run(streams, plan))
                        print(
                            f"{contender.name} with {streams} streams is measured",
                            file=sys.stderr,
                            flush=True,
                        )
                    except RuntimeError as error:
                        raise RuntimeError(f"{contender.name}: {error}; {program.last_words()}") from error
                    finally:
                        await publisher.close()
                        program.stop()
    return results
