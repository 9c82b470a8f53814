"""Which sessions are alive is asked until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import redis.asyncio as redis

from bff.stores.link import StoreUnavailable

from .test_stream import client, world


async def test_a_logout_that_went_unheard_is_found_out_though_the_first_question_failed(
    redis_url: str,
) -> None:
    """A Redis that still loads its data takes subscriptions and refuses everything else."""
    asked = 0

    async def ask(sessions: Sequence[str]) -> set[str]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreUnavailable("LOADING")
        return set()

    async with world(redis_url, living=ask) as one, client(one) as ada:
        await ada.until("snapshot")
        asked = 0
        async with redis.from_url(redis_url) as admin:
            await admin.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(5):
            assert (await ada.until("bye")).data["reason"] == "logout"
