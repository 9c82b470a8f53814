"""Faults that only RabbitMQ has: several queues with a prefetch each, and a consumer that the server cancelled."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import aio_pika
import pytest

from bff.live.ingest import EventDispatcher, Ingester
from bff.live.ingest import rabbitmq as rabbit_broker
from bff.live.ingest.rabbitmq import RabbitMq
from bff.network import open_connection
from bff.stores.redis.client import RedisClient

from ..conftest import ROOT
from .conftest import until
from .servers import Rabbit
from .test_contract import event, new_dispatcher, top

pytestmark = pytest.mark.slow
QUEUES = [f"backlog-{number}" for number in range(4)]
EACH = 300


async def test_a_backlog_in_several_queues_arrives_completely(redis_url: str, rabbit_server: Rabbit) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisClient(redis_url, timeout=10) as link:
        channel = await connection.channel(publisher_confirms=False)
        for queue in QUEUES:
            await channel.declare_queue(queue, durable=True)
            for version in range(1, EACH + 1):
                await channel.default_exchange.publish(aio_pika.Message(event(queue, version)), queue)
        async with Ingester(link, new_dispatcher(link), RabbitMq(rabbit_server.url, QUEUES, block=0.1)):

            async def whole() -> bool:
                return await top(link) == EACH * len(QUEUES)

            await until(whole)


async def test_a_queue_that_is_deleted_and_created_again_is_read_again(
    redis_url: str, rabbit_server: Rabbit
) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisClient(redis_url, timeout=10) as link:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue("taken", durable=True)
        dispatcher = new_dispatcher(link)

        async def reached(count: int) -> bool:
            return await top(link) >= count

        async with Ingester(link, dispatcher, RabbitMq(rabbit_server.url, ["taken"], block=0.1)):
            await channel.default_exchange.publish(aio_pika.Message(event("o1", 1)), "taken")
            await until(lambda: reached(1))
            assert dispatcher.losses == 0
            await channel.queue_delete("taken")
            # Only once the reader has created it again: the events in it are lost, and the gateway knows it.
            await until(lambda: _anew(connection, dispatcher))
            await channel.default_exchange.publish(aio_pika.Message(event("o1", 2)), "taken")
            await until(lambda: reached(2))


FREEZES = """
import asyncio, sys
from bff.live.ingest.rabbitmq import RabbitMq

async def main():
    async def lost(why): pass
    broker = RabbitMq(sys.argv[1], ["frozen"], block=0.1)
    await broker.open(lost)
    while not await broker.read(): pass
    print("holds", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_waiting_reader_gets_the_events_of_a_frozen_one_when_the_server_closes_its_connection(
    redis_url: str, rabbit_server: Rabbit
) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisClient(redis_url, timeout=10) as link:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue("frozen", durable=True)
        for version in range(1, 6):
            await channel.default_exchange.publish(aio_pika.Message(event("o1", version)), "frozen")
        frozen = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FREEZES, rabbit_server.url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert frozen.stdout is not None
            assert await asyncio.wait_for(frozen.stdout.readline(), 30) == b"holds\n"
            frozen.send_signal(signal.SIGSTOP)
            async with Ingester(
                link, new_dispatcher(link), RabbitMq(rabbit_server.url, ["frozen"], block=0.1)
            ) as one:
                await channel.default_exchange.publish(aio_pika.Message(event("o1", 6)), "frozen")

                async def whole() -> bool:
                    return await top(link) == 6

                await until(whole, seconds=60)
                assert one.alive
        finally:
            frozen.kill()
            await frozen.wait()


async def _anew(connection: aio_pika.abc.AbstractConnection, dispatcher: EventDispatcher) -> bool:
    if dispatcher.losses != 1:
        return False
    channel = await connection.channel()
    try:
        await channel.declare_queue("taken", passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def test_an_open_or_close_that_is_cancelled_at_any_moment_leaves_no_connection(
    rabbit_server: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[asyncio.StreamWriter] = []

    async def recorded(*given: Any, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await open_connection(*given, **more)
        # A writer that nobody holds closes its connection by itself, and warns of that.
        opened.append(writer)
        return reader, writer

    async def cancelled_after(turns: int, doing: Any, pause: float) -> None:
        task = asyncio.ensure_future(doing)
        for _ in range(turns):
            await asyncio.sleep(pause)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def lost(why: str) -> None:
        return None

    monkeypatch.setattr(rabbit_broker, "open_connection", recorded)
    for turns in range(0, 60, 2):
        broker = RabbitMq(rabbit_server.url, ["taken"], block=0.1)
        await cancelled_after(turns, broker.open(lost), 0.0005)
        await broker.close()
        assert all(writer.is_closing() for writer in opened), turns
    for turns in range(40):
        broker = RabbitMq(rabbit_server.url, ["taken"], block=0.1)
        await broker.open(lost)
        await cancelled_after(turns, broker.close(), 0)
        assert turns == 0 or all(writer.is_closing() for writer in opened), turns
        await broker.close()
        opened.clear()
