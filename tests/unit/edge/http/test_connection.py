"""What stands in for uvicorn's own does all that uvicorn asks of it."""

from __future__ import annotations

import asyncio

import pytest

from bff.edge.http.connection import LightEvent


async def test_whoever_waits_is_told_and_whoever_comes_later_does_not_wait() -> None:
    event = LightEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not event.is_set() and not any(one.done() for one in waiting)
    event.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting)
        await event.wait()
    event.clear()
    assert not event.is_set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await event.wait()


async def test_one_that_stops_waiting_is_forgotten_and_the_others_are_told() -> None:
    event = LightEvent()
    first, second = (asyncio.create_task(event.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    event.set()
    event.set()
    async with asyncio.timeout(60):
        await second
    assert first.cancelled() or first.done()
    assert event._waiters == []
