"""How streams end, also when the message that ends them is lost."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence

import pytest
import redis.asyncio as redis

from bff.live.stream import Stream
from bff.stores.redis.client import StoreUnavailable

from ..conftest import Valkey
from ..waiting import GUARD
from .test_stream import client, person, world


async def test_the_end_of_a_session_is_preceded_by_a_warning(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.scheduler.WARN", 3.0)
    async with world(redis_url) as one:
        one.people["ada"] = person("ada", expires_at=time.time() + 4.0)
        async with client(one) as ada:
            warning = await ada.until("expiring")
            assert warning.id is None and set(warning.data) == {"at", "seconds"}
            assert 0 < warning.data["seconds"] <= 3.0
            bye = await ada.next()
            assert bye is not None and bye.data == {"reason": "expired", "retry_after": None}


async def test_a_missed_logout_is_noticed_at_the_next_connection(redis_url: str) -> None:
    living = {"session-of-ada", "session-of-bob"}

    async def ask(sessions: Sequence[str]) -> set[str]:
        return living.intersection(sessions)

    async with world(redis_url, still_open=ask) as one, client(one) as ada, client(one, who="bob") as bob:
        for who in (ada, bob):
            await who.until("snapshot")
        # It ended while this process received nothing: the message of the other gateway is lost with the connection.
        living.discard("session-of-ada")
        async with redis.from_url(redis_url) as admin:
            await admin.client_kill_filter(_type="pubsub")
        assert (await ada.until("bye")).data["reason"] == "logout"
        await one.tell("b", 1, owner="bob")
        event = await bob.next()
        assert event is not None and event.name == "saga"


async def test_the_stream_limit_holds_in_each_process_while_redis_is_away(own_valkey: Valkey) -> None:
    async with world(own_valkey.url, streams=2) as one:
        own_valkey.stop()
        async with client(one) as first:
            await one.settled(1)
            async with client(one) as second, client(one) as third:
                assert (await first.until("bye")).data["reason"] == "limit"
                own_valkey.start()
                for who in (second, third):
                    assert (await who.until("snapshot")).data["sagas"] == []
                await one.settled(2)


async def test_a_missed_logout_is_noticed_although_the_first_query_fails(
    redis_url: str,
) -> None:
    """A Redis that still loads its data accepts subscriptions and refuses everything else."""
    asked = 0

    async def ask(sessions: Sequence[str]) -> set[str]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreUnavailable("LOADING")
        return set()

    async with world(redis_url, still_open=ask) as one, client(one) as ada:
        await ada.until("snapshot")
        asked = 0
        async with redis.from_url(redis_url) as admin:
            await admin.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(GUARD):
            assert (await ada.until("bye")).data["reason"] == "logout"


async def test_the_oldest_stream_is_ended_although_clocks_differ(redis_url: str) -> None:
    """Two gateways whose clocks differ by five seconds: the newest stream must not be ended."""
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
            async with asyncio.timeout(GUARD):
                assert (await oldest.until("bye")).data["reason"] == "limit"


async def test_a_stream_ends_with_its_session_although_the_clock_was_set_meanwhile(redis_url: str) -> None:
    """A machine that slept, or whose clock was wrong when the stream began."""
    wrong = -3600.0
    async with world(redis_url, beat=1.0, wall=lambda: time.time() + wrong) as one:
        one.people["ada"] = person("ada", expires_at=time.time() + 2)
        async with client(one) as ada:
            await ada.until("snapshot")
            wrong = 0.0
            async with asyncio.timeout(GUARD):
                assert (await ada.until("bye")).data["reason"] == "expired"


def _streams() -> int:
    gc.collect()
    return sum(isinstance(one, Stream) for one in gc.get_objects())


async def test_streams_closed_by_clients_while_redis_is_away_are_freed_before_it_returns(
    own_valkey: Valkey,
) -> None:
    async with world(own_valkey.url) as one:
        own_valkey.stop()
        before = _streams()
        for _ in range(60):
            async with client(one) as ada:
                await ada.reader.readuntil(b"retry: 1000\n\n\r\n")
        await one.settled(0)
        kept = _streams() - before
        assert kept < 10, f"{kept} of 60 streams whose clients have left are still in memory"
