"""Identical reads in progress, on a real event loop: one is sent, and every caller gets its outcome."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from bff import Call, Principal, Upstream
from bff.calls import Deadline, Failed, RequestContext, RequestRecord, Timeout
from bff.transport.coalescing import RequestCoalescer
from bff.transport.request import NO_CONDITIONS
from bff.transport.response import CallResult
from bff.transport.wire import WireResponse


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, id: int = 1) -> Call[Thing]:
        return self.get("/things/{id}", Thing, id=id)

    def make(self) -> Call[Thing]:
        return self.post("/things", Thing, {})


shelf = Shelf()
ADA = Principal("https://i", "ada", "t", 0.0)
BOB = Principal("https://i", "bob", "t", 0.0)
GOOD = WireResponse(200, {"content-type": "application/json"}, b'{"name":"good"}')


class Inner:
    """Answers calls when the test opens the gate, and counts them."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = 0
        self.in_flight = 0
        self.outcome: WireResponse | Exception = GOOD

    async def exchange(
        self, call: Call[Any], scope: RequestContext, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> CallResult:
        self.asked += 1
        self.in_flight += 1
        try:
            async with asyncio.timeout(scope.deadline.left()):
                await self.gate.wait()
        except TimeoutError:
            raise Timeout(call.owner, call.name, "late") from None
        finally:
            self.in_flight -= 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return CallResult(self.outcome, Thing(name="the leader's own"))

    async def run(self, call: Call[Any], scope: RequestContext) -> Any:
        return (await self.exchange(call, scope)).value


def scope(principal: Principal | None = ADA, seconds: float = 5.0) -> RequestContext:
    return RequestContext(Deadline.after(seconds), None, "id", principal, record=RequestRecord())  # type: ignore[arg-type]  # runs nothing by itself


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_identical_reads_are_sent_once_and_each_caller_gets_its_own_copy() -> None:
    inner = Inner()
    coalescer = RequestCoalescer(inner)
    scopes = [scope() for _ in range(10)]
    tasks = [asyncio.ensure_future(coalescer.run(shelf.thing(), one)) for one in scopes]
    await turns()
    inner.gate.set()
    answers = await asyncio.gather(*tasks)
    assert inner.asked == 1
    assert [one.name for one in answers] == ["the leader's own"] + ["good"] * 9
    assert len({id(one) for one in answers}) == 10
    assert [one.record.timings[0].outcome for one in scopes[1:]] == ["ok"] * 9
    assert len(coalescer.flights) == 0


async def test_reads_of_other_principals_or_paths_and_writes_are_not_coalesced() -> None:
    inner = Inner()
    coalescer = RequestCoalescer(inner)
    runs = [
        coalescer.run(shelf.thing(), scope(ADA)),
        coalescer.run(shelf.thing(), scope(BOB)),
        coalescer.run(shelf.thing(2), scope(ADA)),
        coalescer.run(shelf.thing().public(), scope(ADA)),
        coalescer.run(shelf.thing().public(), scope(BOB)),
        coalescer.run(shelf.make(), scope(ADA)),
        coalescer.run(shelf.make(), scope(ADA)),
    ]
    tasks = [asyncio.ensure_future(run) for run in runs]
    await turns()
    inner.gate.set()
    await asyncio.gather(*tasks)
    assert inner.asked == 6


async def test_a_failure_reaches_every_follower_as_an_error_of_its_own() -> None:
    inner = Inner()
    inner.outcome = Failed(shelf.owner, "Shelf.thing", "answered 500.", status=500)
    coalescer = RequestCoalescer(inner)
    tasks = [asyncio.ensure_future(coalescer.run(shelf.thing(), scope())) for _ in range(3)]
    await turns()
    inner.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert inner.asked == 1
    assert [(type(e), str(e), getattr(e, "status", 0)) for e in errors] == [
        (Failed, "Shelf.thing: answered 500.", 500)
    ] * 3
    assert len({id(error) for error in errors}) == 3


async def test_a_cancelled_leader_hands_over_to_the_follower_that_waited_longest() -> None:
    inner = Inner()
    coalescer = RequestCoalescer(inner)
    tasks = [asyncio.ensure_future(coalescer.run(shelf.thing(), scope())) for _ in range(4)]
    await turns()
    tasks[0].cancel()
    # The new leader is cancelled, too, just after it became the leader and before it has noticed that.
    await asyncio.sleep(0)
    tasks[1].cancel()
    await turns()
    assert inner.in_flight == 1
    inner.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, True, False, False]
    assert answers[2].name == "the leader's own"  # type: ignore[union-attr]
    assert answers[3].name == "good"  # type: ignore[union-attr]
    assert len(coalescer.flights) == 0


async def test_a_leader_with_a_short_deadline_does_not_make_followers_fail() -> None:
    inner = Inner()
    coalescer = RequestCoalescer(inner)
    short = asyncio.ensure_future(coalescer.run(shelf.thing(), scope(seconds=0.02)))
    await turns()
    patient = asyncio.ensure_future(coalescer.run(shelf.thing(), scope(seconds=5)))
    with pytest.raises(Timeout):
        await short
    await turns()
    assert inner.asked == 2
    inner.gate.set()
    assert (await patient).name == "the leader's own"


async def test_a_follower_waits_until_its_own_deadline_and_the_leader_goes_on() -> None:
    inner = Inner()
    coalescer = RequestCoalescer(inner)
    leader = asyncio.ensure_future(coalescer.run(shelf.thing(), scope(seconds=5)))
    await turns()
    short = scope(seconds=0.02)
    with pytest.raises(Timeout, match=r"Shelf\.thing: did not answer another request"):
        await coalescer.run(shelf.thing(), short)
    assert short.record.timings[0].outcome == "timeout"
    inner.gate.set()
    assert (await leader).name == "the leader's own"
    assert inner.asked == 1


async def test_a_read_after_a_change_does_not_join_one_from_before() -> None:
    inner = Inner()
    now = 10.0
    changed = {ADA.id: 0.0}
    coalescer = RequestCoalescer(inner, last_change_by=lambda who: changed.get(who, 0.0), clock=lambda: now)
    before = asyncio.ensure_future(coalescer.run(shelf.thing().public(), scope(ADA)))
    await turns()
    changed[ADA.id] = 10.0
    now = 11.0
    after = asyncio.ensure_future(coalescer.run(shelf.thing().public(), scope(ADA)))
    bob = asyncio.ensure_future(coalescer.run(shelf.thing().public(), scope(BOB)))
    await turns()
    assert inner.asked == 2
    inner.gate.set()
    await asyncio.gather(before, after, bob)
    assert len(coalescer.flights) == 0


async def test_a_bug_is_not_shared() -> None:
    inner = Inner()
    inner.outcome = RuntimeError("a bug")
    coalescer = RequestCoalescer(inner)
    tasks = [asyncio.ensure_future(coalescer.run(shelf.thing(), scope())) for _ in range(3)]
    await turns()
    inner.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [RuntimeError] * 3
    assert len(coalescer.flights) == 0


@pytest.mark.parametrize("seed", range(20))
async def test_no_caller_hangs_under_random_cancellations_and_deadlines(seed: int) -> None:
    dice = random.Random(seed)
    inner = Inner()
    coalescer = RequestCoalescer(inner, most=dice.choice([0, 2, 1000]))
    tasks: list[asyncio.Task[Any]] = []
    for _ in range(200):
        kind = dice.random()
        if kind < 0.5 or not tasks:
            seconds = dice.choice([0.0, 0.001, 0.004, 5.0])
            call = shelf.thing(dice.randrange(2))
            tasks.append(asyncio.ensure_future(coalescer.run(call, scope(seconds=seconds))))
        elif kind < 0.85:
            dice.choice(tasks).cancel()
        elif kind < 0.9:
            inner.gate.set()
        else:
            inner.gate.clear()
        if dice.random() < 0.5:
            await asyncio.sleep(dice.choice([0, 0, 0.001]))
    inner.gate.set()
    async with asyncio.timeout(4):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, Thing | Timeout | asyncio.CancelledError) for one in outcomes)
    assert len(coalescer.flights) == 0
    assert inner.in_flight == 0


async def test_an_unconditional_read_does_not_join_a_conditional_one() -> None:
    inner = Inner()
    inner.outcome = WireResponse(304, {}, b"")
    coalescer = RequestCoalescer(inner)
    conditions = {"if-none-match": '"a"'}
    first = asyncio.ensure_future(coalescer.exchange(shelf.thing(), scope(), conditions))
    same = asyncio.ensure_future(coalescer.exchange(shelf.thing(), scope(), conditions))
    await turns()
    plain = asyncio.ensure_future(coalescer.exchange(shelf.thing(), structs.replace(scope()), NO_CONDITIONS))
    await turns()
    inner.gate.set()
    assert (await first).response.status == 304
    assert (await same).coalesced
    assert not (await plain).coalesced
    assert inner.asked == 2


async def test_reads_with_different_limits_are_not_coalesced() -> None:
    inner = Inner()
    coalescer = RequestCoalescer(inner)
    call = shelf.thing()
    calls = [
        call,
        call,
        call.within(0.1),
        call.within(0.1),
        call.within(5),
        call.tries(1),
        call.tries(1).within(5),
    ]
    tasks = [asyncio.create_task(coalescer.run(one, scope())) for one in calls]
    await asyncio.sleep(0)
    inner.gate.set()
    await asyncio.gather(*tasks)
    assert inner.asked == 5
