"""What stands before the chain: cache → coalesce → chain, put together from the settings, with what keeps it true."""

from __future__ import annotations

from ...calls import Runner
from ...policies.cache import Lru
from ...policies.events import Observer, ignore
from ...stores.cache import CacheStore
from ...stores.redis.client import RedisClient
from ...stores.redis.subscriptions import Subscriptions
from ...transport.cache_storage import Spawn
from ...transport.cached import Cached
from ...transport.changes import Changes
from ...transport.coalesced import Coalesced
from ...transport.exchange import Exchange
from ..settings.cache import CacheSettings


class Reads:
    """runner: what every call of a request goes through; changes: where to say that something has changed; memory: what
    this process keeps; coalesced: reads under way."""

    def __init__(
        self,
        pipeline: Exchange,
        redis: RedisClient,
        channels: Subscriptions,
        settings: CacheSettings,
        *,
        spawn: Spawn,
        observe: Observer = ignore,
    ) -> None:
        self.store = CacheStore(redis, wait=settings.wait)
        self.changes = Changes(channels, self.store)
        self.memory = Lru(settings.max_bytes, settings.max_entry)
        self.coalesced = Coalesced(
            pipeline, changed=self.changes.last_of, most=settings.followers, observe=observe
        )
        self.runner: Runner = self.coalesced
        if settings.max_bytes:
            self.runner = Cached(
                self.coalesced,
                self.memory,
                self.changes,
                self.store,
                spawn=spawn,
                second=settings.redis,
                aside=settings.aside,
                observe=observe,
            )
