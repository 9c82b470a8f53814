from __future__ import annotations

import asyncio
import logging

import pytest

from bff.calls.shutdown import cancel_tasks, close_all
from bff.stores import background
from bff.stores.background import Background


class Work(Background):
    def __init__(self, how: str) -> None:
        super().__init__("some-work", "nothing is done")
        self._how = how
        self.released = asyncio.Event()

    async def _run(self, started: asyncio.Event) -> None:
        if self._how == "raises":
            raise ValueError("why")
        if self._how == "returns":
            return
        if self._how == "hangs":
            await asyncio.Event().wait()
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            if self._how == "lingers":
                await self.released.wait()


@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_start_fails_when_the_work_ends_at_once(how: str) -> None:
    work = Work(how)
    async with asyncio.timeout(20):
        for _ in range(2):
            with pytest.raises(RuntimeError, match="some-work ended while it was starting"):
                await work.start()
            assert not work.alive
        await work.stop()


async def test_start_fails_when_the_work_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "START", 0.05)
    work = Work("hangs")
    with pytest.raises(TimeoutError):
        await work.start()
    assert not work.alive


async def test_a_start_that_is_cancelled_leaves_no_work_behind() -> None:
    before = asyncio.all_tasks()
    starting = asyncio.create_task(Work("hangs").start())
    while asyncio.all_tasks() - before == {starting} or not asyncio.all_tasks() - before:
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    async with asyncio.timeout(20):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)


async def test_a_caller_cancelled_while_it_stops_work_is_cancelled() -> None:
    work = Work("lingers")
    await work.start()
    stopping = asyncio.create_task(work.stop())
    for _ in range(5):
        await asyncio.sleep(0)
    stopping.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([stopping])
    assert stopping.cancelled()
    work.released.set()


async def test_a_task_that_ignores_its_cancellation_is_logged_and_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work("lingers")
    await work.start()
    task = work._main
    assert task is not None
    await cancel_tasks([task], 0.05)
    assert "some-work did not end within 0.05 s after it was cancelled" in caplog.text
    work.released.set()
    await asyncio.wait([task])


async def test_an_error_of_a_cancelled_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def fails() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    task = asyncio.create_task(fails(), name="one that fails")
    await begun.wait()
    await cancel_tasks([task])
    assert "one that fails failed when it was cancelled" in caplog.text and "at the end" in caplog.text


async def test_all_are_closed_when_closing_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    def closes(name: str) -> object:
        async def close() -> None:
            closed.append(name)

        return close

    async def fails() -> None:
        raise OSError("the disk is full")

    async def hangs() -> None:
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR, "bff"):
        await close_all(
            [
                ("a", closes("a")),
                ("the file", fails),
                ("b", closes("b")),
                ("the slow one", hangs),
                ("c", closes("c")),
            ],  # type: ignore[list-item]
            0.05,
        )
    assert closed == ["a", "b", "c"]
    assert "the file could not be closed" in caplog.text and "the disk is full" in caplog.text
    assert "the slow one could not be closed within 0.05 s" in caplog.text


async def test_a_caller_cancelled_while_closing_is_cancelled_after_the_others_are_closed() -> None:
    closed = asyncio.Event()

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def close() -> None:
        closed.set()

    closing = asyncio.create_task(close_all([("one", hangs), ("another", close)], 60))
    for _ in range(5):
        await asyncio.sleep(0)
    closing.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([closing])
    assert closing.cancelled() and closed.is_set()
