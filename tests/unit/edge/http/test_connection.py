"""`LightEvent` does what uvicorn uses of `asyncio.Event`."""

from __future__ import annotations

import asyncio

import pytest

from bff.edge.http.connection import LightEvent


async def test_set_wakes_all_waiters_and_later_waits_return_at_once() -> None:
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


async def test_a_cancelled_waiter_is_removed_and_the_others_are_woken() -> None:
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
