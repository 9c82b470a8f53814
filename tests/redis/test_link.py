import asyncio
import time

import pytest
import uvloop
from limits import parse

from bff.stores.events import Positions, StreamReader
from bff.stores.link import RedisLink, Script, StoreUnavailable
from bff.stores.rates import RateStore
from tests.conftest import Valkey


async def test_a_script_loads_itself_again_after_redis_forgot_it(redis_url: str) -> None:
    async with RedisLink(redis_url) as link:
        script = Script(link.client, "echo", "return {KEYS[1], ARGV[1]}")
        assert await script(["k"], [b"\xff"]) == [b"k", b"\xff"]
        await link.client.script_flush()
        assert await script(["k"], [1]) == [b"k", b"1"]


async def test_a_frozen_redis_costs_one_timeout_and_is_used_again_when_it_wakes(own_valkey: Valkey) -> None:
    async with RedisLink(own_valkey.url, timeout=0.3) as link:
        await link.ping()
        own_valkey.send(19)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await link.ping()
        assert time.monotonic() - begun < 0.6
        own_valkey.send(18)
        await link.ping()


async def test_more_callers_than_connections_wait_their_turn(redis_url: str) -> None:
    async with RedisLink(redis_url, timeout=5, connections=4) as link:
        script = Script(link.client, "echo", "return ARGV[1]")
        answers = await asyncio.gather(*(script([], [number]) for number in range(500)))
        assert [int(answer) for answer in answers] == list(range(500))
        info = await link.client.info("clients")
        assert info["connected_clients"] <= 5


async def test_a_task_cancelled_in_the_middle_of_a_command_stops(redis_url: str) -> None:
    async with RedisLink(redis_url) as link:

        async def for_ever() -> None:
            while True:
                await link.ping()

        await link.ping()
        for turns in range(60):
            task = asyncio.create_task(for_ever())
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            task.cancel()
            _, going_on = await asyncio.wait([task], timeout=1)
            assert not going_on, f"cancelled after {turns % 12} turns of the loop, it went on"


def test_a_server_that_refuses_and_closes_is_away_and_nothing_worse() -> None:
    """On uvloop, where writing to a connection just closed is a RuntimeError that the driver does not expect."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-DENIED Redis is running in protected mode\r\n")
        await writer.drain()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with RedisLink(url) as link:
            reader, kept = StreamReader(link, block=0.05), Positions(link)
            rates = RateStore(url)
            for _ in range(100):
                for ask in (
                    link.ping,
                    lambda: reader.read({"events:orders:0": "0-0"}, count=1),
                    lambda: kept.of(["events:orders:0", "events:orders:1"]),
                    lambda: link.script("lease")(["lease"], ["me", 1000]),
                    lambda: rates.spend([parse("5/minute")], "somebody"),
                ):
                    with pytest.raises(StoreUnavailable):
                        await ask()
            await reader.close()
            await rates.close()
        server.close()

    uvloop.run(play())
