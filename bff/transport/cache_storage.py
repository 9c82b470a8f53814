"""Where kept answers lie: in this process, bounded in bytes, and in Redis for all; and which of them a reader may have.

Promises that an answer is given out only when nothing it shows is known to have changed since it was asked for, and, to
whoever changed it by a command, never one from before. Redis away or slow costs the second level, and private tagged
answers, whose readers' changes cannot be known then. What is written there is written beside the request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from ..calls import Call, Ledger, Scope
from ..policies.cache import Entry, Key, Lru
from ..stores.cache import CacheRead, CacheStore, digest, pack, unpack
from ..stores.redis.client import StoreUnavailable
from .changes import Changes

log = logging.getLogger("bff.transport")

# Seconds in which a Redis that failed or was slow is not asked again.
PAUSE = 1.0

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[Any]"]


class Lookup(NamedTuple):
    """entry: one this caller may be served; seen: the store's clock before anything was asked; after: the newest change
    (the same clock); keep: where a new answer may lie."""

    key: Key
    entry: Entry | None
    seen: int
    after: int
    keep: Literal["nowhere", "here", "everywhere"]


class DetachedTasks:
    """Work beside requests, at most `most` at a time; spawn: starts a task that the gateway owns."""

    def __init__(self, spawn: Spawn, most: int) -> None:
        self._spawn = spawn
        self._most = most
        self._running = 0

    def run(
        self, work: Coroutine[Any, Any, None], name: str, done: Callable[[], None] = lambda: None
    ) -> bool:
        """False when there is too much of it: then it is not done. done: called when it is over."""
        if self._running >= self._most:
            work.close()
            return False
        self._running += 1

        def over(task: asyncio.Task[Any]) -> None:
            self._running -= 1
            done()

        self._spawn(work, name).add_done_callback(over)
        return True


class CacheStorage:
    """memory: this process's level; store: Redis, for what changed and (when `second`) for answers; clock: Unix
    seconds."""

    def __init__(
        self,
        memory: Lru,
        changes: Changes,
        store: CacheStore,
        aside: DetachedTasks,
        *,
        second: bool,
        clock: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._changes = changes
        self._store = store
        self._aside = aside
        self._second = second
        self._clock = clock
        self._paused = 0.0
        self._offset = 0
        # Whether the offset to the store's clock was ever measured.
        self._reckoned = False
        changes.forget = memory.clear

    # ---- looking ---------------------------------------------------------------------------------------------

    async def look(self, call: Call[Any], scope: Scope, key: Key) -> Lookup:
        """What there is for this caller."""
        entry = self._memory.get(key)
        tags = call.tags
        newest = self._changes.tags.newest(tags) if tags else 0
        owner = scope.principal.id if tags and scope.principal is not None else None
        own = _own(scope.ledger, tags) if owner is not None else 0
        useful = entry is not None and entry.standing(self._clock()) in ("fresh", "revalidate")
        if entry is not None and newest is not None and _valid(entry, newest, tags) is None:
            useful = False
        if useful and newest is not None and own is None and owner is not None:
            own = await self._ask_own(scope.ledger, owner, tags)
        if not useful or newest is None or own is None:
            # The second level is asked only when the first has nothing to serve.
            name = digest(key) if self._second and not useful else None
            found = await self._ask(name, tags, owner)
            if found is None:
                self._assume_changed(tags)
                newest = self._changes.tags.newest(tags) or 0
                if tags and ((owner is not None and not call.shared) or not self._reckoned):
                    # What this caller has changed is not known, or when: a kept answer could deny it.
                    # Before the store's clock is known no stamp can be set against ours: nothing from before counts.
                    return Lookup(key, None, self.now(), newest if self._reckoned else self.now(), "nowhere")
                return Lookup(key, _valid(entry, newest, tags), self.now(), newest, "here")
            scope.ledger.own.update(found.owner_stamps)
            self._changes.tags.learn(found.tag_stamps)
            newest = max(
                self._changes.tags.newest(tags) or 0,
                *found.tag_stamps.values(),
                *found.owner_stamps.values(),
                0,
            )
            other = unpack(found.packed) if found.packed else None
            if other is not None and (entry is None or other.seen > entry.seen):
                entry = other
                if _valid(other, newest, tags) is not None:
                    self._memory.put(key, other)
            return Lookup(key, _valid(entry, newest, tags), found.read_at, newest, "everywhere")
        newest = max(newest, own)
        return Lookup(key, _valid(entry, newest, tags), self.now(), newest, "everywhere")

    async def _ask(self, name: str | None, tags: tuple[str, ...], owner: str | None) -> CacheRead | None:
        """One round trip; None while Redis does not answer in time."""
        if name is None and not tags:
            return CacheRead(None, self.now())
        if time.monotonic() < self._paused:
            return None
        asked = self.now()
        try:
            found = await self._store.read(name, tags, owner)
        except StoreUnavailable as error:
            self._pause(error)
            return None
        if not found.read_at:
            return replace(found, read_at=asked)
        self._offset = found.read_at - int(self._clock() * 1_000_000)
        self._reckoned = True
        return found

    async def _ask_own(self, ledger: Ledger, owner: str, tags: tuple[str, ...]) -> int | None:
        """The newest of this principal's own changes; None while Redis does not answer in time."""
        if time.monotonic() < self._paused:
            return None
        try:
            ledger.own.update(await self._store.owner_stamps(owner, tags))
        except StoreUnavailable as error:
            self._pause(error)
            return None
        return _own(ledger, tags)

    def _pause(self, error: StoreUnavailable) -> None:
        log.debug("the cache's second level is left alone for %g s: %s", PAUSE, error)
        self._paused = time.monotonic() + PAUSE

    def _assume_changed(self, tags: tuple[str, ...]) -> None:
        """Of a tag not known here and not to be asked about: what is kept of it may be void, what comes is not."""
        unknown = [tag for tag in tags if self._changes.tags.newest([tag]) is None]
        self._changes.tags.learn(dict.fromkeys(unknown, self.now() - 1))

    def now(self) -> int:
        """The store's clock, as far as is known here."""
        return int(self._clock() * 1_000_000) + self._offset

    def moment(self, stamp: int) -> float:
        """A moment of the store's clock on this process's, as far as is known here."""
        return (stamp - self._offset) / 1_000_000

    # ---- keeping ---------------------------------------------------------------------------------------------

    def keep(self, looked: Lookup, entry: Entry) -> None:
        """Put a new answer where it may lie."""
        if looked.keep == "nowhere":
            return
        lying = self._memory.get(looked.key)
        if lying is not None and lying.seen > entry.seen:
            # A read that began later was answered sooner: what it brought is newer.
            return
        self._memory.put(looked.key, entry)
        seconds = entry.keep - entry.age(self._clock())
        if (
            self._second
            and looked.keep == "everywhere"
            and entry.cost <= self._memory.max_entry
            and seconds > 0
        ):
            self._aside.run(self._write(digest(looked.key), entry, seconds), "cache write")

    def drop(self, key: Key) -> None:
        """Keep it no longer, here or there."""
        self._memory.discard(key)
        if self._second and time.monotonic() >= self._paused:
            self._aside.run(self._erase(digest(key)), "cache drop")

    async def _write(self, name: str, entry: Entry, seconds: float) -> None:
        try:
            await self._store.put(name, pack(entry), seconds)
        except StoreUnavailable as error:
            log.debug("an answer was not kept in Redis: %s", error)

    async def _erase(self, name: str) -> None:
        try:
            await self._store.delete(name)
        except StoreUnavailable as error:
            log.debug("an answer was not dropped from Redis: %s", error)


def _valid(entry: Entry | None, newest: int, tags: tuple[str, ...]) -> Entry | None:
    """The entry, unless what it shows has changed since before it was asked for."""
    if entry is None or (tags and newest >= entry.seen):
        return None
    return entry


def _own(ledger: Ledger, tags: tuple[str, ...]) -> int | None:
    """The newest of this request's caller's own changes; None when it was not looked up yet."""
    newest = 0
    for tag in tags:
        stamp = ledger.own.get(tag)
        if stamp is None:
            return None
        newest = max(newest, stamp)
    return newest
