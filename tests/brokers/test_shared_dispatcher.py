"""Several brokers share one dispatcher: an owner that one reader settles does not break the other reader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bff.calls import SagaStatus
from bff.live.ingest import EventDispatcher, Ingester, OnLoss, RedisStreams, Registry
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values
from tests.events import cloud_event


class Second:
    """A second broker beside Redis, as NATS or RabbitMQ would be; it delivers nothing."""

    name = "second"

    async def open(self, on_loss: OnLoss) -> None:
        """Nothing to open."""

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        await asyncio.sleep(0.01)
        return {}

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        """Nothing to store."""

    async def close(self) -> None:
        """Nothing to close."""


def ahead_of_its_turn(saga: str) -> bytes:
    told = {"status": "RUNNING", "owner": f"https://issuer|{saga}", "at": "2026-03-01T10:00:00Z"}
    return cloud_event("shop.order.status", saga, 2, told)


async def test_two_readers_that_share_a_dispatcher_survive_an_event_that_was_held(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        dispatcher = EventDispatcher(
            Journal(link, gap=0.05), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link)
        )
        streams = RedisStreams(link, ["events:orders:0"], block=0.01)
        async with (
            Ingester(link, dispatcher, streams) as first,
            Ingester(link, dispatcher, Second()) as second,
        ):
            for number in range(60):
                await link.call("XADD", "events:orders:0", "*", "event", ahead_of_its_turn(f"o{number}"))
                await asyncio.sleep(0.02)
                assert first.alive, f"the reader of Redis died at event {number}"
                assert second.alive, f"the reader of the second broker died at event {number}"
