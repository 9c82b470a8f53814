"""Two gateways with one pub/sub connection each: a logout at one ends the streams of the other, even if its message is
lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ..conftest import Valkey
from ..waiting import GUARD, IN_ANY_TIME_AND_TIMED, close_listener
from .replicas import Replicas, replicas
from .test_stream import Proxy


@pytest.fixture
async def proxy(own_valkey: Valkey) -> AsyncIterator[Proxy]:
    """A relay between the gateways and Redis."""
    one = Proxy(own_valkey.port)
    server = await asyncio.start_server(one, "127.0.0.1", 0)
    one.here = server.sockets[0].getsockname()[1]
    yield one
    await close_listener(server)
    await one.close()


async def listeners(valkey: Valkey) -> int:
    """The number of pub/sub connections at Redis."""
    async with Redis.from_url(valkey.url) as redis:
        return len(await redis.client_list(_type="pubsub"))


async def logged_out(house: Replicas, *, unheard: Proxy | None = None) -> float:
    """Seconds from a logout at the first gateway until every stream on both has ended; each stream waits for that."""
    browser = house.browser()
    await browser.sign_in()
    async with house.streams(house.cookie(browser), count=2) as streams:
        for site in house.sites:
            async with house.http.get(f"{site}/api/required/ok", headers=house.cookie(browser)) as answer:
                assert answer.status == 200
        if unheard is not None:
            unheard.mute(listening=True)
        began = time.monotonic()
        assert (await browser.post("/bff/logout")).status_code == 200
    assert {one.last[1].get("reason") for one in streams} == {"logout"}
    return max(one.ended - began for one in streams if one.ended is not None)


@IN_ANY_TIME_AND_TIMED
async def test_a_logout_at_one_gateway_ends_streams_of_the_other_although_its_message_is_lost(
    own_valkey: Valkey, proxy: Proxy, tmp_path: Path, timed: bool
) -> None:
    async with (
        asyncio.timeout(3 * GUARD),
        replicas(f"redis://127.0.0.1:{proxy.here}/0", tmp_path, 2) as house,
    ):
        heard = await logged_out(house)
        assert await listeners(own_valkey) == 2, "one a process, for streams, values, caches and sessions"
        unheard = await logged_out(house, unheard=proxy)
        print(f"\nended {heard * 1000:.0f} ms after the logout, unheard {unheard * 1000:.0f} ms")
        # Every gateway polls twice a second; the streams would live for ten minutes.
        assert (heard < 0.5 and unheard < 2) or not timed
