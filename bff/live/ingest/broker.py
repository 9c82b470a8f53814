"""The port to an event bus: what an adapter promises so that every event reaches its place at least once, in order.

One process at a time reads a bus (see `Ingester`). An adapter keeps its place, or lets its bus keep it: what was read
and not `done` when a reader ends comes again to the next one, before anything newer of the same partition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from ...calls import BffError
from ...stores.events import BrokerEvent

LOOK = 1.0
"""Seconds between looks at whether the bus still has what is to be read, and its reader."""
TOGETHER = 256
"""Events one read takes at most of all partitions together."""
_COUNT = 100
_BYTES = 4_000_000

Lost: TypeAlias = Callable[[str], Awaitable[None]]
"""To be awaited, before the place is moved on, when a bus dropped events that nobody had read; in words, why."""


class BrokerUnavailable(BffError):
    """The bus cannot be reached, or refuses; it is tried again, with growing pauses."""

    code = "bus-unavailable"


class Broker(Protocol):
    """One event bus. Every method raises BusUnavailable or StoreUnavailable when what it needs is away."""

    @property
    def name(self) -> str:
        """Of the lease that its one reader holds, and in dead letters."""

    async def begin(self, lost: Lost) -> None:
        """From here on this process is its reader. Opens what it needs anew."""

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        """What came, by partition, each in order, a bounded number; empty when nothing came within a second or so."""

    async def done(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        """The effects of these, read last, are in place."""

    async def end(self) -> None:
        """This process reads no longer: give back what is not done, close what `begin` opened. Raises nothing."""


class Partition:
    """How many events to ask for of each partition, so that one read stays small: one at first, twice as many after a
    small read, fewer after one of more than 4 MB; at most 100, and 256 of all `partitions` together."""

    def __init__(self, partitions: int = 1) -> None:
        self._most = max(1, min(_COUNT, TOGETHER // partitions))
        self.count = 1

    def saw(self, read: Mapping[str, Sequence[BrokerEvent]]) -> None:
        """This is what that many were."""
        size = sum(len(event.body or b"") for events in read.values() for event in events)
        if size > _BYTES:
            self.count = max(1, self.count * _BYTES // size)
        elif 2 * size <= _BYTES:
            self.count = min(self._most, 2 * self.count)


def words(error: BaseException) -> str:
    """What an error says, or what it is called."""
    return str(error) or type(error).__name__
