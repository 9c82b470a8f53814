from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.calls import RequestTimer

from ..hasty import HastyLoop

T = TypeVar("T")


class Loop(HastyLoop):
    """Counts the timers of a RequestTimer. timers: all that were set; most: the most that were set at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = self.most = 0

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        if getattr(callback, "__self__", None).__class__ is RequestTimer:
            self.timers += 1
            waiting = [one for one in self._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
            mine = [
                one for one in waiting if isinstance(getattr(one._callback, "__self__", None), RequestTimer)
            ]
            self.most = max(self.most, len(mine))
        return handle


def run(main: Callable[[Loop], Coroutine[Any, Any, T]]) -> T:
    loop = Loop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


def test_a_block_that_takes_too_long_is_ended_and_one_in_time_is_not() -> None:
    async def main(loop: Loop) -> None:
        timer = RequestTimer(loop.time)
        with timer.limit(1.0) as limit:
            await asyncio.sleep(0.9)
        assert not limit.expired
        with pytest.raises(TimeoutError), timer.limit(1.0):
            await asyncio.sleep(1.1)
        assert loop.time() == pytest.approx(1.9)
        await asyncio.sleep(5)

    run(main)


def test_nested_and_concurrent_limits_share_one_timer() -> None:
    async def main(loop: Loop) -> None:
        timer = RequestTimer(loop.time)

        async def attempt(seconds: float) -> None:
            with timer.limit(1.0):
                await asyncio.sleep(seconds)

        with timer.limit(1.5):
            await attempt(0.1)
            await asyncio.gather(*(attempt(0.2) for _ in range(5)))
            await attempt(0.3)
        assert loop.most == 1
        assert loop.timers == 2, "the second limit ends before the first one; all others end after it"

    run(main)


def test_a_limit_cancels_only_the_task_inside_it() -> None:
    async def main(loop: Loop) -> None:
        timer = RequestTimer(loop.time)

        async def inner(seconds: float) -> str:
            try:
                with timer.limit(seconds):
                    await asyncio.sleep(1.0)
            except TimeoutError:
                return f"ended at {loop.time():.1f}"
            return "complete"

        with timer.limit(3.0):
            assert await asyncio.gather(inner(0.2), inner(2.0), inner(0.5)) == [
                "ended at 0.2",
                "complete",
                "ended at 0.5",
            ]

    run(main)


def test_a_cancellation_from_outside_at_the_same_time_stays_a_cancellation() -> None:
    async def main(loop: Loop) -> None:
        for also_expired in (False, True):
            timer = RequestTimer(loop.time)

            async def body(timer: RequestTimer = timer, also_expired: bool = also_expired) -> None:
                with timer.limit(10.0) as limit:
                    if also_expired:
                        loop.call_later(1.0, limit.expire)
                    await asyncio.sleep(5.0)

            task = loop.create_task(body())
            loop.call_later(1.0, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


def test_a_block_without_a_time_ends_when_expire_is_called() -> None:
    async def main(loop: Loop) -> None:
        timer = RequestTimer(loop.time)
        with pytest.raises(TimeoutError), timer.limit(None) as limit:
            loop.call_later(2.0, limit.expire)
            await asyncio.sleep(5.0)
        assert loop.time() == pytest.approx(2.0)
        assert loop.timers == 0
        limit.expire()
        await asyncio.sleep(0)

    run(main)


# ---- compared with asyncio.timeout ---------------------------------------------------------------------------------

Program = list[Any]


def _programs() -> st.SearchStrategy[Program]:
    """Programs of sleeps and of blocks with a limit around further steps, in tenths of a second."""
    sleep = st.integers(1, 30)
    return st.recursive(
        st.lists(sleep, min_size=1, max_size=3),
        lambda inner: st.lists(
            st.one_of(sleep, st.tuples(st.integers(0, 40), inner)), min_size=1, max_size=3
        ),
        max_leaves=8,
    )


@settings(max_examples=300, deadline=None)
@given(programs=st.lists(_programs(), min_size=1, max_size=3), cancels=st.integers(0, 60), seed=st.integers())
def test_random_programs_of_limits_end_as_they_do_under_asyncio_timeout(
    programs: list[Program], cancels: int, seed: int
) -> None:
    def outcome(own: bool) -> list[tuple[str, float]]:
        async def main(loop: Loop) -> list[tuple[str, float]]:
            dice = random.Random(seed)
            timer = RequestTimer(loop.time)
            seen: list[tuple[str, float]] = []

            @asynccontextmanager
            async def limited(seconds: float) -> Any:
                if own:
                    with timer.limit(seconds):
                        yield
                else:
                    async with asyncio.timeout(seconds):
                        yield

            async def steps(name: str, program: Program) -> None:
                for step in program:
                    # A random fraction, so that no two events are closer than the rounding of the loop's clock.
                    fraction = dice.uniform(0.001, 0.06)
                    if isinstance(step, int):
                        await asyncio.sleep(step / 10 + fraction)
                        continue
                    try:
                        async with limited(step[0] / 10 + fraction):
                            await steps(name, step[1])
                    except TimeoutError:
                        seen.append((f"{name} timed out", loop.time()))
                seen.append((f"{name} continued", loop.time()))

            tasks = [loop.create_task(steps(str(number), one)) for number, one in enumerate(programs)]
            loop.call_later(cancels / 10 + 0.0005, tasks[0].cancel)
            for task in tasks:
                try:
                    await task
                    seen.append(("complete", 0.0))
                except asyncio.CancelledError:
                    seen.append(("cancelled", 0.0))
            return sorted(seen)

        return run(main)

    with mock.patch("bff.calls.deadline.EARLY", 1e-9):
        ours = outcome(own=True)
    theirs = outcome(own=False)
    assert [what for what, _ in ours] == [what for what, _ in theirs]
    assert [at for _, at in ours] == pytest.approx([at for _, at in theirs], abs=1e-6)
