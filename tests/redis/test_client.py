"""The one connection: everybody has his own answers, impatience costs nobody else anything, silence is noticed."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis
import uvloop
from redis.exceptions import ResponseError

from bff.policies.rate import Bucket, Quota
from bff.stores.events import StreamReader
from bff.stores.progress import Positions
from bff.stores.rates import RateStore
from bff.stores.redis.client import RedisClient, Script, StoreUnavailable, raise_refusals, store_errors
from tests.conftest import Valkey
from tests.waiting import GUARD, until


async def answers(link: RedisClient) -> bool:
    try:
        await link.ping()
    except StoreUnavailable:
        return False
    return True


async def connections(link: RedisClient) -> int:
    return len((await link.call("CLIENT", "LIST", "TYPE", "normal")).splitlines())


async def test_a_script_loads_itself_again_after_redis_forgot_it(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        script = Script(link, "echo", "return {KEYS[1], ARGV[1]}")
        assert await script(["k"], [b"\xff"]) == [b"k", b"\xff"]
        await link.call("SCRIPT", "FLUSH")
        assert await script(["k"], [1]) == [b"k", b"1"]


async def test_what_a_script_refuses_is_said_by_its_name(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        with pytest.raises(StoreUnavailable, match="script broken: ResponseError"):
            await Script(link, "broken", "return redis.call('INCR')")([], [])
        with pytest.raises(ResponseError, match="wrong number of arguments"):
            await link.call("GET")
        await link.ping()


async def test_a_frozen_redis_costs_one_timeout_and_is_used_again_when_it_wakes(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=1.0) as link:
        await until(lambda: answers(link))
        own_valkey.send(19)
        async with asyncio.timeout(GUARD):
            with pytest.raises(StoreUnavailable):
                await link.ping()
        assert link.away
        own_valkey.send(18)
        await until(lambda: answers(link))
        assert not link.away


async def test_a_thousand_callers_share_one_connection_and_each_gets_his_own_answer(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=GUARD) as link:
        script = Script(link, "echo", "return ARGV[1]")
        before = await connections(link)
        answers = await asyncio.gather(*(script([], [number]) for number in range(1000)))
        assert [int(answer) for answer in answers] == list(range(1000))
        assert await connections(link) == before


async def test_whoever_is_cancelled_or_gives_up_disturbs_nobody_else(redis_url: str) -> None:
    chance = random.Random(5)
    async with RedisClient(redis_url, timeout=GUARD) as link:

        async def echo(number: int) -> None:
            text = b"%d:" % number + b"x" * chance.choice([1, 100, 20_000])
            assert await link.call("ECHO", text) == text

        for _ in range(20):
            tasks = [asyncio.ensure_future(echo(number)) for number in range(100)]
            for task in chance.sample(tasks, 50):
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)


async def test_the_impatient_hear_no_from_a_slow_redis_and_the_patient_their_answer(
    own_valkey: Valkey,
) -> None:
    async with RedisClient(own_valkey.url, timeout=2 * GUARD) as link:
        await link.ping()
        own_valkey.send(19)
        patient = asyncio.ensure_future(link.call("ECHO", "patient"))
        async with asyncio.timeout(GUARD):
            with pytest.raises(StoreUnavailable, match=r"no answer within 0\.05 s"):
                await link.call("ECHO", "impatient", limit=0.05)
        assert link.away
        own_valkey.send(18)
        assert await patient == b"patient"
        assert not link.away
        assert await link.call("ECHO", "next") == b"next"


async def test_more_commands_than_may_be_under_way_are_refused_at_once(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=GUARD, most=10) as link:
        await link.ping()
        own_valkey.send(19)
        waiting = [asyncio.ensure_future(link.ping()) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="10 commands are under way already"):
            await link.ping()
        own_valkey.send(18)
        await asyncio.gather(*waiting)
        await link.ping()


async def test_bytes_that_redis_does_not_take_are_bounded(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=GUARD) as link:
        await link.ping()
        own_valkey.send(19)
        big = b"x" * 1_000_000
        waiting = [asyncio.ensure_future(link.call("SET", f"k{number}", big)) for number in range(60)]
        # 16 MB wait, and what the kernel holds; Redis takes nothing.
        await until(lambda: sum(one.done() for one in waiting) > 20)
        refused = [one for one in waiting if one.done()]
        assert all(isinstance(one.exception(), StoreUnavailable) for one in refused)
        own_valkey.send(18)
        for one in waiting:
            if one not in refused:
                assert await one == b"OK"


async def test_a_killed_redis_is_found_again_by_itself(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=10) as link:
        await link.ping()
        for _ in range(3):
            own_valkey.stop()
            await until(lambda: link.away)
            with pytest.raises(StoreUnavailable):
                await link.ping()
            own_valkey.start()
            await until(lambda: not link.away)
            assert await link.script("lease")(["lease"], ["me", 1000]) == 1


async def test_an_idle_connection_that_died_silently_is_noticed_by_nobodys_asking(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=0.2) as link:
        await until(lambda: answers(link))
        own_valkey.send(19)
        await until(lambda: link.away)
        own_valkey.send(18)
        await until(lambda: not link.away)


def _block_until_echoed(url: str, times: int) -> None:
    with redis.Redis.from_url(url) as other:
        end = time.monotonic() + GUARD
        while other.info("commandstats").get("cmdstat_echo", {}).get("calls", 0) < times:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_loop_that_was_held_up_does_not_take_redis_for_late(redis_url: str) -> None:
    """On uvloop, which looks at its timers before it reads."""

    async def play() -> None:
        async with RedisClient(redis_url, timeout=10) as link:
            await link.ping()
            await link.call("CONFIG", "RESETSTAT")
            asked = [asyncio.ensure_future(link.call("ECHO", "x", limit=0.05)) for _ in range(10)]
            for _ in range(5):
                await asyncio.sleep(0)
            # All is sent. Nothing of this loop runs until Redis has answered and every limit is over.
            _block_until_echoed(redis_url, 10)
            time.sleep(0.1)
            assert await asyncio.gather(*asked) == [b"x"] * 10
            assert not link.away

    uvloop.run(play())


async def test_what_is_refused_in_a_batch_is_known_and_the_rest_is_carried_out(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        assert raise_refusals(await link.batch([("INCR", "a"), ("INCR", "a")])) == [1, 2]
        told = await link.batch([("INCR", "a"), ("LPUSH", "a", "x"), ("GET", "a")])
        assert (told[0], told[2]) == (3, b"3")
        assert isinstance(told[1], ResponseError)
        with pytest.raises(StoreUnavailable, match="a: ResponseError: WRONGTYPE"), store_errors("a"):
            raise_refusals(told)


async def test_passwords_users_and_databases_of_the_address_are_used(tmp_path: Path) -> None:
    server = Valkey(tmp_path, args=("--requirepass", "s3cret/?", "--unixsocket", str(tmp_path / "sock")))
    server.start()
    try:
        for who in (":s3cret%2F%3F", "default:s3cret%2F%3F"):
            async with RedisClient(f"redis://{who}@127.0.0.1:{server.port}/3") as link:
                await link.call("SET", "k", "in three")
        async with RedisClient(f"unix://:s3cret%2F%3F@{tmp_path / 'sock'}?db=3") as link:
            assert await link.call("GET", "k") == b"in three"
            async with link.dedicated(timeout=GUARD) as apart:
                assert await apart.get("k") == b"in three"
        for wrong in ("redis://127.0.0.1:{}/0", "redis://:wrong@127.0.0.1:{}/0"):
            async with RedisClient(wrong.format(server.port)) as link:
                with pytest.raises(StoreUnavailable, match=r"NOAUTH|WRONGPASS"):
                    await link.ping()
    finally:
        server.stop()


async def test_a_task_cancelled_in_the_middle_of_a_command_stops(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:

        async def for_ever() -> None:
            while True:
                await link.ping()

        await link.ping()
        for turns in range(60):
            task = asyncio.create_task(for_ever())
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            task.cancel()
            _, going_on = await asyncio.wait([task], timeout=GUARD)
            assert not going_on, f"cancelled after {turns % 12} turns of the loop, it went on"


@pytest.mark.parametrize("words", [b"+PONG\r\n+twice\r\n", b"what?\r\n", b"$-5\r\n", b"+PONG\r\n*-9\r\n"])
async def test_what_is_no_answer_ends_the_connection(words: bytes) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    writer.write(words)
                    await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with RedisClient(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.3) as link:
        with contextlib.suppress(StoreUnavailable):
            assert await link.call("PING") == b"PONG"
        await until(lambda: len(writers) >= 2)
        await asyncio.sleep(0.3)
        assert len(writers) < 30, "another one, each after a pause that grows"
    server.close()
    # Also what was accepted at the last moment comes to its end.
    await asyncio.sleep(0.1)
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def test_a_server_that_refuses_and_closes_is_away_and_nothing_worse() -> None:
    """On uvloop, where writing to a connection just closed is a RuntimeError that the driver does not expect."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-DENIED Redis is running in protected mode\r\n")
        await writer.drain()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with RedisClient(url) as link:
            reader, kept = StreamReader(link, block=0.05), Positions(link)
            rates = RateStore(link)
            asks: list[Callable[[], Awaitable[object]]] = [
                link.ping,
                lambda: reader.read({"events:orders:0": "0-0"}, count=1),
                lambda: kept.load(["events:orders:0", "events:orders:1"]),
                lambda: link.script("lease")(["lease"], ["me", 1000]),
                lambda: rates.spend([Bucket("b", Quota("minute", 5, 60))]),
            ]
            for _ in range(100):
                for ask in asks:
                    with pytest.raises(StoreUnavailable):
                        await ask()
            await reader.close()
        server.close()

    uvloop.run(play())
