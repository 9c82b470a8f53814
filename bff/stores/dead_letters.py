"""What had to be set aside. Keys:

bff:dead      stream of events nobody could use: bus, stream, id, why, body; about 10,000; TTL 30 days
bff:replayed  stream of events of other buses that are tried again; about 10,000; TTL 30 days
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .events import FIELD, BrokerEvent, parse_entries
from .redis.client import RedisClient, store_errors

DEAD = "bff:dead"
# Where an event is put back that came by a bus one cannot write to from here: every gateway that reads events reads it.
REPLAYED = "bff:replayed"
_LENGTH = 10_000
_TTL = 30 * 86_400


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """id: its place among the dead letters; event: as it was read; why: what was wrong with it."""

    id: str
    event: BrokerEvent
    reason: str


class DeadLetters:
    """What was set aside, oldest first. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._add = redis.script("stream_add")

    async def add(self, event: BrokerEvent, why: str) -> None:
        """Set an event aside for a person to look at. At most 64 KB of its body is kept."""
        body = (event.body or b"")[:65_536]
        fields = ("bus", event.broker, "stream", event.stream, "id", event.id, "why", why[:500], "body", body)
        await self._add([DEAD], [_LENGTH, _TTL, *fields])

    async def page(self, count: int, *, after: str = "-") -> list[DeadLetter]:
        """At most `count`, beginning behind `after` (an id, or "-" for the oldest)."""
        with store_errors("dead letters"):
            start = "-" if after == "-" else f"({after}"
            rows = await self._redis.call("XRANGE", DEAD, start, "+", "COUNT", count)
        return [_dead(id, fields) for id, fields in parse_entries(rows)]

    async def replay(self, id: str) -> bool:
        """Put one back at the end of its stream, of `bff:replayed` when it came by another bus; False when there is
        none of that id.

        The stream comes first, its place here is cleared after: a crash between repeats the event, which the journal
        drops.
        """
        with store_errors("replaying a dead letter"):
            rows = parse_entries(await self._redis.call("XRANGE", DEAD, id, id))
            if not rows:
                return False
            event = _dead(*rows[0]).event
            body = event.body or b""
            if event.broker == "redis":
                await self._redis.call("XADD", event.stream, "*", FIELD, body)
            else:
                await self._add([REPLAYED], [_LENGTH, _TTL, FIELD, body])
            await self._redis.call("XDEL", DEAD, id)
        return True


def _dead(id: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    bus = fields.get(b"bus", b"redis").decode()
    event = BrokerEvent(fields[b"stream"].decode(), fields[b"id"].decode(), fields[b"body"], bus)
    return DeadLetter(id.decode(), event, fields[b"why"].decode())
