"""A stream's last words, and that none is forgotten when the word to end it goes astray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
import redis.asyncio as redis

from ..conftest import Valkey
from .test_stream import client, person, world


async def test_a_session_that_ends_soon_is_announced_first(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.timer.WARN", 1.5)
    async with world(redis_url) as one:
        one.people["ada"] = person("ada", expires_at=time.time() + 2.5)
        async with client(one) as ada:
            warning = await ada.until("expiring")
            assert warning.id is None and set(warning.data) == {"at", "seconds"}
            assert 0.5 < warning.data["seconds"] <= 1.5
            bye = await ada.next()
            assert bye is not None and bye.data == {"reason": "expired", "retry_after": None}


async def test_a_logout_that_went_unheard_is_found_out_at_the_next_connection(redis_url: str) -> None:
    living = {"session-of-ada", "session-of-bob"}

    async def ask(sessions: Sequence[str]) -> set[str]:
        return living.intersection(sessions)

    async with world(redis_url, living=ask) as one, client(one) as ada, client(one, who="bob") as bob:
        for who in (ada, bob):
            await who.until("snapshot")
        # It ended while this process heard nothing: another gateway's message is lost with the connection.
        living.discard("session-of-ada")
        async with redis.from_url(redis_url) as admin:
            await admin.client_kill_filter(_type="pubsub")
        assert (await ada.until("bye")).data["reason"] == "logout"
        await one.tell("b", 1, owner="bob")
        event = await bob.next()
        assert event is not None and event.name == "saga"


async def test_the_cap_holds_in_each_process_while_redis_is_away(own_valkey: Valkey) -> None:
    async with world(own_valkey.url, streams=2) as one:
        own_valkey.stop()
        async with client(one) as first:
            await one.settled(1)
            async with client(one) as second, client(one) as third:
                assert (await first.until("bye")).data["reason"] == "limit"
                own_valkey.start()
                for who in (second, third):
                    assert (await who.until("snapshot")).data["sagas"] == []
                await asyncio.sleep(0.1)
                assert one.hub.count == 2
