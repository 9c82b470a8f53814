"""A second copy of a slow read, on real sockets: it wins or is cancelled, stays within its budget and leaves nothing
open."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from pydantic import BaseModel

from bff import Call, Upstream, UpstreamError
from bff.calls import Deadline, Failed, RequestContext, use_context
from bff.policies.events import Hedged, PolicyEvent
from bff.policies.hedge import HedgeRule
from bff.policies.retry import RetryBudget
from bff.transport.backends import DynamicBackends, WireName, open_wire
from bff.transport.client import UpstreamClient
from bff.transport.h1_wire import H1Wire
from bff.transport.hedging import Hedging
from bff.transport.pipeline import CallPipeline

from ..clients import upstream_client
from ..waiting import GUARD, until
from .upstream import RawServer, http, raw_server

Doing = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


class Thing(BaseModel):
    name: str


class Store(Upstream, team="Store", contact="#store"):
    def thing(self, name: str = "x") -> Call[Thing]:
        return self.get("/{name}", Thing, name=name).public()

    def make(self) -> Call[Thing]:
        return self.post("/x", Thing, {"name": "x"})


store = Store()


async def good(writer: asyncio.StreamWriter, name: str) -> None:
    writer.write(http(200, b'{"name":"%s"}' % name.encode()))


async def silent(writer: asyncio.StreamWriter, name: str) -> None:
    await asyncio.sleep(3600)


async def broken(writer: asyncio.StreamWriter, name: str) -> None:
    writer.write(http(500, b"{}"))


def late(seconds: float, then: Doing = good) -> Doing:
    """Answer after so many seconds."""

    async def do(writer: asyncio.StreamWriter, name: str) -> None:
        await asyncio.sleep(seconds)
        await then(writer, name)

    return do


def after(event: Callable[[], bool], then: Doing = good) -> Doing:
    """Answer as soon as an event has happened."""

    async def do(writer: asyncio.StreamWriter, name: str) -> None:
        await until(event)
        await then(writer, name)

    return do


@dataclass
class Rig:
    """doing: what each server does with its next requests; `good` when the list is empty."""

    pipeline: CallPipeline
    client: UpstreamClient
    servers: list[RawServer]
    doing: dict[str, list[Doing]] = field(default_factory=dict)
    events: list[PolicyEvent] = field(default_factory=list)

    def asked(self, name: str) -> bool:
        """A copy has arrived at this address."""
        return bool(self.servers["ab".index(name)].requests)

    def over(self, name: str) -> bool:
        """The gateway has the outcome of the copy sent to this address."""
        port = f":{self.servers['ab'.index(name)].port}"
        return self.asked(name) and not any(one.pending for one in self.client.backends if port in one.name)

    async def ask(self, call: Call[Thing] | None = None, seconds: float = GUARD) -> str:
        with use_context(RequestContext(Deadline.after(seconds), self.pipeline, "id")):
            return (await (call or store.thing())).name

    @property
    def hedged(self) -> list[bool]:
        return [event.won for event in self.events if isinstance(event, Hedged)]

    def held(self) -> tuple[int, int, int, int]:
        pending = sum(backend.pending for backend in self.client.backends)
        return (
            self.client.budget.active,
            self.client.budget.spent,
            self.client.permits.bulkhead.used,
            pending,
        )


class OpenRig(Protocol):
    def __call__(
        self, *, known: bool = True, budget: RetryBudget | None = None, least: float = 0.02
    ) -> AbstractAsyncContextManager[Rig]: ...


@pytest.fixture(params=["h1", "aiohttp"])
def rig(request: pytest.FixtureRequest) -> OpenRig:
    return functools.partial(_rig, request.param)


@asynccontextmanager
async def _rig(
    wire_name: WireName, *, known: bool = True, budget: RetryBudget | None = None, least: float = 0.02
) -> AsyncIterator[Rig]:
    """Two addresses, called in turn, the first one first. A second copy is sent after `least` seconds, even if one of
    the ten measured answers was slow."""
    made: Rig

    def server(name: str) -> Callable[[str, bytes, asyncio.StreamWriter], Awaitable[None]]:
        async def answer(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
            plans = made.doing.get(name)
            await (plans.pop(0) if plans else good)(writer, name)

        return answer

    async with raw_server(server("a")) as a, raw_server(server("b")) as b:
        one = upstream_client(
            H1Wire("http://unused", connections=1, max_body=1), timeout=GUARD, budget=budget
        )
        urls = [f"http://127.0.0.1:{b.port}", f"http://127.0.0.1:{a.port}"]
        opener = open_wire(wire_name, connections=20, max_body=1000)
        one.backends = DynamicBackends("store", urls, opener, how="round-robin", failures=1000)
        seen: list[PolicyEvent] = []
        one.hedge = Hedging(HedgeRule(quantile=0.5, least=least, minimum=10), observe=seen.append)
        made = Rig(CallPipeline({"store": one}), one, [a, b], events=seen)
        for _ in range(10 if known else 0):
            await made.ask()
        for listening in made.servers:
            listening.requests.clear()
        yield made
        await made.pipeline.close()


async def test_a_slow_read_gets_its_response_from_a_second_copy_at_another_backend(rig: OpenRig) -> None:
    async with rig() as one:
        one.doing = {"a": [silent]}
        assert await one.ask() == "b"
        assert [len(server.requests) for server in one.servers] == [1, 1]
        assert (one.hedged, one.held()) == ([True], (0, 0, 0, 0))


async def test_the_second_copy_is_cancelled_when_the_first_attempt_responds(rig: OpenRig) -> None:
    async with rig() as one:
        one.doing = {"a": [after(lambda: one.asked("b"))], "b": [silent]}
        assert await one.ask() == "a"
        assert (one.hedged, one.held()) == ([False], (0, 0, 0, 0))


async def test_no_second_copy_while_responses_are_in_time_or_latencies_are_unknown(rig: OpenRig) -> None:
    async with rig(least=GUARD) as one:
        for _ in range(20):
            await one.ask()
        assert one.hedged == []
    async with rig(known=False) as one:
        one.doing = {"a": [late(0.1)]}
        assert await one.ask() == "a"
        assert one.hedged == []


async def test_a_write_is_never_hedged(rig: OpenRig) -> None:
    async with rig() as one:
        one.doing = {"a": [late(0.1)], "b": [late(0.1)]}
        await one.ask(store.make())
        assert sum(len(server.requests) for server in one.servers) == 1


async def test_no_second_copy_without_retry_budget(rig: OpenRig) -> None:
    async with rig(budget=RetryBudget(0.0, 0)) as one:
        one.doing = {"a": [late(0.1)]}
        assert await one.ask() == "a"
        assert one.hedged == []


@pytest.mark.parametrize("fails", [broken, late(0.02, broken)])
async def test_the_failure_of_a_second_copy_is_dropped(rig: OpenRig, fails: Doing) -> None:
    async with rig() as one:
        one.doing = {"a": [after(lambda: one.over("b"))], "b": [fails]}
        assert await one.ask() == "a"
        assert one.hedged == [False]


async def test_a_first_attempt_that_fails_waits_for_its_second_copy(rig: OpenRig) -> None:
    async with rig() as one:
        one.doing = {"a": [after(lambda: one.asked("b"), broken)], "b": [after(lambda: one.over("a"))]}
        assert await one.ask() == "b"
        assert (one.hedged, one.held()) == ([True], (0, 0, 0, 0))


async def test_when_both_attempts_fail_the_first_failure_is_raised(rig: OpenRig) -> None:
    async with rig() as one:
        one.doing = {
            "a": [after(lambda: one.asked("b"), broken)],
            "b": [after(lambda: one.over("a"), broken)],
        }
        with pytest.raises(Failed):
            await one.ask()
        assert one.held() == (0, 0, 0, 0)


async def test_a_deadline_or_a_cancellation_ends_both_attempts(rig: OpenRig) -> None:
    async with rig() as one:
        one.doing = {"a": [silent, silent], "b": [silent, silent]}
        with pytest.raises(UpstreamError):
            await one.ask(seconds=0.2)
        one.doing = {"a": [silent, silent], "b": [silent, silent]}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await one.ask()
        assert one.held() == (0, 0, 0, 0)
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("hedge")]


async def test_nothing_leaks_after_many_slow_and_cancelled_reads(rig: OpenRig) -> None:
    dice = random.Random(5)

    async def chance(writer: asyncio.StreamWriter, name: str) -> None:
        await asyncio.sleep(dice.choice([0.0, 0.0, 0.01, 0.03, 0.06]))
        await (broken if dice.random() < 0.1 else good)(writer, name)

    async with rig(budget=RetryBudget(1.0, 100)) as one:
        one.doing = {name: [chance] * 100_000 for name in "ab"}

        async def call() -> None:
            try:
                async with asyncio.timeout(dice.uniform(0.001, 0.1)):
                    await one.ask(seconds=dice.uniform(0.01, 0.2))
            except (UpstreamError, TimeoutError):
                pass

        async def both_happened() -> bool:
            for _ in range(20):
                await asyncio.gather(*(call() for _ in range(20)))
            return len(one.hedged) > 10

        await until(both_happened)
        assert one.held() == (0, 0, 0, 0)
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("hedge")]
