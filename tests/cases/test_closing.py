"""Input: a part that fails when it is closed, a task that runs longer than commands may at the end, a start that fails
halfway, and a cancellation while the gateway stops. The failure was swallowed, the task ran on, open parts stayed open,
and the caller was not cancelled.

Right: every failure in closing is logged, and the other parts are closed all the same; a task that exceeds the bound is
cancelled and named; `stop()` does not swallow its caller's cancellation (asyncio's documentation of
`asyncio.CancelledError`).
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from bff import Gateway
from bff.edge.app import background
from bff.edge.app.build import App
from bff.edge.settings import Settings


async def started(redis_url: str) -> tuple[Gateway, App]:
    gateway = Gateway("ending")
    return gateway, await gateway.start(Settings.model_validate({"redis": {"url": redis_url}}))


async def test_a_failure_in_closing_one_part_is_logged_and_the_rest_is_closed(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()
    gateway, runtime = await started(redis_url)

    async def fails() -> None:
        raise OSError("no such socket")

    monkeypatch.setattr(runtime.calls.pipeline, "close", fails)
    with caplog.at_level(logging.ERROR, "bff"):
        await gateway.stop()
    assert "the connections to upstreams could not be closed" in caplog.text
    assert "no such socket" in caplog.text
    assert not asyncio.all_tasks() - before


async def test_a_task_that_exceeds_the_time_at_the_end_is_cancelled_and_named(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "FINISH", 0.05)
    gateway, runtime = await started(redis_url)
    task = runtime.tasks.spawn(asyncio.Event().wait(), "command /api/orders")
    with caplog.at_level(logging.WARNING, "bff"):
        await gateway.stop()
    assert task.cancelled()
    assert "cancelled when the gateway ended: command /api/orders" in caplog.text


async def test_a_cancellation_during_stop_reaches_the_caller_and_everything_is_closed(
    redis_url: str,
) -> None:
    before = asyncio.all_tasks()
    gateway, runtime = await started(redis_url)
    runtime.tasks.spawn(asyncio.Event().wait(), "command /api/orders")
    stopping = asyncio.create_task(gateway.stop())
    while not runtime.health.draining:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    stopping.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait([stopping])
    assert stopping.cancelled()
    async with asyncio.timeout(30):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)


async def test_a_failed_start_closes_everything_that_was_opened(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()

    async def fails(self: object) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patched:
        patched.setattr("bff.live.hub.Hub.start", fails)
        with pytest.raises(RuntimeError, match="no"):
            await started(redis_url)
    assert not asyncio.all_tasks() - before
