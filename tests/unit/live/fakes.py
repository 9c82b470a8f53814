"""What stands round the gateway in `test_interleavings`: Redis and the services.

Promises that a seed decides all of it: how many turns of the loop an answer takes and what fails.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence

from bff.calls import Principal
from bff.stores.journal import Head, Opened, Position, channel_of
from bff.stores.redis.client import StoreUnavailable
from bff.stores.values import Value, value_channel

ADA = Principal("https://id.example", "ada", token="t", expires_at=4e9)
NAMES = ("stock/a", "stock/b")
_HISTORY = 60
"""Events a cursor may lie behind the top."""
_SNAPSHOT = 20
"""Sagas in a snapshot, the latest events' for all that is looked at here."""


class World:
    """Ada's journal and two values as Redis has them, and what of them was published and is not heard yet."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.failing = self.chance.choice([0.0, 0.0, 0.3, 0.7])
        self.services = True
        self.whole = True
        self.journals: dict[str, list[bytes]] = {"e0": []}
        self.values: dict[str, Value] = {}
        self.published: deque[tuple[str, bytes]] = deque()
        self.largest = 0  # bytes of the journal's longest answer
        # Whether the channels are confirmed already, so that waiting for them asks nobody.
        self.confirmed = self.chance.choice([False, True])
        self._entry = self.chance.choice([20, 20, 200, 3000])
        self._payload = self.chance.choice([10, 10, 3000, 20_000])

    @property
    def top(self) -> Position:
        epoch = next(reversed(self.journals))
        return Position(epoch, len(self.journals[epoch]))

    @property
    def versions(self) -> dict[str, int]:
        return {name: value.version for name, value in self.values.items()}

    def publish_event(self) -> None:
        entry = b'{"data":"%s"}' % (b"x" * self.chance.choice([1, self._entry]))
        self.journals[self.top.epoch].append(entry)
        self.published.append((channel_of(ADA.id), b"%s %s" % (str(self.top).encode(), entry)))

    def publish_value(self, name: str) -> None:
        version = self.versions.get(name, 0) + 1
        data = b"y" * self.chance.choice([1, self._payload])
        payload = b'{"name":"%s","version":%d,"data":"%s"}' % (name.encode(), version, data)
        self.values[name] = Value(version, payload)
        self.published.append((value_channel(name), b"%d %s" % (version, payload)))

    def lose_journal(self, *, epoch: bool) -> None:
        """It is not known to be whole; with `epoch` nothing is left of it."""
        self.whole = False
        if epoch:
            self.journals[f"e{len(self.journals)}"] = []

    async def turns(self) -> None:
        """The time something takes."""
        for _ in range(self.chance.choice([0, 1, 2, 5, 20])):
            await asyncio.sleep(0)

    async def asked(self) -> None:
        """A question's way there: the answer is what is true then, and takes its time to come back."""
        await self.turns()
        if self.chance.random() < self.failing:
            raise StoreUnavailable("Redis is away")

    async def restore(self, principal: Principal) -> list[dict[str, object]]:
        """The services' answer."""
        await self.turns()
        if not self.services:
            raise RuntimeError("the services are away")
        return []


class WorldJournal:
    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return 1

    async def open(self, owner: str, after: Position | None, *, make: bool = False) -> Opened:
        world = self._world
        await world.asked()
        top = world.top
        entries = world.journals[top.epoch]
        if after and after.epoch == top.epoch and 0 <= top.offset - after.offset < _HISTORY:
            opened = Opened(top, world.whole, "history", tuple(entries[after.offset :]))
        else:
            opened = Opened(top, world.whole, "reset" if after else "snapshot", tuple(entries[-_SNAPSHOT:]))
        world.largest = max(world.largest, sum(map(len, opened.entries)))
        await world.turns()
        return opened

    async def heads(self, owners: Iterable[str]) -> dict[str, Head]:
        world = self._world
        await world.asked()
        heads = dict.fromkeys(owners, Head(world.top, world.whole))
        await world.turns()
        return heads

    async def seed(self, owner: str, entries: object) -> None:
        await self._world.asked()
        self._world.whole = True
        await self._world.turns()


class WorldValues:
    def __init__(self, world: World) -> None:
        self._world = world

    async def get(self, names: Sequence[str]) -> dict[str, Value]:
        if not names:
            return {}
        await self._world.asked()
        found = {name: self._world.values[name] for name in names if name in self._world.values}
        await self._world.turns()
        return found

    async def put_payload(self, name: str, value: Value) -> None:
        """Nothing that was published is lost here."""


class WorldSeats:
    """There is always one free."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def hold(self, owner: str, cap: int, seats: object) -> list[str]:
        await self._world.asked()
        return []

    async def renew(self, seats: object) -> list[tuple[str, int]]:
        await self._world.asked()
        return []


class WorldChannels:
    connected, degraded = True, False

    def __init__(self, world: World) -> None:
        self._world = world
        self.hearing: dict[str, object] = {}

    def subscribe(self, channel: str, heard: object, *, after_outage: bool = False) -> None:
        self.hearing[channel] = heard

    def unsubscribe(self, channel: str) -> None:
        del self.hearing[channel]

    def node_of(self, channel: str) -> None:
        """There is one server."""

    async def wait_confirmed(self, *channels: str) -> None:
        if not self._world.confirmed:
            await self._world.asked()


class WorldClock:
    async def synchronise(self) -> None:
        """It is right."""
