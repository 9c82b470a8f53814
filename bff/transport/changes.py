"""What this process knows of changes that make kept answers void: its own, and those other processes tell of.

Promises that a change told to this object holds here at once and elsewhere as soon as the message is there; after a
time in which it could not hear of any, everything kept in this process is dropped, because what was told meanwhile is
gone. While Redis is away kept answers live on until they are no longer fresh: nobody can tell of a change then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from ..calls import tag_of
from ..policies.tags import Stamps
from ..stores.cache import CHANNEL, CacheStore, unpack_change
from ..stores.journal import owner_tag
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.subscriptions import Subscriptions

log = logging.getLogger("bff.transport")


class Changes:
    """tags: stamps for everybody, on Redis' clock; forget: called when everything kept here must go; clock: Unix
    seconds."""

    def __init__(
        self, channels: Subscriptions, store: CacheStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.tags = Stamps()
        self._owners = Stamps()
        self.forget: Callable[[], None] = lambda: None
        self._store = store
        self._clock = clock
        self._channels = channels

    def start(self) -> None:
        """Begin to listen; does not wait for Redis."""
        self._channels.subscribe(CHANNEL, self._heard, after_outage=True)
        self._channels.watch(self._again)

    async def listening(self, timeout: float = 1.0) -> None:
        """Return once others' changes are heard; StoreUnavailable after `timeout` seconds."""
        await self._channels.wait_confirmed(CHANNEL, timeout=timeout)

    def _again(self, channels: Collection[str]) -> None:
        if CHANNEL in channels:
            self.tags.forget()
            self.forget()

    def _heard(self, channel: str, message: bytes) -> None:
        change = unpack_change(message)
        if change is None:
            log.warning("a message on %s could not be read", channel)
        elif change.tag is not None:
            self.tags.learn({change.tag: change.stamp})
        elif change.owner is not None:
            self._changed_now(change.owner)

    # ---- telling ---------------------------------------------------------------------------------------------

    def last_of(self, principal: str) -> float:
        """When this principal (its id) last changed something, as far as is known here: Unix seconds of this
        process's clock, 0 for never."""
        return self._owners.of(owner_tag(principal)) / 1_000_000 if self._owners else 0.0

    def _changed_now(self, owner: str) -> None:
        # By our own clock: it is compared with when reads began here.
        self._owners.learn({owner: int(self._clock() * 1_000_000)})

    async def changed(self, tags: Sequence[str], owner: str | None = None) -> None:
        """What these tags stand for has changed; owner: only what this principal (its id) sees of it. Raises
        StoreUnavailable: then nothing was told."""
        named = [tag_of(tag) for tag in tags]
        if owner is None:
            self.tags.learn(await self._store.invalidate(named))
        elif named:
            await self._store.invalidate_for_owner(owner, named)
            self._changed_now(owner_tag(owner))

    async def changed_by(self, owner: str, tags: Sequence[str]) -> None:
        """A command of this principal is over, whatever came of it. Never raises StoreUnavailable: while Redis is away
        no private tagged answer is served from a cache anyway."""
        self._changed_now(owner_tag(owner))
        if tags:
            try:
                await self.changed(tags, owner)
            except StoreUnavailable as error:
                log.warning("a command's changes could not be told: %s", error)
