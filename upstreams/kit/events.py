"""Events to the bus: structured CloudEvents 1.0 on Redis Streams. Promises that events of one partition key stay in
one stream in the order they were published; refuses to retry (the outbox does) and waits at most a second."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from redis.exceptions import RedisError

from upstreams.kit.bus import redis_client

PARTITIONS = 16
MAX_EVENTS = 100_000
_FORMAT = JSONFormat()


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `sequence` counts per subject from 1; `partition_key` decides the stream."""

    type: str
    source: str
    subject: str
    sequence: int
    partition_key: str
    data: Mapping[str, Any]
    at: datetime
    traceparent: str | None = None

    @property
    def id(self) -> str:
        return f"{self.subject}:{self.sequence}"

    def json(self) -> bytes:
        """The CloudEvent in structured JSON."""
        attributes: dict[str, Any] = {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.at.astimezone(UTC),
            "datacontenttype": "application/json",
            "sequence": str(self.sequence),
        }
        if self.traceparent:
            attributes["traceparent"] = self.traceparent
        return _FORMAT.write(CloudEvent(attributes, dict(self.data)))


def stream_of(service: str, partition_key: str) -> str:
    """The stream for a key: `events:<service>:<crc32 of the key modulo 16>`."""
    return f"events:{service}:{zlib.crc32(partition_key.encode()) % PARTITIONS}"


class Publisher:
    """Appends to a service's streams, each trimmed to about 100,000 events."""

    def __init__(self, redis_url: str, service: str) -> None:
        self._service = service
        self._redis = redis_client(redis_url)

    async def publish(self, event: Event) -> None:
        """Append the event; `redis.exceptions.RedisError` or `OSError` when Redis does not take it within 1 s."""
        await self.append(event.partition_key, event.json())

    async def append(self, partition_key: str, body: bytes) -> None:
        """Append an event that was written before."""
        await self._redis.xadd(
            stream_of(self._service, partition_key), {"event": body}, maxlen=MAX_EVENTS, approximate=True
        )

    async def ping(self) -> None:
        """Raise unless Redis answers."""
        if not await self._redis.ping():
            raise RedisError("no answer to PING")

    async def close(self) -> None:
        await self._redis.aclose()
