"""A service's facts for the gateway: structured CloudEvents 1.0 on Redis Streams, as the gateway's contract has them.

Guarantees that events of one partition key stay in one stream in the order they were published. Refuses to retry (the
outbox does), and waits at most a few seconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from redis.exceptions import RedisError

from bff_service.outbox import DeliveryFailed, Message
from bff_service.redis import redis_client
from bff_service.tracing import produced

PARTITIONS = 16
MAX_EVENTS = 100_000
_FORMAT = JSONFormat()


def rfc3339(at: datetime) -> str:
    """Milliseconds in UTC, as events and answers show times; a time without a zone is one in UTC."""
    at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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

    def message(self) -> Message:
        """The event for an outbox."""
        return Message(self.id, self.partition_key, self.json())


@dataclass(frozen=True, slots=True)
class EventSource:
    """Makes the events of one service: `EventSource("orders", domain="shop").saga_status("order", …)`."""

    service: str
    domain: str

    def saga_status(
        self,
        saga: str,
        id: str,
        *,
        version: int,
        owner: str,
        status: str,
        step: str | None = None,
        attempt: int = 1,
        reason: str | None = None,
        mutation: str | None = None,
        mutations: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Event:
        """Where a saga is. `version` counts its events from 1; `owner` is `<iss>|<sub>`; `status` one of PENDING,
        RUNNING, COMPENSATING, COMPLETED, COMPENSATED, REJECTED and NEEDS_ATTENTION. `mutations` are the later
        commands that this status contains, for example a cancellation (at most 32)."""
        at = at or datetime.now(UTC)
        told: dict[str, Any] = {"status": status, "step": step, "attempt": attempt}
        told |= {"reason": reason, "owner": owner, "mutation": mutation}
        told |= {"mutations": list(mutations)}
        told |= {"at": rfc3339(at), "data": dict(data or {})}
        kind = f"{self.domain}.{saga}.status"
        return self._event(kind, id, version, owner, told, at, traceparent)

    def value(
        self,
        name: str,
        key: str,
        *,
        version: int,
        data: Mapping[str, Any],
        mutation: str | None = None,
        at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Event:
        """The value `<name>/<key>` as it is now; `version` counts its changes from 1. `mutation` is the command that
        made this version (`BFF-Mutation`), so that the page that sent the command recognises its own change."""
        at = at or datetime.now(UTC)
        told = {"version": version, "at": rfc3339(at), "data": dict(data)}
        told |= {"mutations": [mutation] if mutation else []}
        kind = f"{self.domain}.{name}.value"
        return self._event(kind, key, version, key, told, at, traceparent)

    def _event(
        self,
        kind: str,
        subject: str,
        version: int,
        partition_key: str,
        told: dict[str, Any],
        at: datetime,
        traceparent: str | None,
    ) -> Event:
        about = {
            "messaging.operation.type": "create",
            "messaging.operation.name": "create",
            "messaging.destination.name": f"events:{self.service}",
            "cloudevents.event_type": kind,
            "cloudevents.event_id": f"{subject}:{version}",
        }
        own = produced(f"create events:{self.service}", about, traceparent)
        return Event(kind, f"/services/{self.service}", subject, version, partition_key, told, at, own)


def stream_of(service: str, partition_key: str) -> str:
    """The stream for a key: `events:<service>:<crc32 of the key modulo 16>`."""
    return f"events:{service}:{zlib.crc32(partition_key.encode()) % PARTITIONS}"


class StreamPublisher:
    """Appends to a service's streams, each trimmed to about 100,000 events; the delivery of an outbox."""

    def __init__(self, redis_url: str, service: str) -> None:
        self._service = service
        self._redis = redis_client(redis_url)

    async def deliver(self, message: Message) -> None:
        """Append the event; `DeliveryFailed` when Redis does not take it in time."""
        stream = stream_of(self._service, message.key)
        try:
            await self._redis.xadd(stream, {"event": message.body}, maxlen=MAX_EVENTS, approximate=True)
        except (RedisError, OSError, TimeoutError) as error:
            raise DeliveryFailed(repr(error)) from error

    async def ping(self) -> None:
        """Raise unless Redis answers."""
        if not await self._redis.ping():
            raise RedisError("no answer to PING")

    async def close(self) -> None:
        await self._redis.aclose()
