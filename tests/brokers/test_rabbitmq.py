"""What only RabbitMQ can do to a reader: several queues with a prefetch each, and a consumer ended by the server."""

from __future__ import annotations

import aio_pika
import pytest

from bff.live.ingest import Ingester
from bff.live.ingest.rabbitmq import RabbitMq
from bff.stores.link import RedisLink

from .conftest import until
from .servers import Rabbit
from .test_contract import event, intake, top

pytestmark = pytest.mark.slow
QUEUES = [f"backlog-{number}" for number in range(4)]
EACH = 300


async def test_a_backlog_in_several_queues_arrives_whole(redis_url: str, rabbit_server: Rabbit) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisLink(redis_url) as link:
        channel = await connection.channel(publisher_confirms=False)
        for queue in QUEUES:
            await channel.declare_queue(queue, durable=True)
            for version in range(1, EACH + 1):
                await channel.default_exchange.publish(aio_pika.Message(event(queue, version)), queue)
        async with Ingester(link, intake(link), RabbitMq(rabbit_server.url, QUEUES, block=0.1)):

            async def whole() -> bool:
                return await top(link) == EACH * len(QUEUES)

            await until(whole)


async def test_a_queue_that_is_deleted_and_made_again_is_read_again(
    redis_url: str, rabbit_server: Rabbit
) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisLink(redis_url) as link:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue("taken", durable=True)
        fed = intake(link)

        async def reached(count: int) -> bool:
            return await top(link) >= count

        async with Ingester(link, fed, RabbitMq(rabbit_server.url, ["taken"], block=0.1)):
            await channel.default_exchange.publish(aio_pika.Message(event("o1", 1)), "taken")
            await until(lambda: reached(1))
            assert fed.losses == 0
            await channel.queue_delete("taken")
            # Not before the reader has made it anew: what it held is gone, and that is known.
            await until(lambda: _holds(fed.losses == 1))
            await until(lambda: _exists(connection, "taken"))
            await channel.default_exchange.publish(aio_pika.Message(event("o1", 2)), "taken")
            await until(lambda: reached(2))


async def _holds(what: bool) -> bool:
    return what


async def _exists(connection: aio_pika.abc.AbstractConnection, queue: str) -> bool:
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True
