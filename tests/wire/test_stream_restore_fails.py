"""What clients are told when the services cannot say, just now, which sagas there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from bff.calls import Principal, SagaStatus

from .test_stream import AT, Client, client, world


def saga(owner: str) -> SagaStatus:
    return SagaStatus(id=f"of-{owner}", type="order", status="RUNNING", version=1, at=AT)


async def test_nobody_loses_their_sagas_because_all_journals_are_restored_at_once(redis_url: str) -> None:
    """The upstream's bulkhead lets 100 calls through and 100 wait (its defaults); with 300 people here, who is told
    what?"""
    running, pause = 0, 0.0

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        nonlocal running
        if running >= 200:
            raise RuntimeError("the bulkhead is full")
        running += 1
        try:
            await asyncio.sleep(pause)
        finally:
            running -= 1
        return [saga(principal.subject)]

    async with world(redis_url, restore=restore) as one, contextlib.AsyncExitStack() as stack:
        clients: list[Client] = []
        for number in range(300):
            opened = await stack.enter_async_context(client(one, who=f"u{number}"))
            assert [row["id"] for row in (await opened.until("snapshot")).data["sagas"]] == [f"of-u{number}"]
            clients.append(opened)
        pause = 0.1
        await one.link.call("FLUSHALL")
        one.hub._catchup.check_soon()
        async with asyncio.timeout(15):
            told = [(await each.until("reset")).data["sagas"] for each in clients]
        empty = sum(not sagas for sagas in told)
        assert empty == 0, f"{empty} of 300 were told that they have no sagas"


async def test_a_restore_that_goes_on_failing_does_not_reset_a_stream_again_and_again(redis_url: str) -> None:
    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        raise RuntimeError("away")

    async with world(redis_url, restore=restore) as one, client(one) as ada:
        await ada.until("snapshot")
        resets = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                for _ in range(4):
                    # What happens every 25 to 40 seconds.
                    one.hub._catchup.check_soon()
                    await ada.until("reset")
                    resets += 1
        assert resets <= 1, f"{resets} resets, with nothing to say in any"
