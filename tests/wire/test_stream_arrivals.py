"""Many streams that open within a moment are joined together; clients that disconnect do not affect the others."""

from __future__ import annotations

import asyncio
import contextlib

from bff.stores.keys import owner_tag, redis_key
from bff.stores.redis.client import RedisClient

from ..conftest import Valkey
from ..waiting import until
from .test_stream import Client, client, person, world


async def test_clients_that_leave_while_they_are_joined_do_not_affect_the_others(redis_url: str) -> None:
    async with world(redis_url) as one, contextlib.AsyncExitStack() as stack:
        await one.tell("o1", 1, owner="guest-7")
        people = [f"guest-{number}" for number in range(90)]

        async def come(number: int) -> Client:
            who = await stack.enter_async_context(client(one, who=people[number]))
            if number % 3 == 0:
                who.close()
            return who

        came = await asyncio.gather(*map(come, range(90)))
        for number, who in enumerate(came):
            if number % 3:
                state = (await who.until("snapshot")).data
                assert len(state["sagas"]) == (number == 7)
        await one.settled(60)
        # The slot of each client that left is freed, and no other.
        left = {person(name).id: (number % 3 != 0) for number, name in enumerate(people)}

        async def freed() -> bool:
            return await slots(one.redis, left) == left

        await until(freed)
        for name in ("guest-7", "guest-8"):
            await one.tell("o2", 1, owner=name)
        for number in (7, 8):
            assert (await came[number].until("saga")).data["id"] == "o2"


async def slots(redis: RedisClient, owners: dict[str, bool]) -> dict[str, bool]:
    return {owner: bool(await redis.call("ZCARD", redis_key(owner_tag(owner), "slots"))) for owner in owners}


async def test_streams_are_joined_although_redis_has_forgotten_its_scripts(
    own_valkey: Valkey,
) -> None:
    async with world(own_valkey.url) as one, client(one) as first:
        await first.until("snapshot")
        await one.redis.call("SCRIPT", "FLUSH")
        async with contextlib.AsyncExitStack() as stack:
            for who in [await stack.enter_async_context(client(one, who=f"g{n}")) for n in range(10)]:
                await who.until("snapshot")
