"""A poison event and what an operator does with it: it blocks no others, is listed, and is replayed and delivered
once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

from redis.asyncio import Redis

from bff.calls import SagaStatus
from bff.live.ingest import EventDispatcher, Ingester, RedisStreams, Registry
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values
from tests.conftest import ROOT
from tests.events import cloud_event
from tests.waiting import GUARD

OWNER = "https://issuer|ada"
STREAM = "events:orders:0"


class Strict(SagaStatus):
    """A model with a mistake: it refuses a status that services send."""

    data: int


def event(saga: str, version: int, data: object, status: str = "COMPLETED") -> bytes:
    at = datetime.now(UTC).isoformat()
    data_fields = {"status": status, "step": "ship", "owner": OWNER, "at": at, "data": data}
    return cloud_event("shop.order.status", saga, version, data_fields)


def bff(redis_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bff", "events", *arguments],
        cwd=ROOT,
        env={**os.environ, "BFF_REDIS__URL": redis_url},
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


async def ingest(redis: RedisClient, model: type[SagaStatus], saga: str) -> None:
    """Run an ingester with this model until the journal has the saga."""
    journal = Journal(redis)
    dispatcher = EventDispatcher(journal, Values(redis), Registry({"order": model}, {}), DeadLetters(redis))
    async with asyncio.timeout(GUARD), Ingester(redis, dispatcher, RedisStreams(redis, [STREAM], block=0.1)):
        while await journal.saga(OWNER, "order", saga) is None:
            await asyncio.sleep(0.02)


async def test_a_poison_event_is_listed_and_replayed_once_after_the_fix(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis, Redis.from_url(redis_url) as driver:
        await driver.xadd(STREAM, {"event": event("poisoned", 1, {"lines": []})})
        await driver.xadd(STREAM, {"event": event("healthy", 1, 7)})
        await ingest(redis, Strict, "healthy")
        assert await Journal(redis).saga(OWNER, "order", "poisoned") is None

        listed = bff(redis_url, "dead")
        assert listed.returncode == 0, listed.stderr
        [letter] = [json.loads(line) for line in listed.stdout.splitlines()]
        assert letter["stream"] == STREAM and "data" in letter["why"] and "poisoned" in letter["body"]

        unknown = bff(redis_url, "replay", "1-1")
        assert unknown.returncode == 1 and "is not a dead letter" in unknown.stdout
        assert "replayed" in bff(redis_url, "replay", letter["id"]).stdout
        assert bff(redis_url, "dead").stdout == ""

        await ingest(redis, SagaStatus, "poisoned")
        # The same event is sent again by mistake: the journal has it already.
        await driver.xadd(STREAM, {"event": event("poisoned", 1, {"lines": []})})
        await driver.xadd(STREAM, {"event": event("last", 1, 1)})
        await ingest(redis, SagaStatus, "last")
        opened = await Journal(redis).open(OWNER, None)
        assert sum(b"poisoned" in entry for entry in opened.entries) == 1
        assert opened.position is not None and opened.position.offset == 3


async def test_replaying_all_handles_each_once_and_lists_the_unusable_again(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis, Redis.from_url(redis_url) as driver:
        for number in range(3):
            await driver.xadd(STREAM, {"event": event(f"bad-{number}", 1, "text")})
        await driver.xadd(STREAM, {"event": event("good", 1, 1)})
        await ingest(redis, Strict, "good")
        assert bff(redis_url, "replay", "all").stdout.count("replayed") == 3
        await driver.xadd(STREAM, {"event": event("after", 1, 1)})
        await ingest(redis, Strict, "after")
        assert len(bff(redis_url, "dead").stdout.splitlines()) == 3


def test_an_unreachable_redis_is_named() -> None:
    away = bff("redis://127.0.0.1:1/0", "dead")
    assert away.returncode == 1 and "BFF_REDIS__URL" in away.stderr
