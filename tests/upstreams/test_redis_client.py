from __future__ import annotations

import asyncio

from bff_service import redis_client


async def test_a_task_cancelled_in_the_middle_of_a_command_stops(redis_url: str) -> None:
    client = redis_client(redis_url)

    async def for_ever() -> None:
        while True:
            await client.ping()

    await client.ping()
    for turns in range(60):
        task = asyncio.create_task(for_ever())
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        task.cancel()
        _, going_on = await asyncio.wait([task], timeout=60)
        assert not going_on, f"cancelled after {turns % 12} turns of the loop, it went on"
    await client.aclose()
