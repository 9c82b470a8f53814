"""The port to an event bus: what an adapter promises so that every event reaches its place at least once, in order.

One process at a time reads a bus (see `Ingester`). An adapter keeps its place, or lets its bus keep it: what was read
and not `done` when a reader ends comes again to the next one, before anything newer of the same partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ...calls import BffError
from ...stores.events import BusEvent


class BusUnavailable(BffError):
    """The bus cannot be reached, or refuses; it is tried again, with growing pauses."""

    code = "bus-unavailable"


class Bus(Protocol):
    """One event bus. Every method raises BusUnavailable or StoreUnavailable when what it needs is away."""

    @property
    def name(self) -> str:
        """Of the lease that its one reader holds, and in dead letters."""

    async def begin(self) -> None:
        """From here on this process is its reader. Opens what it needs anew."""

    async def read(self) -> Mapping[str, Sequence[BusEvent]]:
        """What came, by partition, each in order, a bounded number; empty when nothing came within a second or so."""

    async def done(self, partition: str, events: Sequence[BusEvent]) -> None:
        """The effects of these, read last, are in place."""

    async def end(self) -> None:
        """This process reads no longer: give back what is not done, close what `begin` opened. Raises nothing."""
