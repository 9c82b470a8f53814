"""The contract of every broker: at least once, in order, applied once, whichever process dies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from bff.calls import SagaStatus
from bff.live.ingest import BrokerUnavailable, EventDispatcher, Ingester, RedisStreams, Registry
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent, parse_entries
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.values import Values
from tests.events import cloud_event

from ..conftest import ROOT
from .conftest import Rig, until

OWNER = "https://issuer|ada"
AT = "2026-03-01T10:00:00Z"


class Strict(SagaStatus):
    """A model that the published events do not match."""

    data: int


def event(saga: str, version: int, data: object = None, status: str = "RUNNING") -> bytes:
    told = {"status": status, "step": "ship", "owner": OWNER, "at": AT, "data": data or {}}
    return cloud_event("shop.order.status", saga, version, told)


@pytest.fixture
async def link(rig: Rig) -> AsyncIterator[RedisClient]:
    async with RedisClient(rig.redis_url) as opened:
        yield opened


def new_dispatcher(link: RedisClient, model: type[SagaStatus] = SagaStatus) -> EventDispatcher:
    return EventDispatcher(
        Journal(link, gap=0.5), Values(link), Registry({"order": model}, {}), DeadLetters(link)
    )


async def top(link: RedisClient) -> int:
    """The number of events in the journal."""
    try:
        opened = await Journal(link).open(OWNER, None)
    except StoreUnavailable:
        return -1
    return opened.position.offset if opened.position is not None else 0


async def history(link: RedisClient) -> list[tuple[str, int]]:
    """The journal's entries of this epoch: saga and version."""
    log = Journal(link).keys(OWNER).log
    rows = [json.loads(fields[b"e"]) for _, fields in parse_entries(await link.call("XRANGE", log, "-", "+"))]
    return [(row["id"], row["version"]) for row in rows]


async def test_events_are_applied_once_and_in_order_also_those_published_before_the_reader_started(
    rig: Rig, link: RedisClient
) -> None:
    await rig.publish(*(event("o1", version) for version in range(1, 6)))
    async with Ingester(link, new_dispatcher(link), rig.broker(link)):
        await rig.publish(*(event("o1", version) for version in range(6, 151)), event("o1", 7))
        await until(lambda: _reached(link, 150))
        await rig.publish(event("o2", 1))
        await until(lambda: _reached(link, 151))
    assert await history(link) == [*(("o1", version) for version in range(1, 151)), ("o2", 1)]


async def test_the_age_of_an_unread_event_counts_from_when_the_broker_took_it(
    rig: Rig, link: RedisClient
) -> None:
    class Held(EventDispatcher):
        began: asyncio.Event
        release: asyncio.Event

        async def dispatch(self, event: BrokerEvent) -> bool:
            self.began.set()
            await self.release.wait()
            return await super().dispatch(event)

    dispatcher = Held(Journal(link), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link))
    dispatcher.began, dispatcher.release = asyncio.Event(), asyncio.Event()
    # The queue of RabbitMQ exists only when it was read once.
    async with Ingester(link, new_dispatcher(link), rig.broker(link)):
        await rig.publish(event("o1", 1))
        await until(lambda: _reached(link, 1))
    await rig.publish(event("o1", 2))
    await asyncio.sleep(0.5)
    async with Ingester(link, dispatcher, rig.broker(link)) as reader:
        await asyncio.wait_for(dispatcher.began.wait(), 60)
        # RabbitMQ does not know when a message came, and this one's publisher has not said it.
        waited = 0.0 if rig.broker(link).name == "rabbitmq" else 0.5
        assert (reader.oldest_unread or 0.0) > waited
        dispatcher.release.set()
        await until(lambda: _is_read(reader))
    assert reader.oldest_unread == 0.0


async def _is_read(reader: Ingester) -> bool:
    return reader.oldest_unread == 0.0


async def _reached(link: RedisClient, offset: int) -> bool:
    return await top(link) >= offset


async def test_a_reader_that_dies_between_effect_and_position_repeats_and_skips_nothing(
    rig: Rig, link: RedisClient
) -> None:
    """The reader hangs after some effects, as if it was killed: the next reader continues at the stored position."""

    class Dying(EventDispatcher):
        left = 0
        died: asyncio.Event

        async def dispatch(self, event: BrokerEvent) -> bool:
            taken = await super().dispatch(event)
            self.left -= 1
            if self.left == 0:
                self.died.set()
                await asyncio.Event().wait()
            return taken

    await rig.publish(*(event(f"o{number % 3}", number // 3 + 1) for number in range(90)))
    for round in range(4):
        dying = Dying(Journal(link), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link))
        dying.left, dying.died = 5 + 7 * round, asyncio.Event()
        reader = Ingester(link, dying, rig.broker(link))
        await reader.start()
        await asyncio.wait_for(dying.died.wait(), 60)
        await reader.stop()
    async with Ingester(link, new_dispatcher(link), rig.broker(link)):
        await until(lambda: _reached(link, 90))
    told = await history(link)
    assert len(told) == 90
    for saga in ("o0", "o1", "o2"):
        assert [version for id, version in told if id == saga] == list(range(1, 31))


async def test_one_of_two_readers_reads_and_the_other_takes_over(rig: Rig, link: RedisClient) -> None:
    first = Ingester(link, new_dispatcher(link), rig.broker(link), lease=1.0)
    second = Ingester(link, new_dispatcher(link), rig.broker(link), lease=1.0)
    async with second:
        await first.start()
        await rig.publish(*(event("o1", version) for version in range(1, 11)))
        await until(lambda: _reached(link, 10))
        # Whichever process reads, both end in turn, and no event is lost.
        await first.stop()
        await rig.publish(event("o1", 11))
        await until(lambda: _reached(link, 11))
        await first.start()
        await second.stop()
        await rig.publish(event("o1", 12))
        await until(lambda: _reached(link, 12))
        await first.stop()
    assert await history(link) == [("o1", version) for version in range(1, 13)]


async def test_the_reader_waits_for_a_killed_broker_and_no_event_is_lost(rig: Rig, link: RedisClient) -> None:
    async with Ingester(link, new_dispatcher(link), rig.broker(link)) as reader:
        await rig.publish(*(event("o1", version) for version in range(1, 31)))
        await until(lambda: _reached(link, 10))
        rig.kill()
        await asyncio.sleep(0.5)
        assert reader.alive
        rig.start()
        await rig.publish(*(event("o1", version) for version in range(31, 41)))
        await until(lambda: _reached(link, 40))
        assert reader.alive
    told = await history(link)
    # Where the broker is the journal's Redis, killing it has started another epoch.
    assert len(told) >= (10 if rig.broker(link).name == "redis" else 40)
    assert told == [("o1", version) for version in range(1, 41)][-len(told) :]


async def test_an_unusable_event_blocks_no_other_and_is_replayed_after_the_fix(
    rig: Rig, link: RedisClient
) -> None:
    async with Ingester(link, new_dispatcher(link, Strict), rig.broker(link)):
        await rig.publish(event("bad", 1, {"lines": []}), b"not json", event("good", 1, 7))
        await until(lambda: _reached(link, 1))
    letters = await DeadLetters(link).page(10)
    assert [letter.event.body for letter in letters] == [event("bad", 1, {"lines": []}), b"not json"]

    listed = _bff(rig, "dead")
    assert [json.loads(line)["bus"] for line in listed.splitlines()] == [letters[0].event.broker] * 2
    assert "replayed" in _bff(rig, "replay", letters[0].id)

    mended = new_dispatcher(link)
    broker = rig.broker(link)
    async with Ingester(link, mended, broker):
        if broker.name == "redis":
            await until(lambda: _reached(link, 2))
        else:
            # It came from a broker to which the gateway cannot write: every gateway reads replayed events.
            async with Ingester(link, mended, RedisStreams(link, [], block=0.1)):
                await until(lambda: _reached(link, 2))
    assert await history(link) == [("good", 1), ("bad", 1)]
    assert len(await DeadLetters(link).page(10)) == 1


def _bff(rig: Rig, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bff", "events", *arguments],
        cwd=ROOT,
        env={**os.environ, "BFF_REDIS__URL": rig.redis_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


async def test_an_event_ahead_of_its_turn_waits_for_the_one_before_it(rig: Rig, link: RedisClient) -> None:
    async with Ingester(link, new_dispatcher(link), rig.broker(link)):
        await rig.publish(event("o1", 2), event("o1", 1), event("o1", 4))
        await until(lambda: _reached(link, 3))
    assert await history(link) == [("o1", 1), ("o1", 2), ("o1", 4)], (
        "the third event never came, and no reader hangs"
    )


async def test_the_reader_waits_for_a_server_that_is_away_from_the_start(rig: Rig, link: RedisClient) -> None:
    rig.kill()
    async with Ingester(link, new_dispatcher(link), rig.broker(link)) as reader:
        await asyncio.sleep(0.5)
        assert reader.alive
        rig.start()
        await rig.publish(event("o1", 1))
        await until(lambda: _reached(link, 1))


async def test_a_reader_that_replaces_a_frozen_one_starts_at_its_position_or_waits(
    rig: Rig, link: RedisClient
) -> None:
    """The reader stands still like a stopped process: its connections stay open."""

    async def nothing_lost(why: str) -> None:
        # RabbitMQ's queue is created by the first event here.
        raise AssertionError(why)

    frozen, successor = rig.broker(link), rig.broker(link)
    await rig.publish(*(event("o1", version) for version in range(1, 6)))
    await frozen.open(nothing_lost)
    held: list[bytes | None] = []
    async with asyncio.timeout(60):
        while len(held) < 1:
            held += [one.body for events in (await frozen.read()).values() for one in events]
    read: list[bytes | None] = []
    try:
        await successor.open(nothing_lost)
        await rig.publish(*(event("o1", version) for version in range(6, 10)))
        for _ in range(20):
            if not read:
                read += [one.body for events in (await successor.read()).values() for one in events]
    except BrokerUnavailable:
        assert rig.broker(link).name == "rabbitmq", "only the frozen reader has the events that it holds"
    finally:
        await successor.close()
        await frozen.close()
    assert not read or read[0] == event("o1", 1), "it received a newer event, while the older ones are held"
    async with Ingester(link, new_dispatcher(link), rig.broker(link)):
        await until(lambda: _reached(link, 5))
