"""The parts of a gateway, room by room: stores, calls to upstreams, live updates; and what is reported of them.

Each `make_…` makes the parts of one room from the settings and returns them as a frozen record. It opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...calls import Runner
from ...live.hub import Hub
from ...live.ingest import EventDispatcher, Ingester, Registry
from ...live.observation import LiveObserver
from ...live.outcomes import OutcomeMeter
from ...live.saga_watch import SagaWatch
from ...live.traces import LiveTraces
from ...network import Network
from ...policies.cache import Lru
from ...policies.events import Guarded
from ...stores.cache import CacheStore
from ...stores.claims import Claims
from ...stores.dead_letters import DeadLetters
from ...stores.journal import Journal
from ...stores.processes import Processes
from ...stores.redis.client import RedisClient
from ...stores.redis.health import RedisHealth
from ...stores.redis.subscriptions import Subscriptions
from ...stores.sagas import OpenSagas
from ...stores.values import Values
from ...transport.coalescing import RequestCoalescer
from ...transport.invalidations import Invalidations
from ...transport.pipeline import CallPipeline
from ...transport.resolvers import RESOLVERS
from ...transport.response_cache import ResponseCache
from ...transport.traces import CallTraces
from ..declared import Declarations
from ..internal_tokens import InternalTokens, open_tokens
from ..settings import Settings
from .background import BackgroundCalls, BackgroundTasks
from .brokers import open_brokers
from .clients import upstream_client
from .extensions import Extensions
from .identity import Identity
from .network import Connections
from .redis import redis_client


@dataclass(frozen=True, slots=True)
class Stores:
    """Redis, and the stores that several rooms use."""

    redis: RedisClient
    health: RedisHealth
    subscriptions: Subscriptions
    journal: Journal
    values: Values
    processes: Processes
    claims: Claims


@dataclass(frozen=True, slots=True)
class Calls:
    """The way of a call: cache → coalesce → pipeline.

    pipeline       makes one call
    coalescer      the reads in flight, before the pipeline
    runner         runs every call of a request: the cache, or the coalescer where nothing is cached
    invalidations  where changes are reported
    background     calls that belong to no request
    """

    internal_tokens: InternalTokens | None
    pipeline: CallPipeline
    coalescer: RequestCoalescer
    runner: Runner
    invalidations: Invalidations
    background: BackgroundCalls


@dataclass(frozen=True, slots=True)
class Live:
    """hub: the event streams; dispatcher: applies events; ingesters: read one broker each; sagas: knows how many are
    open, None where no saga is declared."""

    hub: Hub
    dispatcher: EventDispatcher
    ingesters: tuple[Ingester, ...]
    sagas: SagaWatch | None


def make_stores(
    settings: Settings, extensions: Extensions, connections: Connections, *, once_only: bool
) -> Stores:
    """once_only: some command must not be repeated, so Redis must not lose their claims."""
    redis = redis_client(settings, connections, extensions.redis_credentials)
    journal = Journal(redis, history=settings.live.history, keep=settings.live.keep)
    processes = Processes(redis)
    return Stores(
        redis,
        RedisHealth(redis, once_only=once_only),
        Subscriptions(redis),
        journal,
        Values(redis),
        processes,
        Claims(redis, journal, processes),
    )


def make_calls(
    declared: Declarations,
    settings: Settings,
    extensions: Extensions,
    stores: Stores,
    identity: Identity,
    tasks: BackgroundTasks,
    observe: Guarded,
    traces: CallTraces,
    network: Network,
) -> Calls:
    tokens = open_tokens(settings.internal, settings.public_url)
    resolvers = {**RESOLVERS, **extensions.resolvers}
    pipeline = CallPipeline(
        {
            name: upstream_client(name, upstream, observe, tokens, resolvers, network)
            for name, upstream in settings.upstreams.items()
        },
        traces,
        observe=observe,
        renew=identity.renewed,
    )
    cache = settings.cache
    store, memory = CacheStore(stores.redis, wait=cache.wait), Lru(cache.max_bytes, cache.max_entry)
    invalidations = Invalidations(stores.subscriptions, store, on_missed=memory.clear)
    coalescer = RequestCoalescer(
        pipeline,
        last_change_by=invalidations.last_change_by,
        most=cache.followers,
        observe=observe,
        traces=traces,
    )
    runner: Runner = coalescer
    if cache.max_bytes:
        runner = ResponseCache(
            coalescer,
            memory,
            invalidations,
            store,
            spawn=tasks.spawn,
            second=cache.redis,
            background=cache.aside,
            observe=observe,
            traces=traces,
        )
    background = BackgroundCalls(pipeline, identity, declared.sagas)
    return Calls(tokens, pipeline, coalescer, runner, invalidations, background)


def make_live(
    declared: Declarations,
    settings: Settings,
    extensions: Extensions,
    stores: Stores,
    identity: Identity,
    calls: Calls,
    connections: Connections,
    observer: LiveObserver,
    outcomes: OutcomeMeter | None,
    traces: LiveTraces | None,
) -> Live:
    live, background = settings.live, calls.background
    identity.streams = hub = Hub(
        stores.redis,
        stores.subscriptions,
        stores.journal,
        stores.values,
        topics=[background.topic(value) for value in declared.values.values()],
        restore=background.restore if background.restores else None,
        beat=live.beat,
        age=live.age,
        queue=live.queue,
        streams=live.streams,
        drain=live.drain,
        processes=stores.processes,
        on_session_end=identity.forget,
        is_revoked=identity.ended,
        still_open=identity.store.still_open,
        observer=observer,
        outcomes=outcomes,
        traces=traces,
    )
    sagas = OpenSagas(stores.redis)
    calls.invalidations.watch(hub.reload)
    dispatcher = EventDispatcher(
        stores.journal,
        stores.values,
        Registry(
            sagas={saga.name: saga.model for saga in declared.sagas.values()},
            values={value.kind: value.model for value in declared.values.values()},
            ignored=live.ignore_types,
        ),
        DeadLetters(stores.redis),
        invalidate=calls.invalidations.invalidate,
        traces=traces,
        sagas=sagas if declared.sagas else None,
        observer=observer,
    )
    watch = SagaWatch(sagas, declared.sagas) if declared.sagas else None
    brokers = open_brokers(settings, stores.redis, extensions.brokers, connections)
    ingesters = tuple(Ingester(stores.redis, dispatcher, broker) for broker in brokers)
    return Live(hub, dispatcher, ingesters, watch)


async def dependencies(stores: Stores, identity: Identity, calls: Calls, live: Live) -> dict[str, Any]:
    """What `/readyz` reports. It asks Redis and no other dependency."""
    clients = sorted(calls.pipeline.clients.items())
    found: dict[str, Any] = {
        "redis": await stores.health.report() | stores.redis.topology,
        "upstreams": {name: {"circuit": client.circuit} for name, client in clients},
        "journals": {"waiting": live.hub.restoring},
    }
    states = {entry.name: entry.provider.status() for entry in identity.providers or ()}
    if "" in states:
        found["provider"] = states.pop("")
    if states:
        found["providers"] = states
    if issuers := identity.verifier.key_status():
        found["issuers"] = issuers
    return found


def dead(stores: Stores, identity: Identity, live: Live) -> list[str]:
    """The parts that a bug has ended: streams would hang for ever, so the process must be replaced."""
    parts = (
        ("hub", live.hub.alive),
        ("pub/sub", stores.subscriptions.alive),
        ("revocations", identity.revocations.alive),
        ("tokens of streams", identity.token_watch is None or identity.token_watch.alive),
        *((f"ingester of {ingester.name}", ingester.alive) for ingester in live.ingesters),
    )
    return [name for name, alive in parts if not alive]
