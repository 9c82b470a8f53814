"""Several buses, one intake: what one reader settles the other must not stumble over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bff.calls import SagaStatus
from bff.live.ingest import EventDispatcher, Ingester, RedisStreams, Registry
from bff.live.ingest.broker import Lost
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values
from tests.events import cloud_event


class Second:
    """Another bus beside Redis, as NATS or RabbitMQ would be; nothing comes by it."""

    name = "second"

    async def begin(self, lost: Lost) -> None:
        """Nothing to open."""

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        await asyncio.sleep(0.01)
        return {}

    async def done(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        """Nothing to keep."""

    async def end(self) -> None:
        """Nothing to close."""


def ahead_of_its_turn(saga: str) -> bytes:
    told = {"status": "RUNNING", "owner": f"https://issuer|{saga}", "at": "2026-03-01T10:00:00Z"}
    return cloud_event("shop.order.status", saga, 2, told)


async def test_two_readers_that_share_an_intake_survive_an_event_that_was_held(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as link:
        intake = EventDispatcher(
            Journal(link, gap=0.05), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link)
        )
        streams = RedisStreams(link, ["events:orders:0"], block=0.01)
        async with Ingester(link, intake, streams) as first, Ingester(link, intake, Second()) as second:
            for number in range(60):
                await link.call("XADD", "events:orders:0", "*", "event", ahead_of_its_turn(f"o{number}"))
                await asyncio.sleep(0.02)
                assert first.alive, f"the reader of Redis died at event {number}"
                assert second.alive, f"the reader of the second bus died at event {number}"
