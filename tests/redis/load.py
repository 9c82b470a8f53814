"""Load while servers die: streams, commands, events and values, and the checks after it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from bff.live import ValueTopic
from bff.stores.redis.client import RedisClient, StoreUnavailable

from ..conftest import Valkey
from ..wire.gateway import World as Gateway
from ..wire.gateway import keyed, running
from ..wire.test_stream import AT, Client, World, client, world

PEOPLE = [f"person-{number}" for number in range(24)]
TOPICS = [ValueTopic("stock/{sku}", public=True)]
SKUS = [f"sku-{number}" for number in range(12)]


@dataclass
class Load:
    """The load and its results. longest: seconds in which all commands of a key failed."""

    sent: int = 0
    failed: int = 0
    longest: dict[int, float] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PEOPLE, 0))
    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SKUS, 0))
    done: bool = False

    async def count(self, redis: RedisClient, number: int) -> None:
        """Increment a counter until the end. It may be ahead by one for each failed command, and is never behind."""
        counted, failed, since = 0, 0, 0.0
        while not self.done:
            self.sent += 1
            try:
                counted = await redis.call("INCR", f"counter-{number}")
                since = 0.0
            except (StoreUnavailable, ResponseError):
                failed += 1
                since = since or time.monotonic()
                self.longest[number] = max(self.longest.get(number, 0.0), time.monotonic() - since)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.005)
        self.failed += failed
        while not (answer := await _sooner(redis, number)):
            await asyncio.sleep(0.05)
        assert counted <= int(answer) <= counted + failed

    async def command(self, gateway: Gateway, name: str) -> None:
        """Send a browser's commands, one after the other, until the end."""
        cart = {"lines": [{"name": "mug"}]}
        while not self.done:
            answer = await gateway.client.post("/api/jobs", headers=keyed(subject=name), json=cart)
            self.statuses.append(answer.status_code)
            if answer.status_code != 202:
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
                assert int(answer.headers["retry-after"]) >= 1
            await asyncio.sleep(0.02)

    async def publish_events(self, one: World, name: str) -> None:
        """Publish the next events of a person's saga; failed ones are published again."""
        while not self.done:
            with contextlib.suppress(StoreUnavailable):
                await one.tell("o1", self.published[name] + 1, owner=name)
                self.published[name] += 1
            await asyncio.sleep(0.02)

    async def publish_values(self, one: World) -> None:
        """Publish new versions of each value."""
        while not self.done:
            for name in SKUS:
                with contextlib.suppress(StoreUnavailable):
                    version = self.values[name] + 1
                    await one.values.put(f"stock/{name}", version, version, AT)
                    self.values[name] = version
            await asyncio.sleep(0.1)

    def __str__(self) -> str:
        return (
            f"{self.failed} of {self.sent} commands failed, {self.statuses.count(503)} of {len(self.statuses)} "
            f"requests were 503, no key failed for longer than {max(self.longest.values(), default=0):.2f} s; "
            f"{sum(self.published.values())} events each once and in order, or by a state"
        )


async def _sooner(redis: RedisClient, number: int) -> bytes | None:
    with contextlib.suppress(StoreUnavailable):
        answer: bytes = await redis.call("GET", f"counter-{number}")
        return answer
    return None


@dataclass
class Received:
    """What one stream received, event by event or as a state.

    at: time of its last event; silent: the longest pause between two events, in seconds
    """

    versions: list[int] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    resets: int = 0
    at: float = field(default_factory=time.monotonic)
    silent: float = 0.0

    async def follow(self, stream: Client) -> None:
        while (event := await stream.next()) is not None:
            if event.name == "saga":
                self.versions.append(event.data["version"])
                now = time.monotonic()
                self.silent, self.at = max(self.silent, now - self.at), now
            elif event.name == "value":
                self.value(event.data)
            elif event.name == "reset":
                self.resets += 1
                (now_at,) = (saga["version"] for saga in event.data["sagas"])
                last = self.versions[-1] if self.versions else 0
                assert now_at >= last, "a state went back to an older version"
                self.versions += range(last + 1, now_at + 1)
                for value in event.data["values"]:
                    self.value(value)
        raise AssertionError("the stream was closed")

    def value(self, data: dict[str, Any]) -> None:
        assert data["version"] >= self.values.get(data["name"], 0)
        self.values[data["name"]] = data["version"]


@asynccontextmanager
async def busy(url: str) -> AsyncIterator[tuple[World, Load, dict[str, Received]]]:
    """Run streams, commands, events and values until the block ends; then every stream must have the newest state."""
    async with (
        # Commands to a node that is away fail as soon as in a gateway; everything else is measured by events.
        world(url, topics=TOPICS, timeout=1) as one,
        running(url, patience=5, redis={"url": url, "timeout": 1}) as gateway,
        AsyncExitStack() as stack,
    ):
        query = "&".join(f"value=stock/{name}" for name in SKUS[:5])
        received = {}
        for name in PEOPLE:
            stream = await stack.enter_async_context(client(one, f"/bff/live?{query}", who=name))
            await stream.until("snapshot")
            received[name] = (Received(), stream)
        following = [asyncio.create_task(record.follow(stream)) for record, stream in received.values()]
        load = Load()
        working = [asyncio.create_task(load.count(one.redis, number)) for number in range(12)]
        working += [asyncio.create_task(load.command(gateway, name)) for name in PEOPLE[:9]]
        working += [asyncio.create_task(load.publish_events(one, name)) for name in PEOPLE]
        working.append(asyncio.create_task(load.publish_values(one)))
        try:
            await asyncio.sleep(0.5)
            yield one, load, {name: record for name, (record, _) in received.items()}
            await asyncio.sleep(0.5)
            load.done = True
            await asyncio.gather(*working)
            async with asyncio.timeout(20):
                for name, (record, _) in received.items():
                    while record.versions[-1:] != [load.published[name]] or record.values != {
                        f"stock/{sku}": load.values[sku] for sku in SKUS[:5]
                    }:
                        for task in following:
                            assert not task.done(), task.exception()
                        await asyncio.sleep(0.02)
        finally:
            load.done = True
            for task in (*working, *following):
                task.cancel()
            await asyncio.gather(*working, *following, return_exceptions=True)


def exactly_once(load: Load, received: dict[str, Received], *, replication_ids: int = 1) -> None:
    """Each event once and in order; a `reset` is allowed once for each new replication id of Redis."""
    for name, record in received.items():
        assert record.resets <= replication_ids
        assert record.versions == list(range(1, load.published[name] + 1)), name


async def continues(load: Load, received: dict[str, Received], seconds: float) -> float:
    """Wait until every stream has an event that was published after this call. Returns the seconds."""
    began = time.monotonic()
    marks = {name: len(record.versions) + 5 for name, record in received.items()}
    values = dict(load.values)
    async with asyncio.timeout(seconds):
        while any(len(record.versions) < marks[name] for name, record in received.items()) or any(
            load.values[sku] < values[sku] + 2 for sku in SKUS
        ):
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def promoted(replica: Valkey) -> float:
    """Wait until this replica is the master; it may then close its connections. Returns the seconds."""
    began, role = time.monotonic(), b""
    async with RedisClient(replica.url, timeout=5) as end:
        while role != b"master":
            with contextlib.suppress(StoreUnavailable):
                role = (await end.call("ROLE"))[0]
            await asyncio.sleep(0.005)
    return time.monotonic() - began
