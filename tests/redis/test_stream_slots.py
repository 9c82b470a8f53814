from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bff.stores.journal import channel_of
from bff.stores.keys import owner_tag, redis_key
from bff.stores.processes import Processes
from bff.stores.redis.client import RedisClient
from bff.stores.stream_slots import StreamSlots
from tests.waiting import GUARD, until

OWNER = "https://id.example|ada"
KEY = redis_key(owner_tag(OWNER), "slots")


@asynccontextmanager
async def process(url: str, name: str) -> AsyncIterator[StreamSlots]:
    """A live process, as others see it; its connections end with the block."""
    async with (
        RedisClient(url, timeout=10) as redis,
        redis.dedicated(timeout=GUARD) as subscriber,
        subscriber.pubsub() as pubsub,
    ):
        slots = StreamSlots(redis, processes=Processes(redis, process=name))
        await slots.processes.heartbeat()
        await pubsub.subscribe(slots.processes.channel)
        assert await pubsub.get_message(timeout=GUARD)
        yield slots


async def held(redis: RedisClient) -> set[str]:
    return {member.decode() for member in await redis.call("ZRANGE", KEY, 0, -1)}


async def test_there_are_never_more_slots_than_the_cap_and_the_oldest_are_evicted(redis_url: str) -> None:
    async with (
        process(redis_url, "a") as one,
        process(redis_url, "b") as other,
        RedisClient(redis_url, timeout=10) as redis,
    ):
        stores = [one, other]
        gone: list[str] = []

        async def come(number: int) -> None:
            store = stores[number % 2]
            gone.extend(await store.hold(OWNER, 16, [store.new_slot(1_000_000 + number)]))

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(come(number))
        left = await held(redis)
        assert len(left) == 16 and len(gone) == 184 and left.isdisjoint(gone)


async def test_evicted_streams_are_announced_on_the_owners_channel(redis_url: str) -> None:
    async with (
        RedisClient(redis_url, timeout=10) as redis,
        redis.dedicated(timeout=GUARD) as subscriber,
        subscriber.pubsub() as pubsub,
    ):
        await pubsub.subscribe(channel_of(OWNER))
        assert await pubsub.get_message(timeout=GUARD)
        slots = StreamSlots(redis)
        first, second, third = slots.new_slot(1.0), slots.new_slot(2.0), slots.new_slot(3.0)
        assert await slots.hold(OWNER, 2, [first]) == []
        assert await slots.hold(OWNER, 2, [second]) == []
        assert await slots.hold(OWNER, 2, [second]) == []
        assert await slots.hold(OWNER, 2, [third]) == [first]
        message = await pubsub.get_message(timeout=GUARD)
        assert message is not None and message["data"] == f"end {first}".encode()


async def test_a_released_slot_is_free_at_once(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        slots = StreamSlots(redis)
        first, second, third = slots.new_slot(1.0), slots.new_slot(2.0), slots.new_slot(3.0)
        await slots.hold(OWNER, 2, [first, second])
        await slots.release({OWNER: [second]})
        assert await slots.hold(OWNER, 2, [third]) == []


async def test_slots_of_a_dead_process_are_free_at_once_and_others_are_kept(redis_url: str) -> None:
    async with process(redis_url, "living") as living, RedisClient(redis_url, timeout=10) as redis:
        oldest = living.new_slot(1.0)
        assert await living.hold(OWNER, 3, [oldest]) == []
        async with process(redis_url, "dead") as dead:
            assert await dead.hold(OWNER, 3, [dead.new_slot(2.0), dead.new_slot(3.0)]) == []
        newest = [living.new_slot(4.0), living.new_slot(5.0)]
        for one in newest:
            assert await living.hold(OWNER, 3, [one]) == [], "slots of dead processes are freed first"
        assert await held(redis) == {oldest, *newest}


async def test_a_process_that_only_lost_a_connection_is_not_dead(redis_url: str) -> None:
    async with (
        process(redis_url, "living") as living,
        RedisClient(redis_url, timeout=10) as redis,
        redis.dedicated(timeout=GUARD) as subscriber,
        subscriber.pubsub() as pubsub,
    ):
        away = StreamSlots(redis, processes=Processes(redis, process="away"))
        await away.processes.heartbeat()
        theirs = away.new_slot(1.0)
        assert await away.hold(OWNER, 1, [theirs]) == []
        holding = asyncio.create_task(living.hold(OWNER, 1, [living.new_slot(2.0)]))
        await asyncio.sleep(0.05)
        await pubsub.subscribe(away.processes.channel)
        assert await holding == [theirs], "the slot is evicted, and not freed as dead"


async def test_a_process_without_heartbeat_counts_as_dead_and_notices_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is gone, or the process is frozen: Redis still has its connections."""
    monkeypatch.setattr("bff.stores.processes.ALIVE", 2.0)
    async with (
        process(redis_url, "frozen") as frozen,
        process(redis_url, "living") as living,
        RedisClient(redis_url, timeout=10) as redis,
    ):
        theirs = [frozen.new_slot(1.0), frozen.new_slot(9.0)]
        assert await frozen.hold(OWNER, 2, theirs) == []
        assert await frozen.processes.heartbeat(), "not for that long"
        await asyncio.sleep(2.1)
        newest = [living.new_slot(3.0), living.new_slot(4.0)]
        assert await living.hold(OWNER, 2, newest) == []
        # It thaws: all its streams are still there, and those that opened first are evicted.
        assert not await frozen.processes.heartbeat()
        await living.processes.heartbeat()
        assert await frozen.renew({OWNER: theirs}) == [(OWNER, 4)]
        assert await frozen.hold(OWNER, 2, theirs) == [theirs[0], newest[0]]
        assert await held(redis) == {theirs[1], newest[1]}


async def test_slots_that_are_not_renewed_are_free_after_their_lease(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.stores.stream_slots.LEASE", 2.0)
    async with RedisClient(redis_url, timeout=10) as redis:
        slots = StreamSlots(redis)
        lost, held, newest = slots.new_slot(2.0), slots.new_slot(1.0), slots.new_slot(3.0)
        await slots.hold(OWNER, 2, [lost, held])
        await asyncio.sleep(1.5)
        assert await slots.renew({OWNER: [held]}) == [(OWNER, 2)]
        await asyncio.sleep(0.6)
        assert await slots.hold(OWNER, 2, [newest]) == []

        async def gone() -> bool:
            return not await redis.call("EXISTS", KEY)

        await until(gone)


async def test_renewing_takes_again_slots_that_redis_lost(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        slots = StreamSlots(redis)
        mine = [slots.new_slot(1.0), slots.new_slot(2.0), slots.new_slot(3.0)]
        await slots.hold(OWNER, 2, mine[:2])
        await redis.call("FLUSHALL")
        assert await slots.renew({OWNER: mine}) == [(OWNER, 3)]
        assert await slots.hold(OWNER, 2, mine) == mine[:1]


async def test_slots_without_a_process_in_their_name_are_not_freed_as_dead(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis, process(redis_url, "a") as one:
        await redis.call("ZADD", KEY, 9e15, "0000000001000-abcdef")
        assert await one.hold(OWNER, 1, [one.new_slot(2.0)]) == ["0000000001000-abcdef"]
