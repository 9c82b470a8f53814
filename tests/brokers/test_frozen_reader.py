"""A reader that stands still (a stopped process, a long pause) keeps its connection while another takes its place."""

from __future__ import annotations

import asyncio

from bff.live.ingest import BusUnavailable
from bff.stores.link import RedisLink

from .conftest import Rig
from .test_contract import event


async def nothing_lost(why: str) -> None:
    raise AssertionError(why)


async def test_who_takes_over_from_a_frozen_reader_begins_where_it_stood_or_waits(rig: Rig) -> None:
    async with RedisLink(rig.redis_url) as link:
        frozen, next_one = rig.bus(link), rig.bus(link)
        await rig.publish(*(event("o1", version) for version in range(1, 6)))
        await frozen.begin(nothing_lost)
        held: list[bytes | None] = []
        async with asyncio.timeout(10):
            while len(held) < 5:
                held += [one.body for events in (await frozen.read()).values() for one in events]
        # Here it stops, before it was `done` with any of them; its lease runs out.
        read: list[bytes | None] = []
        try:
            await next_one.begin(nothing_lost)
            await rig.publish(*(event("o1", version) for version in range(6, 10)))
            for _ in range(20):
                if not read:
                    read += [one.body for events in (await next_one.read()).values() for one in events]
        except BusUnavailable:
            pass
        finally:
            await next_one.end()
            await frozen.end()
        assert not read or read[0] == event("o1", 1), (
            "it was given a newer event, and the older ones are held"
        )
