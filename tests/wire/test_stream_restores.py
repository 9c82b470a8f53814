"""Restoring many journals at once, as after Redis came back empty."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from bff.calls import Principal, SagaStatus

from .test_stream import Client, client, world


async def test_a_restore_that_hangs_for_one_owner_holds_up_nobody_elses_catching_up(redis_url: str) -> None:
    hanging = asyncio.Event()

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        if principal.subject == "stuck" and broken:
            hanging.set()
            await asyncio.Event().wait()
        return []

    broken = False
    async with (
        world(redis_url, restore=restore) as one,
        client(one, who="stuck") as stuck,
        client(one) as ada,
    ):
        await stuck.until("snapshot")
        await ada.until("snapshot")
        broken = True
        await one.link.call("FLUSHALL")
        # Both are compared; the one hangs. What ada is told meanwhile follows on from nothing.
        one.hub._catchup.check_soon()
        await asyncio.wait_for(hanging.wait(), 5)
        assert (await ada.until("reset")).data["sagas"] == []
        await one.link.call("FLUSHALL")
        began = asyncio.get_running_loop().time()
        await one.tell("o1", 1)
        while True:
            event = await ada.next()
            assert event is not None
            if event.name in ("saga", "reset") and "o1" in str(event.data):
                break
        took = asyncio.get_running_loop().time() - began
        assert took < 1.5, f"ada heard of her event after {took:.1f} s, because another's restore hung"


async def test_restores_of_many_owners_do_not_all_run_at_once(redis_url: str) -> None:
    """The services that know the sagas have lost nothing; they must not pay for Redis all at once."""
    running = most = 0

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return []

    async with world(redis_url, restore=restore) as one, contextlib.AsyncExitStack() as stack:
        for number in range(300):
            opened: Client = await stack.enter_async_context(client(one, who=f"u{number}"))
            await opened.until("snapshot")
        most = 0
        await one.link.call("FLUSHALL")
        one.hub._catchup.check_soon()
        async with asyncio.timeout(10):
            while most == 0 or running:
                await asyncio.sleep(0.05)
        assert most <= 64, f"{most} restores ran at once"
