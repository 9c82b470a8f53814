"""Dead letters: events that could not be used, stored for a person to look at.

Keys (after the prefix of keys.py), both about 10,000 entries, TTL 30 days after the last one:

    dead       stream of the events: broker, stream, id, reason, body
    replayed   stream of events from brokers other than Redis that are to be read again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .events import FIELD, BrokerEvent, parse_entries
from .keys import plain_name
from .redis.client import RedisClient, store_errors

DEAD = plain_name("dead")
# Replayed events of brokers that the gateway cannot write to. Every gateway that reads events reads this stream, too.
REPLAYED = plain_name("replayed")
_LENGTH = 10_000
_TTL = 30 * 86_400


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """id: in the stream of dead letters; event: as it was read; reason: what was wrong with it."""

    id: str
    event: BrokerEvent
    reason: str


class DeadLetters:
    """The dead letters, oldest first. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._add = redis.script("stream_add")

    async def add(self, event: BrokerEvent, reason: str) -> None:
        """Store an event as a dead letter, with at most 64 KB of its body."""
        body = (event.body or b"")[:65_536]
        fields = (
            "broker",
            event.broker,
            "stream",
            event.partition,
            "id",
            event.id,
            "reason",
            reason[:500],
            "body",
            body,
        )
        await self._add([DEAD], [_LENGTH, _TTL, *fields])

    async def page(self, count: int, *, after: str = "-") -> list[DeadLetter]:
        """At most `count` dead letters after `after` (an id, or "-" to begin with the oldest)."""
        with store_errors("dead letters"):
            start = "-" if after == "-" else f"({after}"
            rows = await self._redis.call("XRANGE", DEAD, start, "+", "COUNT", count)
        return [_dead(id, fields) for id, fields in parse_entries(rows)]

    async def newest(self, count: int) -> list[DeadLetter]:
        """At most `count` dead letters, the newest first."""
        with store_errors("dead letters"):
            rows = await self._redis.call("XREVRANGE", DEAD, "+", "-", "COUNT", count)
        return [_dead(id, fields) for id, fields in parse_entries(rows)]

    async def replay(self, id: str) -> bool:
        """Append one to its stream again, or to `replayed` when it came from another broker. Returns False when there
        is no dead letter with this id.

        It is deleted here after that: a crash in between repeats the event, and the journal drops the repeat.
        """
        with store_errors("replaying a dead letter"):
            rows = parse_entries(await self._redis.call("XRANGE", DEAD, id, id))
            if not rows:
                return False
            event = _dead(*rows[0]).event
            body = event.body or b""
            if event.broker == "redis":
                await self._redis.call("XADD", event.partition, "*", FIELD, body)
            else:
                await self._add([REPLAYED], [_LENGTH, _TTL, FIELD, body])
            await self._redis.call("XDEL", DEAD, id)
        return True


def _dead(id: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    broker = fields[b"broker"].decode()
    event = BrokerEvent(fields[b"stream"].decode(), fields[b"id"].decode(), fields[b"body"], broker)
    return DeadLetter(id.decode(), event, fields[b"reason"].decode())
