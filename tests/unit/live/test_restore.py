"""The queue of lost journals, on an event loop whose time passes without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bff.calls import CircuitOpen, Failed, Owner, Principal, Refused, SagaStatus
from bff.live import restore
from bff.live.restore import AT_ONCE, Restorer
from bff.live.stream import Stream
from bff.stores.journal import Head, Position

from ..hasty import HastyLoop

OWNER = Owner("orders", "Orders", "#orders", "")


class Journals:
    """A fake of the journals. complete: the owners whose journals are complete."""

    def __init__(self) -> None:
        self.complete: set[str] = set()

    def now_ms(self) -> int:
        return 1

    async def heads(self, owners: Iterable[str]) -> dict[str, Head]:
        return {owner: Head(Position("e", 1), owner in self.complete) for owner in owners}

    async def seed(self, owner: str, entries: object) -> bool:
        self.complete.add(owner)
        return True


def person(number: int) -> Principal:
    return Principal("https://id.example", f"u{number}", token="t", expires_at=4e9)


def stream(number: int) -> Stream:
    nothing: Any = None
    return Stream(person(number), None, (), nothing, nothing, queue=8, ends_at=1e9, end_reason="age")


def play(course: Callable[[asyncio.TaskGroup], Awaitable[None]]) -> None:
    async def played() -> None:
        async with asyncio.TaskGroup() as group:
            await course(group)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        runner.run(played())


class Queue:
    """A restorer with records of its calls. ask: returns the error of the n-th call to the service, None for
    success."""

    def __init__(self, group: asyncio.TaskGroup, ask: Callable[[int, float], Exception | None]) -> None:
        self.clock = asyncio.get_running_loop().time
        journals: Any = Journals()
        self.journals = journals
        self.asked: list[tuple[float, str]] = []
        self.restored: list[str] = []
        self.under_way = self.most = 0
        self._ask = ask
        listener: Any = SimpleNamespace(on_restored=lambda one: self.restored.append(one.principal.subject))
        self.restorer = Restorer(journals, self._restore, listener, clock=self.clock)
        group.create_task(self.restorer.run())

    async def _restore(self, principal: Principal) -> Sequence[SagaStatus]:
        self.asked.append((self.clock(), principal.subject))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            answer = self._ask(len(self.asked), self.clock())
            await asyncio.sleep(0.01)
        finally:
            self.under_way -= 1
        if answer is not None:
            raise answer
        return []


def closed(after: float) -> CircuitOpen:
    return CircuitOpen(OWNER, "Orders.mine", "is not called for a moment.", retry_after=after)


def test_a_rejection_by_the_breaker_is_not_a_failure_and_does_not_lengthen_the_pause() -> None:
    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: closed(300.0) if now < 60 else None)
        for number in range(200):
            queue.restorer.want(stream(number))
        while queue.restorer.waiting:
            await asyncio.sleep(0.1)
        assert sorted(queue.restored) == sorted(f"u{number}" for number in range(200))
        assert queue.clock() < 63
        before = [now for now, _ in queue.asked if now < 60]
        # The calls in progress when the breaker opened, and one in each second after that.
        assert len(before) <= AT_ONCE + 70

    play(course)


def test_after_a_rejection_one_call_is_made_at_a_time_until_one_succeeds() -> None:
    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: closed(0.5) if number <= AT_ONCE else None)
        for number in range(100):
            queue.restorer.want(stream(number))
        await asyncio.sleep(0.1)
        assert len(queue.asked) == AT_ONCE
        queue.most = 0
        await asyncio.sleep(0.415)
        assert queue.most == 1
        while queue.restorer.waiting:
            await asyncio.sleep(0.1)
        assert 1 < queue.most <= AT_ONCE

    play(course)


def test_an_owner_whose_service_fails_often_is_retried_within_a_second() -> None:
    def failed() -> Exception:
        return Failed(OWNER, "Orders.mine", "answered 500.", status=500)

    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: failed() if number < 9 else None)
        queue.restorer.want(stream(1))
        while queue.restorer.waiting:
            await asyncio.sleep(0.1)
        assert queue.clock() < 9
        assert len(queue.asked) == 9

    play(course)


@pytest.mark.parametrize(
    "error",
    [
        Refused(OWNER, "Orders.mine", "answered 403.", status=403),
        RuntimeError("a bug"),
        Failed(OWNER, "Orders.mine", "answered 500.", status=500),
    ],
)
def test_an_owner_whose_service_always_fails_is_retried_less_and_less_often(error: Exception) -> None:
    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: error)
        queue.restorer.want(stream(1))
        await asyncio.sleep(600)
        late = [now for now, _ in queue.asked if now > 300]
        assert 300 / restore.LONGEST - 1 <= len(late) <= 300 / (restore.LONGEST / 2) + 1

    play(course)


def test_restores_of_streams_with_a_position_are_spread_and_waiting_ones_come_first() -> None:
    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: None)
        for number in range(300):
            queue.restorer.want(stream(number), spread=True)
        queue.restorer.want(stream(299))
        await asyncio.sleep(1)
        assert queue.asked[0][1] == "u299"
        assert len(queue.asked) < 100
        await asyncio.sleep(9.5)
        assert queue.restorer.waiting == 0
        assert len(queue.asked) == 300

    play(course)


def test_no_call_is_made_for_a_journal_that_another_process_has_restored() -> None:
    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: None)
        queue.journals.complete.add(person(1).id)
        queue.restorer.want(stream(1))
        await asyncio.sleep(1)
        assert (queue.asked, queue.restored) == ([], ["u1"])

    play(course)


def test_no_call_is_made_for_an_owner_who_left_or_a_poll_just_after_a_failure() -> None:
    async def course(group: asyncio.TaskGroup) -> None:
        queue = Queue(group, lambda number, now: RuntimeError("away"))
        left = stream(1)
        queue.restorer.want(left, spread=True)
        queue.restorer.forget(left)
        await asyncio.sleep(20)
        assert queue.asked == []
        assert not await queue.restorer.once(person(2))
        assert not await queue.restorer.once(person(2))
        assert len(queue.asked) == 1
        await asyncio.sleep(60)
        assert len(queue.asked) == 1
        assert queue.restorer.waiting == 0

    play(course)
