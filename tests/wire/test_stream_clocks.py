"""Gateways whose clocks differ, and clocks that are set."""

from __future__ import annotations

import asyncio
import time

from .test_stream import client, person, world


async def test_the_oldest_stream_gives_way_also_where_clocks_differ(redis_url: str) -> None:
    """Two gateways, five seconds apart: who comes last must not be who goes."""
    async with (
        world(redis_url, streams=2) as first,
        world(redis_url, streams=2, wall=lambda: time.time() - 5) as behind,
        client(first) as oldest,
        client(first) as second,
    ):
        for who in (oldest, second):
            await who.until("snapshot")
        async with client(behind) as newest:
            await newest.until("snapshot")
            async with asyncio.timeout(3):
                assert (await oldest.until("bye")).data["reason"] == "limit"


async def test_a_stream_ends_with_its_session_also_when_the_clock_was_set_meanwhile(redis_url: str) -> None:
    """A machine that slept, or whose clock was wrong when the stream began."""
    wrong = -3600.0
    async with world(redis_url, beat=1.0, wall=lambda: time.time() + wrong) as one:
        one.people["ada"] = person("ada", expires_at=time.time() + 2)
        async with client(one) as ada:
            await ada.until("snapshot")
            wrong = 0.0
            async with asyncio.timeout(6):
                assert (await ada.until("bye")).data["reason"] == "expired"
