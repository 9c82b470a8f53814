"""The multiplexed connection: each caller gets its reply, a timeout affects no other caller, silence is noticed."""

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


async def answers(client: RedisClient) -> bool:
    try:
        await client.ping()
    except StoreUnavailable:
        return False
    return True


async def connections(client: RedisClient) -> int:
    return len((await client.call("CLIENT", "LIST", "TYPE", "normal")).splitlines())


async def test_a_script_is_loaded_again_after_redis_lost_it(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as client:
        script = Script(client, "echo", "return {KEYS[1], ARGV[1]}")
        assert await script(["k"], [b"\xff"]) == [b"k", b"\xff"]
        await client.call("SCRIPT", "FLUSH")
        assert await script(["k"], [1]) == [b"k", b"1"]


async def test_an_error_of_a_script_names_the_script(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as client:
        with pytest.raises(StoreUnavailable, match="script broken: ResponseError"):
            await Script(client, "broken", "return redis.call('INCR')")([], [])
        with pytest.raises(ResponseError, match="wrong number of arguments"):
            await client.call("GET")
        await client.ping()


async def test_a_frozen_redis_costs_one_timeout_and_is_used_again_when_it_wakes(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=1.0) as client:
        await until(lambda: answers(client))
        own_valkey.send(19)
        async with asyncio.timeout(GUARD):
            with pytest.raises(StoreUnavailable):
                await client.ping()
        assert client.away
        own_valkey.send(18)
        await until(lambda: answers(client))
        assert not client.away


async def test_a_thousand_callers_share_one_connection_and_each_gets_its_reply(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=GUARD) as client:
        script = Script(client, "echo", "return ARGV[1]")
        before = await connections(client)
        answers = await asyncio.gather(*(script([], [number]) for number in range(1000)))
        assert [int(answer) for answer in answers] == list(range(1000))
        assert await connections(client) == before


async def test_a_cancelled_or_timed_out_caller_does_not_affect_others(redis_url: str) -> None:
    chance = random.Random(5)
    async with RedisClient(redis_url, timeout=GUARD) as client:

        async def echo(number: int) -> None:
            text = b"%d:" % number + b"x" * chance.choice([1, 100, 20_000])
            assert await client.call("ECHO", text) == text

        for _ in range(20):
            tasks = [asyncio.ensure_future(echo(number)) for number in range(100)]
            for task in chance.sample(tasks, 50):
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)


async def test_a_slow_redis_fails_short_limits_and_answers_long_ones(
    own_valkey: Valkey,
) -> None:
    async with RedisClient(own_valkey.url, timeout=2 * GUARD) as client:
        await client.ping()
        own_valkey.send(19)
        patient = asyncio.ensure_future(client.call("ECHO", "patient"))
        async with asyncio.timeout(GUARD):
            with pytest.raises(StoreUnavailable, match=r"no answer within 0\.05 s"):
                await client.call("ECHO", "impatient", limit=0.05)
        assert client.away
        own_valkey.send(18)
        assert await patient == b"patient"
        assert not client.away
        assert await client.call("ECHO", "next") == b"next"


async def test_commands_beyond_the_pending_limit_are_refused_at_once(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=GUARD, most=10) as client:
        await client.ping()
        own_valkey.send(19)
        waiting = [asyncio.ensure_future(client.ping()) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="10 commands are pending already"):
            await client.ping()
        own_valkey.send(18)
        await asyncio.gather(*waiting)
        await client.ping()


async def test_unsent_bytes_are_bounded(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=GUARD) as client:
        await client.ping()
        own_valkey.send(19)
        big = b"x" * 1_000_000
        waiting = [asyncio.ensure_future(client.call("SET", f"k{number}", big)) for number in range(60)]
        # 16 MB wait, besides the kernel's buffers; Redis reads nothing.
        await until(lambda: sum(one.done() for one in waiting) > 20)
        refused = [one for one in waiting if one.done()]
        assert all(isinstance(one.exception(), StoreUnavailable) for one in refused)
        own_valkey.send(18)
        for one in waiting:
            if one not in refused:
                assert await one == b"OK"


async def test_the_client_reconnects_after_redis_was_killed(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=10) as client:
        await client.ping()
        for _ in range(3):
            own_valkey.stop()
            await until(lambda: client.away)
            with pytest.raises(StoreUnavailable):
                await client.ping()
            own_valkey.start()
            await until(lambda: not client.away)
            assert await client.script("lease")(["lease"], ["me", 1000]) == 1


async def test_a_silently_dead_idle_connection_is_noticed_without_a_command(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=0.2) as client:
        await until(lambda: answers(client))
        own_valkey.send(19)
        await until(lambda: client.away)
        own_valkey.send(18)
        await until(lambda: not client.away)


def _block_until_echoed(url: str, times: int) -> None:
    with redis.Redis.from_url(url) as other:
        end = time.monotonic() + GUARD
        while other.info("commandstats").get("cmdstat_echo", {}).get("calls", 0) < times:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_blocked_event_loop_does_not_count_as_a_late_reply(redis_url: str) -> None:
    """On uvloop, which runs its timers before it reads."""

    async def play() -> None:
        async with RedisClient(redis_url, timeout=10) as client:
            await client.ping()
            await client.call("CONFIG", "RESETSTAT")
            commands = [asyncio.ensure_future(client.call("ECHO", "x", limit=0.05)) for _ in range(10)]
            for _ in range(5):
                await asyncio.sleep(0)
            # All is sent. The event loop is blocked until Redis has answered and every limit has passed.
            _block_until_echoed(redis_url, 10)
            time.sleep(0.1)
            assert await asyncio.gather(*commands) == [b"x"] * 10
            assert not client.away

    uvloop.run(play())


async def test_a_refused_command_of_a_batch_is_reported_and_the_others_run(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as client:
        assert raise_refusals(await client.batch([("INCR", "a"), ("INCR", "a")])) == [1, 2]
        replies = await client.batch([("INCR", "a"), ("LPUSH", "a", "x"), ("GET", "a")])
        assert (replies[0], replies[2]) == (3, b"3")
        assert isinstance(replies[1], ResponseError)
        with pytest.raises(StoreUnavailable, match="a: ResponseError: WRONGTYPE"), store_errors("a"):
            raise_refusals(replies)


async def test_passwords_users_and_databases_of_the_address_are_used(tmp_path: Path) -> None:
    server = Valkey(tmp_path, args=("--requirepass", "s3cret/?", "--unixsocket", str(tmp_path / "sock")))
    server.start()
    try:
        for who in (":s3cret%2F%3F", "default:s3cret%2F%3F"):
            async with RedisClient(f"redis://{who}@127.0.0.1:{server.port}/3") as client:
                await client.call("SET", "k", "in three")
        async with RedisClient(f"unix://:s3cret%2F%3F@{tmp_path / 'sock'}?db=3") as client:
            assert await client.call("GET", "k") == b"in three"
            async with client.dedicated(timeout=GUARD) as apart:
                assert await apart.get("k") == b"in three"
        for wrong in ("redis://127.0.0.1:{}/0", "redis://:wrong@127.0.0.1:{}/0"):
            async with RedisClient(wrong.format(server.port)) as client:
                with pytest.raises(StoreUnavailable, match=r"NOAUTH|WRONGPASS"):
                    await client.ping()
    finally:
        server.stop()


async def test_a_task_cancelled_in_the_middle_of_a_command_stops(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as client:

        async def for_ever() -> None:
            while True:
                await client.ping()

        await client.ping()
        for turns in range(60):
            task = asyncio.create_task(for_ever())
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            task.cancel()
            _, going_on = await asyncio.wait([task], timeout=GUARD)
            assert not going_on, f"cancelled after {turns % 12} turns of the loop, it went on"


@pytest.mark.parametrize("words", [b"+PONG\r\n+twice\r\n", b"what?\r\n", b"$-5\r\n", b"+PONG\r\n*-9\r\n"])
async def test_invalid_replies_end_the_connection(words: bytes) -> None:
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
    async with RedisClient(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.3) as client:
        with contextlib.suppress(StoreUnavailable):
            assert await client.call("PING") == b"PONG"
        await until(lambda: len(writers) >= 2)
        await asyncio.sleep(0.3)
        assert len(writers) < 30, "one connection after each pause, and the pauses grow"
    server.close()
    # Commands that were accepted at the last moment end, too.
    await asyncio.sleep(0.1)
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def test_a_server_that_refuses_and_closes_counts_as_away() -> None:
    """On uvloop, where writing to a connection just closed is a RuntimeError that the driver does not expect."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-DENIED Redis is running in protected mode\r\n")
        await writer.drain()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with RedisClient(url) as client:
            reader, positions = StreamReader(client, block=0.05), Positions(client)
            rates = RateStore(client)
            asks: list[Callable[[], Awaitable[object]]] = [
                client.ping,
                lambda: reader.read({"events:orders:0": "0-0"}, count=1),
                lambda: positions.load(["events:orders:0", "events:orders:1"]),
                lambda: client.script("lease")(["lease"], ["me", 1000]),
                lambda: rates.spend([Bucket("b", Quota("minute", 5, 60))]),
            ]
            for _ in range(100):
                for ask in asks:
                    with pytest.raises(StoreUnavailable):
                        await ask()
            await reader.close()
        server.close()

    uvloop.run(play())
