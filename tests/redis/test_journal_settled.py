"""Keys that come to be while a gap is let through."""

from __future__ import annotations

import asyncio

from bff.calls import SagaStatus
from bff.stores.journal import Entry, Journal
from bff.stores.link import RedisLink


async def test_every_key_of_a_journal_that_began_with_a_gap_expires(redis_url: str) -> None:
    async with RedisLink(redis_url) as link:
        journal = Journal(link, gap=0.05)
        saga = SagaStatus(id="o1", type="order", status="RUNNING", version=2, at="2026-03-01T10:00:00Z")
        assert await journal.append("https://issuer|ada", Entry.of(saga, now_ms=1)) == "held"
        await asyncio.sleep(0.1)
        await journal.settle("https://issuer|ada")
        for key in await link.client.keys("bff:*"):
            assert await link.client.ttl(key) > 0, f"{key.decode()} stays for ever"
