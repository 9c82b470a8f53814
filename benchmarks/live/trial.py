"""One contender, alone on its CPU: checked, then measured with so many streams open.

CPU is the contender's user and system time from before an action until it is idle again; clients, publisher and store
run on the other CPU. An event counts once it has reached the client.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.error
import urllib.request

from ..fanout.process import Program
from .contenders import Contender, Prepared
from .crowd import Crowd, request
from .figures import Pace, Plan, Run
from .publish import Publisher

_BATCH = 100
_STEP = 0.002
"""Seconds between two batches of events at a steady rate."""
_KEPT_UP = 0.98
TARRY = 0.5
"""Seconds after which, at a rate that is held, the last events have arrived."""


class Trial:
    """A contender that serves on `port`, and what is beside it."""

    def __init__(
        self, contender: Contender, prepared: Prepared, program: Program, port: int, clients: Crowd
    ) -> None:
        self._contender = contender
        self._prepared = prepared
        self._program = program
        self._port = port
        self._clients = clients
        self._publisher = prepared.publisher

    async def _open(self, path: str, streams: int) -> float:
        """The CPU seconds that took."""
        before = self._program.cpu()
        cookies = self._prepared.cookies
        requests = [
            request(path.replace("{u}", str(user)), cookies[user] if cookies else None)
            for user in range(streams)
        ]
        await self._clients.open(self._port, requests, self._contender.ready)
        # After a fast answer there may be work left, and a queue that does not exist yet receives nothing.
        await asyncio.sleep(0.2)
        await self._idle()
        return self._program.cpu() - before

    async def _close(self) -> None:
        await self._clients.close()
        await self._idle()

    async def _idle(self) -> None:
        await asyncio.to_thread(self._program.idle)

    def _tasks(self) -> float | None:
        if self._contender.tasks is None:
            return None
        address = f"http://127.0.0.1:{self._port}{self._contender.tasks}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{address}: {error}: {error.read().decode()}") from error
        return float(found["open"] if isinstance(found, dict) else found)

    async def check(self) -> None:
        """Ten events to one user and one to everybody arrive whole, once and in order. Raises RuntimeError."""
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
            raise RuntimeError(f"it sent something else: {said}")
        await self._close()
        await self._open(self._contender.everybody, 2)
        await self._publisher.everybody()
        await self._clients.until(2)
        await self._close()

    async def prove(self) -> None:
        """It does what its row says it does beside sending. Raises RuntimeError."""
        if self._prepared.proof is not None:
            await self._prepared.proof()

    async def run(self, streams: int, plan: Plan, *, idle: bool) -> Run:
        """Raises TooSlow for what was not done in time, RuntimeError for wrong behaviour."""
        program, store = self._program, self._prepared.store
        held, tasks = program.memory(), self._tasks()
        first = await self._open(self._contender.own, streams)
        memory = (program.memory() - held) * 1024 / streams
        each = None if tasks is None else ((self._tasks() or 0) - tasks) / streams
        rest = await self._rest(plan.idle) / streams if idle else None
        # The steady rate comes first, so that code compiled at run time is compiled before single events are counted.
        paces = await self._paces(streams, plan)
        stored = store.cpu() if store else 0.0
        unicast = await self._unicast(self._publisher, streams, plan.events)
        beside = (store.cpu() - stored) / plan.events * 1e6 if store else None
        bus = self._prepared.bus
        through = await self._unicast(bus, streams, plan.events) if bus else None
        await self._close()
        again = await self._open(self._contender.everybody, streams)
        broadcast = await self._broadcast(streams, max(3, plan.deliveries // streams))
        await self._close()
        connects = (first / streams * 1e6, again / streams * 1e6)
        return Run(broadcast, unicast, *connects, memory, each, rest, beside, through, paces)

    async def _rest(self, seconds: float) -> float:
        """CPU seconds an hour per thousand streams."""
        before = self._program.cpu()
        await asyncio.sleep(seconds)
        return (self._program.cpu() - before) / seconds * 3600 * 1000

    async def _broadcast(self, streams: int, rounds: int) -> float:
        await self._publisher.everybody()
        await self._clients.until(streams)
        await self._idle()
        before = self._program.cpu()
        for number in range(rounds):
            await self._publisher.everybody()
            await self._clients.until((number + 2) * streams)
        await self._idle()
        return (self._program.cpu() - before) / rounds / streams * 1e6

    async def _unicast(self, publisher: Publisher, streams: int, events: int) -> float:
        users = range(streams)
        batch = min(_BATCH, streams)
        already = await self._clients.tell("count")
        before = self._program.cpu()
        for start in range(0, events, batch):
            await publisher.users(random.sample(users, batch))
            # Otherwise an unbounded queue behind the publisher would be measured.
            await self._clients.until(already + start + batch)
        await self._idle()
        return (self._program.cpu() - before) / events * 1e6

    async def _paces(self, streams: int, plan: Plan) -> tuple[Pace, ...]:
        paces = [await self._pace(streams, plan.rate, plan.seconds)]
        for rate in plan.rates:
            if paces[-1].held:
                break
            # A rate above one that was not reached need not be tried.
            if rate <= paces[-1].reached or rate == plan.rates[-1]:
                paces.append(await self._pace(streams, rate, plan.seconds))
        return tuple(paces)

    async def _pace(self, streams: int, rate: float, seconds: float) -> Pace:
        """At a steady rate, whether or not the last events have arrived."""
        already = await self._clients.tell("count")
        await self._clients.tell("latency on")
        sent = 0
        before, began = self._program.cpu(), time.perf_counter()
        while (now := time.perf_counter() - began) < seconds:
            due = min(int(now * rate) - sent, _BATCH, streams)
            if due > 0:
                await self._publisher.users(random.sample(range(streams), due))
                sent += due
            await asyncio.sleep(max(0.0, _STEP - (time.perf_counter() - began - now)))
        reached = sent / (time.perf_counter() - began)
        late = await self._clients.until(already + sent)
        found = await self._clients.tell("latency off")
        await self._idle()
        cpu = (self._program.cpu() - before) / max(1, sent) * 1e6
        held = reached >= _KEPT_UP * rate and late <= TARRY
        return Pace(rate, reached, cpu, found["p50"], found["p99"], held)
