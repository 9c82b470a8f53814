"""The port to an event broker: what an adapter guarantees so that every event arrives at least once and in order.

One process at a time reads a broker (see `Ingester`). An adapter stores its position, or lets its broker store it:
events that were read and not acknowledged when a reader closes are read again by the next reader, before anything newer
of the same partition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ...calls import BffError
from ...stores.events import BrokerEvent
from ...stores.redis.client import RedisClient

CHECK_INTERVAL = 1.0
"""Seconds between two checks that the broker still has the events that are to be read, and its consumer."""
MAX_BATCH = 256
"""Events that one read returns at most, all partitions together."""
_COUNT = 100
_BYTES = 4_000_000

OnLoss: TypeAlias = Callable[[str], Awaitable[None]]
"""Await it, before the position is moved on, when the broker dropped events that nobody had read. Its argument is the
reason in a few words."""


class BrokerUnavailable(BffError):
    """The broker cannot be reached, or it refuses. The gateway tries again, with growing pauses of up to 2 s."""

    code = "broker-unavailable"


class Broker(Protocol):
    """A source of events: hand made ones to `Gateway(brokers=…)`, or register a factory under the entry-point group
    `bff.brokers` (see `BrokerFactory`).

    One process of all gateways reads a broker at a time; the gateway elects it by a lease in Redis. In that process the
    methods are called one after the other: `open`, then `read` and `ack` in turn, then `close`. `ack` may be called for
    several partitions at once. Every method but `close` may raise `BrokerUnavailable`; the gateway then closes the
    broker and opens it again after a pause. Any other exception is a bug of the adapter: it is logged and the process
    reports itself as dead on `/livez`.

    Delivery is at least once: an event may be read again after a crash, and the gateway drops the repeat. What the
    events must say is in docs/contract.md, "Events".
    """

    @property
    def name(self) -> str:
        """Unique among the gateway's brokers: names the reader's lease in Redis, log lines and dead letters."""

    async def open(self, on_loss: OnLoss) -> None:
        """Connect. From now on this process is the reader: go on after the last acknowledged event."""

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        """The next events by partition, each partition in its order: at most some 256 in all. Return an empty mapping
        when none came within a second or so."""

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        """The effects of these events, all of the last read of this partition, are stored: do not read them again."""

    async def close(self) -> None:
        """Stop reading: give back events that were not acknowledged, and close what `open` opened. Must not raise."""


class PositionStore(Protocol):
    """Stores in the gateway's Redis how far a broker has been read, for brokers that do not store it themselves. Both
    methods raise an exception of the gateway's own while Redis is away: an adapter lets it through."""

    async def load(self, partitions: Sequence[str]) -> dict[str, str | None]:
        """The position that was saved last for each partition; None for a partition without one."""

    async def save(self, partition: str, position: str) -> None:
        """Save a partition's position. It is kept for 30 days after it was saved last."""


@dataclass(frozen=True, slots=True)
class BrokerContext:
    """What a broker factory gets beside its settings.

    positions  where the broker may store how far it has been read
    redis      the gateway's own Redis client, for the adapters that are part of bff; its type may change at any time
    """

    positions: PositionStore
    redis: RedisClient


class BrokerFactory(Protocol):
    """Makes a broker from its section of the settings, `BFF_LIVE__BROKERS__<NAME>__…`. Register one as an entry point
    of the group `bff.brokers`, with the section's name in lower case.

    section  the keys in lower case; values are what JSON has: text, numbers, booleans, lists
    context  what the gateway provides

    It must not connect: `Broker.open` does. It raises ValueError, or pydantic's ValidationError, for what is wrong with
    the section; the start then fails with a message that names the settings.
    """

    def __call__(self, section: Mapping[str, object], context: BrokerContext, /) -> Broker: ...


class BatchSize:
    """How many events to ask of each partition, so that one read stays small: 1 at first, twice as many after a small
    read, fewer after a read of more than 4 MB; at most 100, and 256 of all `partitions` together."""

    def __init__(self, partitions: int = 1) -> None:
        self._max = max(1, min(_COUNT, MAX_BATCH // partitions))
        self.count = 1

    def record(self, read: Mapping[str, Sequence[BrokerEvent]]) -> None:
        """Adapt to what the last read returned."""
        size = sum(len(event.body or b"") for events in read.values() for event in events)
        if size > _BYTES:
            self.count = max(1, self.count * _BYTES // size)
        elif 2 * size <= _BYTES:
            self.count = min(self._max, 2 * self.count)


def error_text(error: BaseException) -> str:
    """The error's message, or the name of its class where the message is empty."""
    return str(error) or type(error).__name__
