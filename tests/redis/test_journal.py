import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bff.calls import SagaStatus
from bff.stores.journal import Entry, Head, Journal, Opened, Position, channel_of
from bff.stores.keys import owner_tag
from bff.stores.redis.client import RedisClient, StoreUnavailable
from tests.conftest import Valkey

OWNER = "https://id.example|ada"
AT = "2026-03-01T10:00:00Z"
NOW = 1_772_359_200.0  # that same moment


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def entry(id: str, version: int, status: str = "RUNNING", at: str = AT, **more: Any) -> Entry:
    saga = SagaStatus(id=id, type="order", status=status, version=version, at=at, **more)
    return Entry.of(saga, now_ms=int(NOW * 1000))


def entries_of(opened: Opened) -> list[tuple[str, int]]:
    return [(row["id"], row["version"]) for row in map(json.loads, opened.entries)]


def test_an_entry_is_exactly_the_contracts_fields_on_one_line() -> None:
    saga = SagaStatus(
        id="o1", type="order", status="RUNNING", version=1, at=AT, data={"lines": [], "text": "a\nb"}
    )
    body = Entry.of(saga, "00-aa-bb-01", now_ms=0).body
    assert b"\n" not in body
    assert list(json.loads(body)) == [
        *(
            "id",
            "type",
            "status",
            "step",
            "attempt",
            "version",
            "reason",
            "mutation",
            "mutations",
            "at",
            "data",
            "traceparent",
        )
    ]
    assert json.loads(body)["data"] == {"lines": [], "text": "a\nb"}


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "ab-", "ab--1", "ab-01", "ab-1 ", "a b-1", "é-1", "ab-1\n", "ab-" + "9" * 20]
)
def test_only_valid_positions_parse(text: str) -> None:
    assert Position.parse(text) is None


def test_a_position_reads_back_as_it_was_written() -> None:
    assert Position.parse(str(Position("a1b2", 12))) == Position("a1b2", 12)


async def test_events_are_numbered_without_gaps_and_repeats_are_dropped(redis: RedisClient) -> None:
    journal = Journal(redis)
    assert await journal.append(OWNER, entry("o1", 0, "PENDING")) == "appended"
    assert await journal.append(OWNER, entry("o1", 1)) == "appended"
    assert await journal.append(OWNER, entry("o1", 1)) == "repeat"
    assert await journal.append(OWNER, entry("o1", 0, "PENDING")) == "repeat"
    assert await journal.append(OWNER, entry("o2", 1)) == "appended"
    opened = await journal.open(OWNER, None)
    assert opened.kind == "snapshot"
    assert opened.position is not None and opened.position.offset == 3
    assert entries_of(opened) == [("o2", 1), ("o1", 1)]
    history = await journal.open(OWNER, Position(opened.position.epoch, 1))
    assert (history.kind, entries_of(history)) == ("history", [("o1", 1), ("o2", 1)])


async def test_a_gap_is_held_and_flushed_in_order_when_it_is_filled(redis: RedisClient) -> None:
    journal = Journal(redis, gap=60)
    first = await journal.append(OWNER, entry("o1", 1))
    held = [await journal.append(OWNER, entry("o1", version)) for version in (4, 3, 4)]
    assert (first, held) == ("appended", ["held", "held", "held"])
    assert await journal.append(OWNER, entry("o2", 1)) == "appended"
    assert entries_of(await journal.open(OWNER, None)) == [("o2", 1), ("o1", 1)]
    assert await journal.append(OWNER, entry("o1", 2)) == "appended"
    top = (await journal.open(OWNER, None)).position
    assert top is not None and top.offset == 5
    history = await journal.open(OWNER, Position(top.epoch, 0))
    assert entries_of(history) == [("o1", 1), ("o2", 1), ("o1", 2), ("o1", 3), ("o1", 4)]
    assert await journal.release_overdue(OWNER) == 0


async def test_events_after_an_unfilled_gap_are_released_after_their_time(redis: RedisClient) -> None:
    clock = Clock()
    journal = Journal(redis, gap=2, clock=clock)
    await journal.append(OWNER, entry("o1", 1))
    await journal.append(OWNER, entry("o1", 9))
    clock.now += 1.5
    await journal.append(OWNER, entry("o1", 7))
    assert await journal.release_overdue(OWNER) == 2
    clock.now += 0.6
    assert await journal.release_overdue(OWNER) == 0
    top = (await journal.open(OWNER, None)).position
    assert top is not None
    assert entries_of(await journal.open(OWNER, Position(top.epoch, 0))) == [("o1", 1), ("o1", 7), ("o1", 9)]
    assert await journal.append(OWNER, entry("o1", 8)) == "repeat"


async def test_reading_many_heads_releases_overdue_events_in_each_journal(redis: RedisClient) -> None:
    clock = Clock()
    journal = Journal(redis, gap=2, clock=clock)
    owners = [f"{OWNER}{number}" for number in range(150)]
    for owner in owners:
        assert await journal.append(owner, entry("o1", 2)) == "held"
    assert await journal.heads(owners) == dict.fromkeys(owners, Head(None, complete=False))
    waiting = [("ZCARD", journal.keys(owner).waiting) for owner in owners]
    assert await redis.batch(waiting) == [1] * 150, "not overdue yet"
    clock.now += 3
    await journal.heads(owners)
    assert await redis.batch(waiting) == [0] * 150
    assert entries_of(await journal.open(owners[-1], None)) == [("o1", 2)]


async def test_the_events_that_wait_for_a_gap_are_bounded(redis: RedisClient) -> None:
    clock = Clock()
    journal = Journal(redis, gap=3600, clock=clock)
    for version in range(2, 2 + 300):
        clock.now += 0.001
        await journal.append(OWNER, entry(f"o{version}", version + 1))
    waiting = await redis.call("ZCARD", journal.keys(OWNER).waiting)
    parked = await redis.call("HLEN", journal.keys(OWNER).parked)
    assert waiting == parked == 256


@pytest.mark.parametrize("cursor", ["other-1", "{epoch}-99", "{epoch}-2"])
async def test_a_cursor_that_cannot_be_followed_gets_reset_and_the_snapshot(
    redis: RedisClient, cursor: str
) -> None:
    journal = Journal(redis, history=10)
    for version in range(1, 21):
        await journal.append(OWNER, entry("o1", version))
    top = (await journal.open(OWNER, None)).position
    assert top is not None
    after = Position.parse(cursor.format(epoch=top.epoch))
    assert after is not None
    opened = await journal.open(OWNER, after)
    assert (opened.kind, opened.position, entries_of(opened)) == ("reset", top, [("o1", 20)])
    honoured = await journal.open(OWNER, Position(top.epoch, 10))
    assert (honoured.kind, len(honoured.entries)) == ("history", 10)


async def test_ended_sagas_leave_the_snapshot_after_their_time_and_repeats_stay_dropped(
    redis: RedisClient,
) -> None:
    clock = Clock()
    journal = Journal(redis, keep=3600, clock=clock)
    await journal.append(OWNER, entry("open", 1))
    await journal.append(OWNER, entry("done", 1, "COMPLETED"))
    await journal.append(OWNER, entry("stuck", 1, "NEEDS_ATTENTION"))
    assert len((await journal.open(OWNER, None)).entries) == 3
    clock.now += 3601
    assert entries_of(await journal.open(OWNER, None)) == [("stuck", 1), ("open", 1)]
    assert await journal.append(OWNER, entry("done", 1, "COMPLETED")) == "repeat"


async def test_a_snapshot_holds_a_hundred_sagas_and_drops_ended_ones_first(redis: RedisClient) -> None:
    journal = Journal(redis, clock=Clock())
    for number in range(95):
        await journal.append(OWNER, entry(f"open{number}", 1))
    for number in range(20):
        await journal.append(OWNER, entry(f"done{number}", 1, "COMPLETED"))
    ids = [id for id, _ in entries_of(await journal.open(OWNER, None))]
    assert len(ids) == 100
    assert sum(id.startswith("open") for id in ids) == 95


async def test_every_key_of_a_journal_expires(redis: RedisClient) -> None:
    journal = Journal(redis, retain=5000, keep=100, clock=Clock())
    await journal.append(OWNER, entry("o1", 1, "COMPLETED"))
    await journal.append(OWNER, entry("o2", 5))
    found = await redis.call("KEYS", "*")
    assert len(found) == 9
    for key in found:
        assert 4990 <= await redis.call("TTL", key) <= 5000
        assert f"{{{owner_tag(OWNER)}}}".encode() in key


async def test_owners_never_see_each_others_journals(redis: RedisClient) -> None:
    journal = Journal(redis)
    await journal.append(OWNER, entry("o1", 1))
    await journal.append("https://id.example|bob", entry("o2", 1))
    assert entries_of(await journal.open(OWNER, None)) == [("o1", 1)]
    assert await journal.saga(OWNER, "order", "o2") is None
    assert await journal.saga(OWNER, "order", "o1") == entry("o1", 1).body


async def test_a_journal_is_seeded_once_and_keeps_newer_events(redis: RedisClient) -> None:
    journal = Journal(redis, gap=60)
    assert (await journal.open(OWNER, None)).position is None
    await journal.append(OWNER, entry("o1", 6))
    assert not (await journal.open(OWNER, None)).complete
    seeds = [entry("o2", 3), entry("o1", 5)]
    assert sorted(await asyncio.gather(*(journal.seed(OWNER, seeds) for _ in range(5)))) == [False] * 4 + [
        True
    ]
    opened = await journal.open(OWNER, None)
    assert opened.complete
    assert entries_of(opened) == [("o2", 3), ("o1", 6)]
    assert await journal.append(OWNER, entry("o2", 4)) == "appended"


async def test_an_emptied_redis_gives_a_new_epoch(redis: RedisClient) -> None:
    journal = Journal(redis)
    before = (await journal.open(OWNER, None, make=True)).position
    await redis.call("FLUSHALL")
    await journal.append(OWNER, entry("o1", 1))
    after = (await journal.open(OWNER, before)).position
    assert before is not None and after is not None
    assert before.epoch != after.epoch


async def test_a_log_ahead_of_its_counter_does_not_stop_new_events(redis: RedisClient) -> None:
    journal = Journal(redis)
    for version in range(1, 6):
        await journal.append(OWNER, entry("o1", version))
    await redis.call("HSET", journal.keys(OWNER).meta, "offset", "2")
    assert await journal.append(OWNER, entry("o1", 6)) == "appended"
    top = (await journal.open(OWNER, None)).position
    assert top is not None and top.offset == 3
    assert (await journal.open(OWNER, Position(top.epoch, 1))).kind == "reset"


async def test_each_event_is_published_with_its_position(redis: RedisClient) -> None:
    journal = Journal(redis)
    async with redis.dedicated(timeout=5) as subscriber, subscriber.pubsub() as pubsub:
        await pubsub.subscribe(channel_of(OWNER))
        assert await pubsub.get_message(timeout=2)
        await journal.append(OWNER, entry("o1", 1))
        message = await pubsub.get_message(timeout=2, ignore_subscribe_messages=True)
    assert message is not None
    top = (await journal.open(OWNER, None)).position
    assert message["data"] == b"%s %s" % (str(top).encode(), entry("o1", 1).body)


async def test_each_saga_is_delivered_once_and_in_order_whatever_order_versions_arrive_in(
    redis: RedisClient,
) -> None:
    journal = Journal(redis, gap=60, history=500)
    shuffled = random.Random(7)
    events = [entry(f"o{saga}", version) for saga in range(6) for version in range(1, 31)]
    arriving = events + shuffled.sample(events, 60)
    shuffled.shuffle(arriving)
    for start in range(0, len(arriving), 8):
        await asyncio.gather(*(journal.append(OWNER, one) for one in arriving[start : start + 8]))
    top = (await journal.open(OWNER, None)).position
    assert top is not None and top.offset == 180
    rows = entries_of(await journal.open(OWNER, Position(top.epoch, 0)))
    for saga in range(6):
        assert [version for id, version in rows if id == f"o{saga}"] == list(range(1, 31))


async def test_the_journal_raises_store_unavailable_while_redis_is_away(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=0.3) as redis:
        journal = Journal(redis)
        await journal.append(OWNER, entry("o1", 1))
        own_valkey.stop()
        for attempt in (
            journal.append(OWNER, entry("o1", 2)),
            journal.open(OWNER, None),
            journal.heads([OWNER]),
        ):
            with pytest.raises(StoreUnavailable):
                await attempt
        own_valkey.start()
        assert await journal.append(OWNER, entry("o1", 1)) == "appended"


async def test_every_key_of_a_journal_that_began_with_a_gap_expires(redis: RedisClient) -> None:
    for let_through in (Journal.release_overdue, _open):
        await redis.call("FLUSHALL")
        clock = Clock()
        journal = Journal(redis, gap=2, clock=clock)
        assert await journal.append(OWNER, entry("o1", 2)) == "held"
        clock.now += 3
        await let_through(journal, OWNER)
        keys = await redis.call("KEYS", "*")
        assert len(keys) >= 6
        for key in keys:
            assert await redis.call("TTL", key) > 0, f"{key.decode()} stays for ever"


async def _open(journal: Journal, owner: str) -> None:
    await journal.open(owner, None)
