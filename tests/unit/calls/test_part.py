from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from bff import Call, Missing, Ready, Stale, Upstream, optional, together
from bff.calls import Deadline, Failed, RequestContext, Timeout, current_context, use_context
from bff.calls.deadline import Clock


class Word(BaseModel):
    text: str


class Words(Upstream, team="Words", contact="#words"):
    def say(self, text: str) -> Call[Word]:
        return self.get("/say/{text}", Word, text=text)


words = Words()


class Fake:
    """Answers with the path's last segment, or fails for some segments; records the remaining time of the deadline."""

    def __init__(self) -> None:
        self.left: list[float] = []

    async def run(self, call: Call[Any], scope: RequestContext) -> Any:
        self.left.append(scope.deadline.left())
        text = call.path.rpartition("/")[2]
        await asyncio.sleep(0)
        if text == "late":
            raise Timeout(call.owner, call.name, "late", retry_after=2.0)
        if text == "broken":
            raise Failed(call.owner, call.name, "broken", status=500)
        return Word(text=text)


def scope(runner: Fake, seconds: float = 1.0, clock: Clock = lambda: 100.0) -> RequestContext:
    return RequestContext(Deadline.after(seconds, clock), runner, "0" * 8)


async def test_parts_run_concurrently_and_return_in_order_with_their_types() -> None:
    with use_context(scope(Fake())):
        a, b = await together(words.say("a"), optional(words.say("b")))
    assert a == Word(text="a")
    assert b == Ready[Word](data=Word(text="b"))


async def test_a_failed_optional_part_has_its_reason_retry_time_and_owner() -> None:
    with use_context(scope(Fake())) as request:
        part = await optional(words.say("late"))
    assert isinstance(part, Missing)
    assert part.model_dump() == {
        "state": "missing",
        "reason": "timeout",
        "retry_after": 2.0,
        "owner": {"service": "words", "team": "Words", "contact": "#words", "docs": ""},
    }
    assert request.record.missing == 1


async def test_a_bug_inside_an_optional_part_is_raised() -> None:
    async def buggy() -> Word:
        raise ZeroDivisionError

    with use_context(scope(Fake())), pytest.raises(ZeroDivisionError):
        await optional(buggy())


async def test_the_first_required_failure_cancels_the_others_and_is_raised_unchanged() -> None:
    cancelled = asyncio.Event()

    async def slow() -> Word:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Word(text="never")

    with use_context(scope(Fake())), pytest.raises(Failed):
        await together(words.say("broken"), slow())
    assert cancelled.is_set()


async def test_a_part_can_only_make_the_deadline_earlier() -> None:
    runner = Fake()
    with use_context(scope(runner, 1.0)):
        await optional(words.say("a"), within=0.3)
        await optional(words.say("b"), within=30)
        await words.say("c")
    assert runner.left == pytest.approx([0.3, 1.0, 1.0])


async def test_nested_parts_have_earlier_deadlines_and_the_outer_context_is_unchanged() -> None:
    runner = Fake()

    async def inner() -> Word:
        found = await optional(words.say("x"), within=5)
        assert isinstance(found, Ready)
        return found.data

    with use_context(scope(runner, 2.0)) as request:
        await optional(inner(), within=0.5)
        assert current_context() is request
    assert runner.left == pytest.approx([0.5])


async def test_a_call_can_be_awaited_again_and_runs_again() -> None:
    runner = Fake()
    call = words.say("again")
    with use_context(scope(runner)):
        assert await call == await call
    assert len(runner.left) == 2


async def test_while_the_gateway_is_overloaded_optional_parts_are_left_out_without_a_call() -> None:
    runner = Fake()

    async def several() -> Word:
        await words.say("a")
        return await words.say("b")

    with use_context(structs.replace(scope(runner), degraded=True)) as request:
        required = await words.say("needed")
        one, two = await together(optional(words.say("x")), optional(several()))
    assert required == Word(text="needed")
    for part in (one, two):
        assert isinstance(part, Missing)
        assert (part.reason, part.owner.service) == ("overloaded", "words")
        assert part.retry_after is not None
    assert len(runner.left) == 1, "only the required part was called"
    assert request.record.missing == 2


async def test_a_part_with_a_stale_answer_has_the_age_of_the_answer() -> None:
    class Old(Fake):
        async def run(self, call: Call[Any], scope: RequestContext) -> Any:
            ages = {"old": 12.5, "older": 40.0}
            text = call.path.rpartition("/")[2]
            if text in ages:
                scope.record.add_stale(scope.part, ages[text])
            return await super().run(call, scope)

    async def both() -> Word:
        await words.say("older")
        return await words.say("old")

    with use_context(scope(Old())):
        one, two, fresh = await together(
            optional(words.say("old")), optional(both()), optional(words.say("new"))
        )
    assert one == Stale[Word](data=Word(text="old"), age=12.5)
    assert isinstance(two, Stale) and two.age == 40.0, "the age of its oldest answer"
    assert isinstance(fresh, Ready)


async def test_n_concurrent_parts_need_one_task_less_than_n() -> None:
    tasks: set[object] = set()

    class Recording(Fake):
        async def run(self, call: Call[Any], scope: RequestContext) -> Any:
            tasks.add(asyncio.current_task())
            return await super().run(call, scope)

    with use_context(scope(Recording())):
        await together(words.say("a"), words.say("b"), words.say("c"))
        assert len(tasks) == 3 and asyncio.current_task() in tasks
        tasks.clear()
        assert await together(words.say("alone")) == (Word(text="alone"),)
        assert tasks == {asyncio.current_task()}
        assert await together() == ()


@pytest.mark.parametrize("broken", [0, 1, 2])
async def test_when_any_part_fails_the_others_are_cancelled_and_its_error_is_raised(broken: int) -> None:
    ended: list[int] = []

    async def slow(number: int) -> Word:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(number)
        return Word(text="never")

    parts = [words.say("broken") if number == broken else slow(number) for number in range(3)]
    with use_context(scope(Fake())), pytest.raises(Failed):
        await together(*parts)
    assert sorted(ended) == [number for number in range(3) if number != broken]


@pytest.mark.parametrize("first", [True, False])
async def test_a_bug_that_occurs_with_a_services_failure_is_raised(first: bool) -> None:
    begun = asyncio.Event()

    async def buggy() -> int:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            raise KeyError("a bug")
        return 1

    async def failing() -> int:
        await begun.wait()
        raise Failed(words.owner, "Words.say", "answered 500.", status=500)

    parts = (failing(), buggy()) if first else (buggy(), failing())
    with pytest.raises(KeyError):
        await together(*parts)
    begun.clear()
    parts = (failing(), buggy()) if first else (buggy(), failing())
    with use_context(scope(Fake())), pytest.raises(KeyError):
        await optional(together(*parts))


async def test_within_limits_anything_a_part_awaits_and_names_the_owner_of_its_last_call() -> None:
    cancelled: list[str] = []

    async def slow(*, call: bool) -> Word:
        if call:
            await words.say("a")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("yes")
            raise
        raise AssertionError

    with use_context(RequestContext(Deadline.after(30.0), Fake(), "0" * 8)) as request:
        first, second, third = await together(
            optional(slow(call=True), within=0.05),
            optional(slow(call=False), within=0.05),
            optional(words.say("x"), within=0.05),
        )
    assert isinstance(first, Missing) and isinstance(second, Missing)
    assert (first.reason, first.owner.team) == ("timeout", "Words")
    assert (second.reason, second.owner.service) == ("timeout", "gateway")
    assert third == Ready[Word](data=Word(text="x"))
    assert (cancelled, request.record.missing) == (["yes", "yes"], 2)


async def test_a_timeout_raised_by_the_view_is_not_a_missing_part_and_a_cancellation_stays_one() -> None:
    async def mine() -> Word:
        raise TimeoutError("a bug")

    with use_context(RequestContext(Deadline.after(30.0), Fake(), "0" * 8)) as request:
        with pytest.raises(TimeoutError, match="a bug"):
            await optional(mine(), within=5)
        outer = asyncio.create_task(optional(asyncio.Event().wait(), within=5))
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
    assert request.record.missing == 0
