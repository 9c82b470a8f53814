"""Invalidations of cached responses: those of this process, and those that other processes publish.

Guarantees that an invalidation applies in this process at once, and in other processes as soon as its message arrives.
After a time in which messages may have been missed, everything cached in this process is dropped. While Redis is away
cached responses are used until they are no longer fresh, because no invalidation can be published then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from ..calls import tag_of
from ..policies.tags import Stamps
from ..stores.cache import CHANNEL, CacheStore, unpack_change
from ..stores.keys import owner_tag
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.subscriptions import Subscriptions

log = logging.getLogger("bff.transport")


class Invalidations:
    """tags: when each tag last changed for everybody, on Redis' clock; on_missed: called when messages may have been
    missed; clock: Unix seconds."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        store: CacheStore,
        *,
        on_missed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tags = Stamps()
        self._principals = Stamps()
        self._watchers: list[Callable[[str], None]] = []
        self._on_missed = on_missed
        self._store = store
        self._clock = clock
        self._subscriptions = subscriptions

    def watch(self, on_change: Callable[[str], None]) -> None:
        """`on_change` is called with each tag that has changed for everybody, whichever process reported it, once its
        cached responses are invalid here. It must not raise."""
        self._watchers.append(on_change)

    def start(self) -> None:
        """Subscribe; does not wait for Redis."""
        self._subscriptions.subscribe(CHANNEL, self._on_message, after_outage=True)
        self._subscriptions.watch(self._on_resubscribed)

    async def ready(self, timeout: float = 1.0) -> None:
        """Return when the invalidations of other processes arrive here. Raises StoreUnavailable after `timeout`
        seconds."""
        await self._subscriptions.wait_confirmed(CHANNEL, timeout=timeout)

    def _on_resubscribed(self, channels: Collection[str]) -> None:
        if CHANNEL in channels:
            self.tags.forget()
            self._on_missed()

    def _on_message(self, channel: str, message: bytes) -> None:
        change = unpack_change(message)
        if change is None:
            log.warning("a message on %s could not be read", channel)
        elif change.tag is not None:
            self.tags.learn({change.tag: change.stamp})
            for on_change in self._watchers:
                on_change(change.tag)
        elif change.owner is not None:
            self._changed_now(change.owner)
        elif change.forgotten is not None:
            # It happens rarely, and the cache has no index of owners.
            self._on_missed()

    def last_change_by(self, principal: str) -> float:
        """The time at which this principal (its id) last changed something, as far as this process knows: Unix seconds
        of this process's clock, 0 for never."""
        return self._principals.of(owner_tag(principal)) / 1_000_000 if self._principals else 0.0

    def _changed_now(self, owner: str) -> None:
        # On this process's clock, because it is compared with the times at which reads started here.
        self._principals.learn({owner: int(self._clock() * 1_000_000)})

    async def invalidate(self, tags: Sequence[str], principal: str | None = None) -> None:
        """Invalidate cached responses with these tags. principal: an id, to invalidate only what this principal sees.
        Raises StoreUnavailable when it was not published."""
        names = [tag_of(tag) for tag in tags]
        if principal is None:
            self.tags.learn(await self._store.invalidate(names))
        elif names:
            await self._store.invalidate_for_owner(principal, names)
            self._changed_now(owner_tag(principal))

    async def invalidate_after_command(self, principal: str, tags: Sequence[str]) -> None:
        """Invalidate these tags for this principal, whose command has ended with any outcome. Never raises
        StoreUnavailable, because while Redis is away no private response with tags is served from a cache."""
        self._changed_now(owner_tag(principal))
        if tags:
            try:
                await self.invalidate(tags, principal)
            except StoreUnavailable as error:
                log.warning("the invalidation after a command could not be published: %s", error)
