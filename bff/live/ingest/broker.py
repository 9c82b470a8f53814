"""The port to an event broker: the guarantees of an adapter, so that every event arrives at least once and in order.

One process at a time reads a broker (see `Ingester`). An adapter stores its position, or its broker does: events that
were read and not acknowledged when a reader closes are read again by the next reader, before newer events of the same
partition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ...calls import BffError
from ...network import Network
from ...stores.events import BrokerEvent
from ...stores.redis.client import RedisClient

CHECK_INTERVAL = 1.0
"""Seconds between two checks that the broker still has the unread events and the consumer."""
MAX_BATCH = 256
"""Events that one read returns at most, all partitions together."""
_COUNT = 100
_BYTES = 4_000_000

OnLoss: TypeAlias = Callable[[str], Awaitable[None]]
"""To be awaited when the broker has dropped unread events, before the position is advanced. Its argument is the reason
in a few words."""


class BrokerUnavailable(BffError):
    """The broker cannot be reached, or refuses. The gateway tries again, with growing pauses of up to 2 s."""

    code = "broker-unavailable"


class Broker(Protocol):
    """A source of events. Pass a broker object to `Gateway(brokers=…)`, or register a factory under the entry-point
    group `bff.brokers` (see `BrokerFactory`).

    One process of all gateways reads a broker at a time; the gateway elects it by a lease in Redis. In that process the
    methods are called one after the other: `open`, then `read` and `ack` in turn, then `close`. `ack` may be called for
    several partitions at once. Every method except `close` may raise `BrokerUnavailable`; the gateway then closes the
    broker and opens it again after a pause. Any other exception is a bug of the adapter: it is logged, and `/livez`
    reports the process as dead.

    `BrokerEvent.at` tells when the broker took an event, where it knows that: the metric of the oldest unread event
    begins with it, otherwise with the moment of the read.

    Delivery is at least once: an event may be read again after a crash, and the gateway drops the repeat. The format of
    events is in docs/events.md.
    """

    @property
    def name(self) -> str:
        """Unique among the gateway's brokers. The reader's lease in Redis, log lines and dead letters contain it."""

    async def open(self, on_loss: OnLoss) -> None:
        """Connect. From now on this process is the reader: continue after the last acknowledged event."""

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        """The next events by partition, in the order of each partition: at most about 256 in all. Return an empty
        mapping when none arrived within about a second."""

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        """The effects of these events, all of the last read of this partition, are stored: do not read them again."""

    async def close(self) -> None:
        """Stop reading: return events that were not acknowledged, and close everything that `open` opened. Must not
        raise."""


class PositionStore(Protocol):
    """Stores positions in the gateway's Redis, for brokers that do not store how far they were read. Both methods raise
    an exception of the gateway while Redis is away, which an adapter must not catch."""

    async def load(self, partitions: Sequence[str]) -> dict[str, str | None]:
        """The saved position of each partition; None for a partition without one."""

    async def save(self, partition: str, position: str) -> None:
        """Save a partition's position. It is stored for 30 days after it was last saved."""


@dataclass(frozen=True, slots=True)
class BrokerContext:
    """The arguments of a broker factory besides its settings.

    positions  stores positions, for brokers that do not store them
    redis      the gateway's Redis client, for the adapters that are part of bff; its type may change at any time
    network    trusted certificates and the proxy, for the adapters that are part of bff; its type may change at any
               time
    """

    positions: PositionStore
    redis: RedisClient
    network: Network = field(default_factory=Network)


class BrokerFactory(Protocol):
    """Makes a broker from its section of the settings, `BFF_LIVE__BROKERS__<NAME>__…`. Register one as an entry point
    of the group `bff.brokers`, with the section's name in lower case.

    section  the keys in lower case; values are of JSON's types: text, numbers, booleans, lists
    context  what the gateway provides

    It must not connect; `Broker.open` does. It raises ValueError, or pydantic's ValidationError, for a wrong section;
    the start then fails with a message that names the settings.
    """

    def __call__(self, section: Mapping[str, object], context: BrokerContext, /) -> Broker: ...


class BatchSize:
    """The number of events to request from each partition, so that one read stays small: 1 at first, twice as many
    after a small read, fewer after a read of more than 4 MB; at most 100, and 256 from all `partitions` together."""

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


Address: TypeAlias = str | Callable[[], str]
"""The address of a broker, or a function that reads it, for one whose password may change."""


def current_url(address: Address) -> str:
    """The address as it is now."""
    return address if isinstance(address, str) else address()
