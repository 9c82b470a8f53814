"""A stream of events that was trimmed past the place where its reader stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from bff.calls import Principal, SagaStatus
from bff.live import Hub
from bff.live.ingest import Ingester, Intake, RedisStreams, Registry
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.link import RedisLink
from bff.stores.values import Values

AT = "2026-03-01T10:00:00Z"
ADA = Principal("https://issuer", "ada", token="t", expires_at=4e9)


def event(saga: str, version: int, status: str, owner: str = ADA.id) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{saga}:{version}",
            "source": "/services/orders",
            "type": "shop.order.status",
            "subject": saga,
            "sequence": str(version),
            "data": {"status": status, "owner": owner, "at": AT},
        }
    ).encode()


async def test_what_a_trimmed_stream_dropped_unread_is_restored_from_the_services(redis_url: str) -> None:
    """The services know that the saga has ended; the gateway was away when the stream said so."""
    truth = {"status": "RUNNING", "version": 1}

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        return [SagaStatus.model_validate({"id": "o1", "type": "order", "at": AT, **truth})]

    async with RedisLink(redis_url) as link:
        journal, values = Journal(link, gap=0.1), Values(link)
        intake = Intake(journal, values, Registry({"order": SagaStatus}, {}), DeadLetters(link))

        def reader() -> Ingester:
            return Ingester(link, intake, RedisStreams(link, ["events:orders:0"], block=0.05))

        async def status() -> str | None:
            entry = await journal.saga(ADA.id, "order", "o1")
            return entry and json.loads(entry)["status"]

        async with Hub(link, journal, values, restore=restore) as hub:
            await hub.snapshot(ADA)
            async with reader():
                await link.client.xadd("events:orders:0", {"event": event("o1", 1, "RUNNING")})
                async with asyncio.timeout(5):
                    while await status() != "RUNNING":
                        await asyncio.sleep(0.02)
            truth |= {"status": "COMPLETED", "version": 2}
            await link.client.xadd("events:orders:0", {"event": event("o1", 2, "COMPLETED")})
            for number in range(20):
                body = event(f"p{number}", 1, "RUNNING", "https://issuer|bob")
                await link.client.xadd("events:orders:0", {"event": body}, maxlen=10, approximate=False)
            async with reader():
                async with asyncio.timeout(5):
                    while await journal.saga("https://issuer|bob", "order", "p19") is None:
                        await asyncio.sleep(0.02)
            await hub.snapshot(ADA)
            assert await status() == "COMPLETED", "the saga has ended and nobody here will ever know"
