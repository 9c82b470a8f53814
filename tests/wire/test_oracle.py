"""Random screens over an upstream that misbehaves: each answer is checked by an oracle that knows only the contract.
And calls that are cancelled at random moments, after which no resource is held."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Part, Raw, Upstream, UpstreamError, optional, together
from bff.calls import Deadline, RequestContext, use_context
from bff.edge.settings import Settings

from ..conftest import closed_port
from ..waiting import GUARD, until
from .gateway import serving
from .misbehaving import misbehaving
from .oracle import TIMEOUT, Case, Plan, Seen, draw, judge

# Seconds for an answer that never comes whole; every other answer may take as long as a busy machine needs.
ATTEMPT = 0.8
# Seconds of CPU that one turn of the event loop must not take: many times what it usually takes.
BLOCKED = 1.0
WORKERS = 32
OWNER = {"team": "Rig team", "contact": "#rig", "docs": "https://docs.test/rig"}


class Thing(BaseModel):
    name: str


class Rig(Upstream, team="Rig team", contact="#rig", docs="https://docs.test/rig"):
    def thing(self, fault: str, name: str) -> Call[Thing]:
        return self.get("/{fault}/{name}", Thing, fault=fault, name=name)

    def whole(self, fault: str, name: str) -> Call[Raw]:
        return self.get("/{fault}/{name}", Raw, fault=fault, name=name)


class Down(Upstream, team="Rig team", contact="#rig", docs="https://docs.test/rig"):
    def thing(self, name: str) -> Call[Thing]:
        return self.get("/ok/{name}", Thing, name=name)

    def whole(self, name: str) -> Call[Raw]:
        return self.get("/ok/{name}", Raw, name=name)


rig, down = Rig(), Down()


class Screen(BaseModel):
    required: dict[str, Thing]
    parts: dict[str, Part[Thing]]
    required_whole: dict[str, Raw]
    parts_whole: dict[str, Part[Raw]]


def call_of(plan: Plan) -> Call[Any]:
    call: Call[Any]
    if plan.fault == "down":
        call = down.whole(plan.name) if plan.whole else down.thing(plan.name)
    else:
        call = rig.whole(plan.fault, plan.name) if plan.whole else rig.thing(plan.fault, plan.name)
    call = call.public() if plan.public else call
    if plan.within is not None:
        call = call.within(plan.within)
    elif plan.outcomes == {TIMEOUT}:
        call = call.within(ATTEMPT)
    return call.fresh(plan.fresh) if plan.fresh else call


def declare(cases: dict[int, Case]) -> Gateway:
    gateway = Gateway("oracle", deadline=GUARD)

    @gateway.view("/screens/{number}", public=True)
    async def screen(number: int) -> Screen:
        case = cases[number]

        async def one(plan: Plan) -> Any:
            return await (call_of(plan) if plan.required else optional(call_of(plan)))

        found: list[Any] = []
        for group in case.groups:
            if len(group) > 1:
                found += await together(*(one(plan) for plan in group))
            else:
                found.append(await one(group[0]))

        def those(required: bool, whole: bool) -> dict[str, Any]:
            pairs = zip(case.plans, found, strict=True)
            return {plan.name: one for plan, one in pairs if (plan.required, plan.whole) == (required, whole)}

        return Screen(
            required=those(True, False),
            parts=those(False, False),
            required_whole=those(True, True),
            parts_whole=those(False, True),
        )

    return gateway


def settings(redis_url: str, port: int, **changes: Any) -> Settings:
    upstream = {
        "timeout": GUARD,
        "max_body": 50_000,
        "connections": 200,
        # This test checks what one call becomes. Breaker, budget and bulkhead depend on earlier calls and have tests of
        # their own, so they let everything through here.
        "breaker": {
            "failures": 1000,
            "minimum": 100_000,
            "open_for": 1e-9,
            "open_at_most": 1e-9,
            "probes": 100,
        },
        "retry": {"least": 1000},
        "bulkhead": {"permits": 1000, "queue": 1000, "wait": 5},
    } | changes
    return Settings.model_validate(
        {
            "redis": {"url": redis_url, "timeout": 10},
            "limits": {"default": "1000000000/minute"},
            "admission": {"in_flight": 100_000, "lag": 10, "standing": 10},
            "upstreams": {
                "rig": upstream | {"url": f"http://127.0.0.1:{port}"},
                "down": upstream | {"url": f"http://127.0.0.1:{closed_port()}"},
            },
        }
    )


@asynccontextmanager
async def running(
    redis_url: str, cases: dict[int, Case], **changes: Any
) -> AsyncIterator[tuple[Gateway, aiohttp.ClientSession]]:
    with misbehaving() as port:
        gateway = declare(cases)
        await gateway.start(settings(redis_url, port, **changes))
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with (
            serving(gateway, sock),
            aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(GUARD + 10)) as client,
        ):
            try:
                yield gateway, client
            finally:
                await gateway.stop()


async def ask(client: aiohttp.ClientSession, number: int, again: bool = False) -> Seen:
    """again: ask once more, with the ETag of the answer."""
    seen = await _ask(client, number, {})
    if again and "etag" in seen.headers:
        seen.again = await _ask(client, number, {"If-None-Match": seen.headers["etag"]})
    return seen


async def _ask(client: aiohttp.ClientSession, number: int, headers: dict[str, str]) -> Seen:
    began = time.monotonic()
    # Without a coding, so that the length of the body is the one that was sent.
    async with client.get(f"/screens/{number}", headers=headers | {"Accept-Encoding": "identity"}) as answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        body = await answer.read()
        took = time.monotonic() - began
        return Seen(answer.status, found, json.loads(body) if body else None, took, len(body))


async def judged(redis_url: str, count: int, seed: int, wire: str = "h1") -> list[str]:
    """Every error in `count` random cases."""
    dice = random.Random(seed)
    cases = {number: draw(dice, number) for number in range(count)}
    wrong: list[str] = []
    left = iter(cases.items())
    async with running(redis_url, cases, wire=wire) as (_, client):

        async def worker() -> None:
            for number, case in left:
                seen = await ask(client, number, case.again)
                found = judge(case, seen, owner=OWNER, longest=GUARD)
                wrong.extend(f"case {number}: {what}" for what in found)

        async with Turns() as turns:
            tasks_before = len(asyncio.all_tasks())
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(worker())
            if len(asyncio.all_tasks()) > tasks_before + WORKERS:
                wrong.append(f"tasks are still there: {asyncio.all_tasks()}")
        if turns.longest > BLOCKED:
            wrong.append(f"one turn of the event loop took {turns.longest:.2f} s of CPU")
    return wrong


class Turns:
    """Watches the event loop. longest: the most seconds of CPU that this thread spent between two turns; time that
    other programs take does not count."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Turns:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        # A timer that is due runs in the next turn. Between two runs of it lies the one turn that was too long, and the
        # little that the loop did in the ten milliseconds before.
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.thread_time() - before)


@pytest.mark.parametrize("wire", ["h1", "aiohttp", "httpx"])
async def test_400_random_screens_are_answered_as_the_contract_says(redis_url: str, wire: str) -> None:
    wrong = await judged(redis_url, 400, seed=1, wire=wire)
    assert wrong == []


@pytest.mark.slow
async def test_10_000_random_screens_are_answered_as_the_contract_says(redis_url: str) -> None:
    wrong = await judged(redis_url, 10_000, seed=2)
    assert wrong == []


def _held() -> tuple[int, int]:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return len(list(Path("/proc/self/fd").iterdir())), resident


async def cancelled_at_random(gateway: Gateway, count: int, dice: random.Random) -> int:
    """Cancel `count` calls, each at another moment; returns how many were cancelled before they had finished."""
    runtime = gateway.runtime
    if runtime is None:
        raise RuntimeError("not running")
    cut = 0

    async def one(number: int) -> None:
        nonlocal cut
        fault = dice.choice(["ok", "chunks", "slow-0.01", "silent", "stall", "drip", "503", "reset"])
        call = rig.thing(fault, f"x{number}").public()
        with use_context(RequestContext(Deadline.after(GUARD), runtime.calls.pipeline, "id")):
            try:
                async with asyncio.timeout(dice.random() * 0.004):
                    await call
            except TimeoutError:
                cut += 1
            except UpstreamError:
                pass

    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(worker())
    return cut


async def _nothing_is_held_after(redis_url: str, count: int, wire: str = "h1") -> None:
    dice = random.Random(3)
    cases = {0: Case(((Plan("p", "ok", True, True, None),),))}
    async with running(redis_url, cases, wire=wire) as (gateway, client):
        await ask(client, 0)
        await cancelled_at_random(gateway, min(2_000, count // 2), dice)
        await asyncio.sleep(0.3)
        tasks = len(asyncio.all_tasks())
        files, memory = _held()
        cut = await cancelled_at_random(gateway, count, dice)
        assert cut > count * 0.6, "the calls must have been cancelled"
        await until(lambda: len(asyncio.all_tasks()) <= tasks and _held()[0] <= files + 20)
        for upstream in gateway.runtime.calls.pipeline.clients.values() if gateway.runtime else ():
            assert (upstream.budget.active, upstream.budget.spent) == (0, 0)
            assert [backend.pending for backend in upstream.backends] == [0]
            assert (upstream.permits.bulkhead.used, upstream.permits.bulkhead.waiting) == (0, 0)
        files_after, memory_after = _held()
        # Kept-alive connections are opened and closed; one left for each thousandth call would be a hundred.
        assert files_after <= files + 20
        assert memory_after - memory < 10_000 + count * 0.05, "kilobytes: 50 bytes a call at most"
        seen = await ask(client, 0)
        assert seen.status == 200
        results = await asyncio.gather(*(ask(client, 0) for _ in range(250)))
        assert {one.status for one in results} == {200}, "every permit and connection is free again"


@pytest.mark.parametrize("wire", ["h1", "aiohttp"])
async def test_nothing_is_held_after_4_000_cancelled_calls(redis_url: str, wire: str) -> None:
    await _nothing_is_held_after(redis_url, 4_000, wire)


@pytest.mark.slow
async def test_nothing_is_held_after_100_000_cancelled_calls(redis_url: str) -> None:
    await _nothing_is_held_after(redis_url, 100_000)
