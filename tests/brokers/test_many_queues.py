"""RabbitMQ with more than one queue: a backlog in several of them at once."""

from __future__ import annotations

import aio_pika
import pytest

from bff.calls import SagaStatus
from bff.live.ingest import Ingester, Intake, Registry
from bff.live.ingest.rabbitmq import RabbitMq
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.link import RedisLink
from bff.stores.values import Values

from .conftest import until
from .servers import Rabbit
from .test_contract import event, top

QUEUES = [f"backlog-{number}" for number in range(4)]
EACH = 300


@pytest.mark.slow
async def test_a_backlog_in_several_queues_arrives_whole(redis_url: str, rabbit_server: Rabbit) -> None:
    connection = await aio_pika.connect(rabbit_server.url)
    async with connection, RedisLink(redis_url) as link:
        channel = await connection.channel(publisher_confirms=False)
        for queue in QUEUES:
            await channel.declare_queue(queue, durable=True)
            for version in range(1, EACH + 1):
                await channel.default_exchange.publish(aio_pika.Message(event(queue, version)), queue)
        intake = Intake(
            Journal(link, history=5000), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link)
        )
        async with Ingester(link, intake, RabbitMq(rabbit_server.url, QUEUES, block=0.1)):

            async def whole() -> bool:
                return await top(link) == EACH * len(QUEUES)

            try:
                await until(whole, seconds=20)
            except TimeoutError:
                pytest.fail(f"{await top(link)} of {EACH * len(QUEUES)} events arrived")
