"""Fakes of Redis and of the services for `test_interleavings`.

The seed decides everything: how many turns of the loop an answer takes, and which requests fail.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from bff.calls import Principal
from bff.stores.journal import Head, Opened, Position, channel_of
from bff.stores.redis.client import StoreUnavailable
from bff.stores.redis.scripts import Step
from bff.stores.values import Value, value_channel

ADA = Principal("https://id.example", "ada", token="t", expires_at=4e9)
NAMES = ("stock/a", "stock/b")
_HISTORY = 60
"""Events that a cursor may be behind the head."""
_SNAPSHOT = 20
"""Sagas in a snapshot; here those of the latest events."""


class World:
    """Ada's journal and two values in Redis, and the published messages that have not arrived yet."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.failing = self.chance.choice([0.0, 0.0, 0.3, 0.7])
        self.services = True
        self.whole = True
        self.journals: dict[str, list[bytes]] = {"e0": []}
        self.values: dict[str, Value] = {}
        self.published: deque[tuple[str, bytes]] = deque()
        self.largest = 0  # bytes of the journal's largest answer
        # Whether the channels are confirmed from the start, so that waiting for them takes no turn of the loop.
        self.confirmed = self.chance.choice([False, True])
        self._entry = self.chance.choice([20, 20, 200, 3000])
        self._payload = self.chance.choice([10, 10, 3000, 20_000])

    @property
    def head(self) -> Position:
        epoch = next(reversed(self.journals))
        return Position(epoch, len(self.journals[epoch]))

    @property
    def versions(self) -> dict[str, int]:
        return {name: value.version for name, value in self.values.items()}

    def publish_event(self) -> None:
        entry = b'{"data":"%s"}' % (b"x" * self.chance.choice([1, self._entry]))
        self.journals[self.head.epoch].append(entry)
        self.published.append((channel_of(ADA.id), b"%s %s" % (str(self.head).encode(), entry)))

    def publish_value(self, name: str) -> None:
        version = self.versions.get(name, 0) + 1
        data = b"y" * self.chance.choice([1, self._payload])
        payload = b'{"name":"%s","version":%d,"data":"%s"}' % (name.encode(), version, data)
        self.values[name] = Value(version, payload)
        self.published.append((value_channel(name), b"%d %s" % (version, payload)))

    def lose_journal(self, *, epoch: bool) -> None:
        """Mark the journal incomplete. epoch: True when all of it is lost."""
        self.whole = False
        if epoch:
            self.journals[f"e{len(self.journals)}"] = []

    async def turns(self) -> None:
        """Wait a random number of turns of the loop."""
        for _ in range(self.chance.choice([0, 1, 2, 5, 20])):
            await asyncio.sleep(0)

    async def reached(self) -> None:
        """Wait until a request arrives at Redis, or fails. The answer is computed then and comes back later."""
        await self.turns()
        if self.chance.random() < self.failing:
            raise StoreUnavailable("Redis is away")

    async def restore(self, principal: Principal) -> list[dict[str, object]]:
        """The answer of the services."""
        await self.turns()
        if not self.services:
            raise RuntimeError("the services are away")
        return []


class WorldJournal:
    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return 1

    def open_step(self, owner: str, after: Position | None, *, make: bool = False) -> Step:
        return step(lambda: self._open(after))

    def _open(self, after: Position | None) -> Opened:
        world = self._world
        head = world.head
        entries = world.journals[head.epoch]
        if after and after.epoch == head.epoch and 0 <= head.offset - after.offset < _HISTORY:
            opened = Opened(head, world.whole, "history", tuple(entries[after.offset :]))
        else:
            opened = Opened(head, world.whole, "reset" if after else "snapshot", tuple(entries[-_SNAPSHOT:]))
        world.largest = max(world.largest, sum(map(len, opened.entries)))
        return opened

    def parse_opened(self, answer: Opened) -> Opened:
        return answer

    async def heads(self, owners: Iterable[str]) -> dict[str, Head]:
        world = self._world
        await world.reached()
        heads = dict.fromkeys(owners, Head(world.head, world.whole))
        await world.turns()
        return heads

    async def seed(self, owner: str, entries: object) -> None:
        await self._world.reached()
        self._world.whole = True
        await self._world.turns()


class WorldValues:
    def __init__(self, world: World) -> None:
        self._world = world

    async def get(self, names: Sequence[str]) -> dict[str, Value]:
        if not names:
            return {}
        await self._world.reached()
        found = {name: self._world.values[name] for name in names if name in self._world.values}
        await self._world.turns()
        return found

    async def put_payload(self, name: str, value: Value) -> None:
        """Nothing to do: this fake never loses a value."""


class WorldSlots:
    """Slots of which one is always free."""

    def __init__(self, world: World) -> None:
        self._world = world

    def hold_step(self, owner: str, cap: int, slots: object) -> Step:
        return step(lambda: (True, []))

    def parse_hold(self, answer: tuple[bool, list[str]]) -> tuple[bool, list[str]]:
        return answer

    async def renew(self, slots: object) -> list[tuple[str, int]]:
        await self._world.reached()
        return []


class WorldRedis:
    """Runs the steps of a join at the same time."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def batch(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        await self._world.reached()
        answers = [command[1]() for command in commands]
        await self._world.turns()
        return answers


def step(answer: Callable[[], object]) -> Step:
    """A step that has a function in place of its script's hash."""
    script: Any = SimpleNamespace(sha=answer)
    return Step(script, (), ())


class WorldSubscriptions:
    connected, degraded = True, False

    def __init__(self, world: World) -> None:
        self._world = world
        self.listeners: dict[str, Any] = {}

    def subscribe(self, channel: str, listener: object, *, after_outage: bool = False) -> None:
        self.listeners[channel] = listener

    def unsubscribe(self, channel: str) -> None:
        del self.listeners[channel]

    def node_of(self, channel: str) -> None:
        """None, because there is one server."""

    async def wait_confirmed(self, *channels: str) -> None:
        if not self._world.confirmed:
            await self._world.reached()


class WorldClock:
    async def synchronise(self) -> None:
        """Nothing to do: this clock is always right."""
