"""Events of a Redis Stream that is trimmed before they were read, created again, or has entries that are too large."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from bff.calls import Principal, SagaStatus
from bff.live import Hub
from bff.live.ingest import EventDispatcher, Ingester, RedisStreams, Registry
from bff.live.ingest.redis_streams import StreamPosition
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import Extent
from bff.stores.journal import Entry, Head, Journal
from bff.stores.redis.client import RedisClient, raise_refusals
from bff.stores.redis.subscriptions import Subscriptions
from bff.stores.values import Values
from tests.events import cloud_event

from .test_ingest import until

ADA = Principal("https://issuer", "ada", token="t", expires_at=4e9)
BOB = "https://issuer|bob"
STREAM = "events:orders:0"
MB = 1_000_000


def at(ago: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() - ago, UTC).isoformat()


def event(saga: str, version: int, status: str = "RUNNING", owner: str = ADA.id) -> bytes:
    return cloud_event("shop.order.status", saga, version, {"status": status, "owner": owner, "at": at()})


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


@pytest.fixture
def dispatcher(redis: RedisClient) -> EventDispatcher:
    return EventDispatcher(
        Journal(redis, gap=0.1), Values(redis), Registry({"order": SagaStatus}, {}), DeadLetters(redis)
    )


def reader(redis: RedisClient, dispatcher: EventDispatcher) -> Ingester:
    return Ingester(redis, dispatcher, RedisStreams(redis, [STREAM], block=0.05))


async def add(redis: RedisClient, body: bytes, *trim: str | int) -> None:
    await redis.call("XADD", STREAM, *trim, "*", "event", body)


async def seen(redis: RedisClient, saga: str, owner: str = ADA.id) -> str | None:
    entry = await Journal(redis).saga(owner, "order", saga)
    return None if entry is None else str(json.loads(entry)["status"])


async def known(redis: RedisClient, saga: str, owner: str = ADA.id) -> None:
    async def there() -> bool:
        return await seen(redis, saga, owner) is not None

    await until(there)


@pytest.mark.parametrize("ago, status", [(0.0, "COMPLETED"), (7 * 86_400, None)])
async def test_events_trimmed_unread_are_restored_from_the_services(
    redis: RedisClient, dispatcher: EventDispatcher, ago: float, status: str | None
) -> None:
    """The services know that the saga has ended; the event was trimmed while the gateway was away. The snapshot then
    has no saga that ended too long ago."""
    truth = {"status": "RUNNING", "version": 1, "at": at()}

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        return [SagaStatus.model_validate({"id": "o1", "type": "order", **truth})]

    async with (
        Subscriptions(redis) as channels,
        Hub(redis, channels, Journal(redis), Values(redis), restore=restore) as hub,
    ):
        await hub.snapshot(ADA)
        async with reader(redis, dispatcher):
            await add(redis, event("o1", 1))
            await known(redis, "o1")
        truth |= {"status": "COMPLETED", "version": 2, "at": at(ago)}
        await add(redis, event("o1", 2, "COMPLETED"))
        for number in range(20):
            await add(redis, event(f"p{number}", 1, owner=BOB), "MAXLEN", 10)
        async with reader(redis, dispatcher):
            await known(redis, "p19", BOB)
        await hub.snapshot(ADA)
        assert await seen(redis, "o1") == status
        assert dispatcher.losses == 1


async def test_an_incomplete_journal_is_restored_once_when_it_is_opened(redis: RedisClient) -> None:
    journal = Journal(redis)
    saga = SagaStatus(id="o1", type="order", status="RUNNING", version=1, at=at())
    for owner in (ADA.id, BOB):
        assert await journal.seed(owner, [Entry.of(saga, now_ms=1)])
        assert not await journal.seed(owner, [])
    heads = await journal.heads([ADA.id, BOB])
    assert all(head.complete and head.position for head in heads.values())
    assert await journal.mark_incomplete() == 2
    incomplete = {owner: Head(head.position, complete=False) for owner, head in heads.items()}
    assert await journal.heads([ADA.id, BOB]) == incomplete
    opened = await journal.open(ADA.id, heads[ADA.id].position)
    assert not opened.complete and opened.kind == "history", (
        "the position is still valid, so the state is not sent again"
    )
    assert await journal.seed(ADA.id, [Entry.of(saga, now_ms=1)])
    assert await journal.heads([ADA.id, BOB]) == incomplete | {ADA.id: heads[ADA.id]}


async def test_a_stream_trimmed_behind_its_reader_loses_nothing(
    redis: RedisClient, dispatcher: EventDispatcher
) -> None:
    """Trimming by age in a quiet stream: all entries that were read are trimmed before the next event."""
    for saga in ("a", "b", "c"):
        async with reader(redis, dispatcher):
            await known_after(redis, saga)
        await add(redis, event(f"{saga}2", 1), "MAXLEN", 1)
        async with reader(redis, dispatcher):
            await known(redis, f"{saga}2")
        await redis.call("XTRIM", STREAM, "MAXLEN", 0)
    assert dispatcher.losses == 0


async def known_after(redis: RedisClient, saga: str) -> None:
    await add(redis, event(saga, 1))
    await known(redis, saga)


async def test_a_stream_that_was_created_again_is_read_from_its_first_event(
    redis: RedisClient, dispatcher: EventDispatcher
) -> None:
    async with reader(redis, dispatcher):
        await redis.call("XADD", STREAM, "9999999999999-0", "event", event("before", 1))
        await known(redis, "before")
        await redis.call("DEL", STREAM)
        await add(redis, event("after", 1))
        await known(redis, "after")
    assert dispatcher.losses == 1


def test_a_stored_position_is_compared_with_what_the_stream_has() -> None:
    place = StreamPosition("7-1", 5)
    assert StreamPosition.parse(str(place)) == place and StreamPosition.parse(None) == StreamPosition()
    for extent in (
        Extent(5, 5, "7-1"),
        Extent(5, 0, "7-1"),
        Extent(9, 4, "8-0"),
        Extent(9, 9, "10-0"),
        Extent(6, 1, "7-2"),
    ):
        assert place.compared_with(extent) == (place, ""), extent
    for trimmed, then in (
        (Extent(9, 3, "10-0"), StreamPosition("7-1", 6)),
        (Extent(9, 0, "8-0"), StreamPosition("7-1", 9)),
        (Extent(6, 6, "7-1"), StreamPosition("7-1", 6)),
    ):
        found, why = place.compared_with(trimmed)
        assert found == then and "trimmed" in why, trimmed
        assert found.compared_with(trimmed) == (then, ""), "reported once"
    for extent in (Extent(4, 4, "9-0"), Extent(9, 9, "7-0"), Extent(5, 5, "6-9")):
        found, why = place.compared_with(extent)
        assert found == StreamPosition() and "recreated" in why, extent


async def test_one_read_of_a_stream_is_bounded_in_bytes(redis: RedisClient) -> None:
    async def nothing_lost(why: str) -> None:
        raise AssertionError(why)

    streams = [f"events:orders:{number}" for number in range(4)]
    for stream in streams:
        bodies = [b"x" * MB] * 20 + [b"x"] * 500
        raise_refusals(await redis.batch([("XADD", stream, "*", "event", body) for body in bodies]))
    broker = RedisStreams(redis, streams)
    await broker.open(nothing_lost)
    left, reads = 4 * 520, 0
    try:
        while left:
            read = await broker.read()
            assert sum(len(one.body or b"") for events in read.values() for one in events) <= 16 * MB
            for partition, events in read.items():
                await broker.ack(partition, events)
                left -= len(events)
            reads += 1
    finally:
        await broker.close()
    # Twenty reads of large events, then six until the batches are large again, then 51 events in each.
    assert reads < 45, "many small events are read at a time"
