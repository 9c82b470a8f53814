from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bff.stores.journal import channel_of, owner_tag
from bff.stores.link import RedisLink
from bff.stores.seats import Seats, seat

OWNER = "https://id.example|ada"
KEY = f"bff:{{{owner_tag(OWNER)}}}:seats"


async def test_nobody_ever_has_more_seats_than_there_are_and_the_first_give_way(redis_url: str) -> None:
    async with RedisLink(redis_url) as one, RedisLink(redis_url) as other:
        stores = [Seats(one), Seats(other)]
        gone: list[str] = []

        async def come(number: int) -> None:
            gone.extend(await stores[number % 2].hold(OWNER, 16, [seat(1_000_000 + number)]))

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(come(number))
        members: Any = await one.client.zrange(KEY, 0, -1)  # redis-py's type is every answer's union
        held = {member.decode() for member in members}
        assert len(held) == 16 and len(gone) == 184 and held.isdisjoint(gone)


async def test_those_who_give_way_are_told_on_their_owners_channel(redis_url: str) -> None:
    async with RedisLink(redis_url) as link, link.client.pubsub() as pubsub:
        await pubsub.subscribe(channel_of(OWNER))
        assert await pubsub.get_message(timeout=2)
        seats = Seats(link)
        first, second, third = seat(1.0), seat(2.0), seat(3.0)
        assert await seats.hold(OWNER, 2, [first]) == []
        assert await seats.hold(OWNER, 2, [second]) == []
        assert await seats.hold(OWNER, 2, [second]) == []
        assert await seats.hold(OWNER, 2, [third]) == [first]
        told = await pubsub.get_message(timeout=2)
        assert told is not None and told["data"] == f"end {first}".encode()


async def test_a_seat_that_was_left_is_free_at_once(redis_url: str) -> None:
    async with RedisLink(redis_url) as link:
        seats = Seats(link)
        first, second, third = seat(1.0), seat(2.0), seat(3.0)
        await seats.hold(OWNER, 2, [first, second])
        await seats.leave({OWNER: [second]})
        assert await seats.hold(OWNER, 2, [third]) == []


async def test_seats_of_a_process_that_died_are_free_after_their_lease(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.stores.seats.LEASE", 0.2)
    async with RedisLink(redis_url) as link:
        seats = Seats(link)
        dead, alive, newest = seat(2.0), seat(1.0), seat(3.0)
        await seats.hold(OWNER, 2, [dead, alive])
        await asyncio.sleep(0.15)
        assert await seats.renew({OWNER: [alive]}) == [(OWNER, 2)]
        await asyncio.sleep(0.1)
        assert await seats.hold(OWNER, 2, [newest]) == []
        await asyncio.sleep(0.3)
        assert not await link.client.exists(KEY)


async def test_renewing_takes_again_what_redis_has_lost(redis_url: str) -> None:
    async with RedisLink(redis_url) as link:
        seats, held = Seats(link), [seat(1.0), seat(2.0), seat(3.0)]
        await seats.hold(OWNER, 2, held[:2])
        await link.client.flushall()
        assert await seats.renew({OWNER: held}) == [(OWNER, 3)]
        assert await seats.hold(OWNER, 2, held) == held[:1]
