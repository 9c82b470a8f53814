"""What a reader reads from is deleted under it, and made again."""

from __future__ import annotations

import aio_pika
import nats
import pytest

from bff.calls import SagaStatus
from bff.live.ingest import Ingester, Intake, Registry
from bff.live.ingest.nats import NatsJetStream
from bff.live.ingest.rabbitmq import RabbitMq
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.link import RedisLink
from bff.stores.values import Values

from .conftest import STREAM, NatsRig, until
from .servers import Nats, Rabbit
from .test_contract import event, top


def intake(link: RedisLink) -> Intake:
    return Intake(Journal(link), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link))


async def reached(link: RedisLink, count: int, what: str) -> None:
    async def there() -> bool:
        return await top(link) >= count

    try:
        await until(there, seconds=12)
    except TimeoutError:
        pytest.fail(what)


@pytest.mark.slow
async def test_a_queue_that_is_deleted_and_made_again_is_read_again(
    redis_url: str, rabbit_server: Rabbit
) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisLink(redis_url) as link:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue("taken", durable=True)
        async with Ingester(link, intake(link), RabbitMq(rabbit_server.url, ["taken"], block=0.1)):
            await channel.default_exchange.publish(aio_pika.Message(event("o1", 1)), "taken")
            await reached(link, 1, "the first event was not read")
            await channel.queue_delete("taken")
            await channel.declare_queue("taken", durable=True)
            await channel.default_exchange.publish(aio_pika.Message(event("o1", 2)), "taken")
            await reached(link, 2, "the server ended the consumer, and nobody here noticed")


async def test_a_consumer_that_the_server_dropped_is_made_again(redis_url: str, nats_server: Nats) -> None:
    rig = NatsRig(redis_url, nats_server)
    await rig.prepare()
    client = await nats.connect(nats_server.url)
    async with (
        RedisLink(redis_url) as link,
        Ingester(link, intake(link), NatsJetStream(link, nats_server.url, STREAM, block=0.1)),
    ):
        await rig.publish(event("o1", 1))
        await reached(link, 1, "the first event was not read")
        for one in await client.jetstream().consumers_info(STREAM):
            await client.jetstream().delete_consumer(STREAM, one.name)
        await rig.publish(event("o1", 2))
        await reached(link, 2, "the consumer is gone, and nobody here noticed")
    await client.close()
