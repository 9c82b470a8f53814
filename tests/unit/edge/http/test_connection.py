"""What stands in for uvicorn's own does all that uvicorn asks of it."""

from __future__ import annotations

import asyncio

import pytest

from bff.edge.http.connection import LightEvent


async def test_whoever_waits_is_told_and_whoever_comes_later_does_not_wait() -> None:
    told = LightEvent()
    waiting = [asyncio.create_task(told.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not told.is_set() and not any(one.done() for one in waiting)
    told.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting)
        await told.wait()
    told.clear()
    assert not told.is_set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await told.wait()


async def test_one_that_gives_up_waiting_is_forgotten_and_the_others_are_told() -> None:
    told = LightEvent()
    first, second = (asyncio.create_task(told.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    told.set()
    told.set()
    async with asyncio.timeout(60):
        await second
    assert first.cancelled() or first.done()
    assert told._waiting == []
