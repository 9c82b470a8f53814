"""The steps that stand before the call pipeline, made from the settings: cache → coalesce → pipeline."""

from __future__ import annotations

from ...calls import Runner
from ...policies.cache import Lru
from ...policies.events import Observer, ignore
from ...stores.cache import CacheStore
from ...stores.redis.client import RedisClient
from ...stores.redis.subscriptions import Subscriptions
from ...transport.cache_storage import Spawn
from ...transport.coalescing import CallStage, RequestCoalescer
from ...transport.invalidations import Invalidations
from ...transport.response_cache import ResponseCache
from ..settings.gateway import CacheSettings


class Reads:
    """runner: what every call of a request goes through; invalidations: where changes are reported; memory: what this
    process caches; coalescer: reads in flight."""

    def __init__(
        self,
        pipeline: CallStage,
        redis: RedisClient,
        subscriptions: Subscriptions,
        settings: CacheSettings,
        *,
        spawn: Spawn,
        observe: Observer = ignore,
    ) -> None:
        self.store = CacheStore(redis, wait=settings.wait)
        self.memory = Lru(settings.max_bytes, settings.max_entry)
        self.invalidations = Invalidations(subscriptions, self.store, on_missed=self.memory.clear)
        self.coalescer = RequestCoalescer(
            pipeline,
            last_change_by=self.invalidations.last_change_by,
            most=settings.followers,
            observe=observe,
        )
        self.runner: Runner = self.coalescer
        if settings.max_bytes:
            self.runner = ResponseCache(
                self.coalescer,
                self.memory,
                self.invalidations,
                self.store,
                spawn=spawn,
                second=settings.redis,
                background=settings.aside,
                observe=observe,
            )
