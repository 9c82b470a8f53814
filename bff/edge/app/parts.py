"""The parts of a gateway by room, as `build` makes them, and what the health endpoints report of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...live.hub import Hub
from ...live.ingest import EventDispatcher, Ingester
from ...stores.claims import Claims
from ...stores.journal import Journal
from ...stores.processes import Processes
from ...stores.redis.client import RedisClient
from ...stores.redis.health import RedisHealth
from ...stores.redis.subscriptions import Subscriptions
from ...stores.values import Values
from ...transport.pipeline import CallPipeline
from ..internal_tokens import InternalTokens
from .background_calls import BackgroundCalls
from .identity import Identity
from .reads import Reads


@dataclass(frozen=True, slots=True)
class Stores:
    """Redis, and what is stored there for all."""

    redis: RedisClient
    health: RedisHealth
    subscriptions: Subscriptions
    journal: Journal
    values: Values
    processes: Processes
    claims: Claims


@dataclass(frozen=True, slots=True)
class Calls:
    """pipeline: makes one call; reads: the caches before it; background: calls that belong to no request."""

    internal_tokens: InternalTokens | None
    pipeline: CallPipeline
    reads: Reads
    background: BackgroundCalls


@dataclass(frozen=True, slots=True)
class Live:
    """hub: the event streams; dispatcher: applies events; ingesters: read one broker each."""

    hub: Hub
    dispatcher: EventDispatcher
    ingesters: tuple[Ingester, ...]


class Status:
    """What the health endpoints report. draining: the gateway is stopping."""

    def __init__(self, stores: Stores, identity: Identity, calls: Calls, live: Live) -> None:
        self.draining = False
        self._stores, self._identity, self._calls, self._live = stores, identity, calls, live

    async def dependencies(self) -> dict[str, Any]:
        """What `/readyz` names. It asks Redis and no other dependency."""
        clients = sorted(self._calls.pipeline.clients.items())
        found: dict[str, Any] = {
            "redis": await self._stores.health.report() | self._stores.redis.topology,
            "upstreams": {name: {"circuit": client.circuit} for name, client in clients},
            "journals": {"waiting": self._live.hub.restoring},
        }
        if self._identity.provider is not None:
            found["provider"] = self._identity.provider.status()
        if issuers := self._identity.verifier.key_status():
            found["issuers"] = issuers
        return found

    @property
    def dead(self) -> list[str]:
        """The parts that a bug has ended: streams would hang for ever, so the process is to be replaced."""
        parts = (
            ("hub", self._live.hub.alive),
            ("pub/sub", self._stores.subscriptions.alive),
            ("revocations", self._identity.revocations.alive),
            *((f"ingester of {ingester.name}", ingester.alive) for ingester in self._live.ingesters),
        )
        return [name for name, alive in parts if not alive]
