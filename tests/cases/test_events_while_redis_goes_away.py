"""Input: Redis closes the connection while events that were read are being written into journals. The event reader
ended for good ("reading events has stopped until a restart"), and no gateway received any event afterwards.

Right: a store that is away is waited for, at any step (docs/architecture.md, "When something is away"). The events were
not acknowledged, so they are read again. Python: an exception raised inside `except*` is raised as a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from bff.live.ingest import BrokerUnavailable, Ingester
from bff.stores.events import BrokerEvent
from bff.stores.redis.client import RedisClient, StoreUnavailable

from ..waiting import GUARD, until

EVENTS = [BrokerEvent("somewhere", str(number), b"{}", "fake") for number in range(2)]


class Broker:
    """Returns the same events until they are acknowledged."""

    name = "fake"

    def __init__(self) -> None:
        self.left = {event.id for event in EVENTS}

    async def open(self, lost: Callable[[str], Awaitable[None]]) -> None: ...

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if not self.left:
            await asyncio.sleep(GUARD)
        return {event.id: [event] for event in EVENTS if event.id in self.left}

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        self.left.discard(partition)

    async def close(self) -> None: ...


class EventDispatcher:
    """Fails as many times as the test says."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times = error, times
        self.taken: list[str] = []

    async def dispatch(self, event: BrokerEvent) -> None:
        if self.times:
            self.times -= 1
            raise self.error
        self.taken.append(event.id)

    async def settle(self) -> None: ...

    async def record_loss(self, name: str, why: str) -> None: ...


@pytest.mark.parametrize("error", [StoreUnavailable("it closed the connection"), BrokerUnavailable("gone")])
async def test_events_are_read_again_when_the_store_goes_away_while_they_are_dispatched(
    redis_url: str, error: Exception
) -> None:
    broker, dispatcher = Broker(), EventDispatcher(error, 3)
    made: Any = Ingester
    async with RedisClient(redis_url, timeout=10) as link, made(link, dispatcher, broker) as reader:
        await until(lambda: not broker.left)
        assert reader.alive
    assert set(dispatcher.taken) == {event.id for event in EVENTS}


async def test_a_bug_while_events_are_dispatched_still_ends_the_reader_and_is_reported(
    redis_url: str,
) -> None:
    made: Any = Ingester
    async with RedisClient(redis_url, timeout=10) as link:
        reader = made(link, EventDispatcher(ValueError("a bug"), 3), Broker())
        await reader.start()
        await until(lambda: not reader.alive)
        await reader.stop()
