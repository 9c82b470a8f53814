"""Stores cached responses in this process (bounded in bytes) and in Redis for all gateways, and decides which of them a
caller may get.

Guarantees that a response is served only when none of its tags is known to have changed since the response was
requested, and that a user who changed a tag by a command never gets an older response. While Redis is away or slow, the
second level is not used, and private responses with tags are not served, because it is unknown what their users have
changed. Writes to Redis are tasks of their own, for which no request waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from ..calls import Call, RequestContext, RequestRecord
from ..policies.cache import CacheEntry, Key, Lru
from ..stores.cache import CacheRead, CacheStore, digest, pack, unpack
from ..stores.redis.client import StoreUnavailable
from .invalidations import Invalidations

log = logging.getLogger("bff.transport")

PAUSE = 1.0
"""Seconds for which the second level is not used after Redis failed or was slow."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[Any]"]


class Lookup(NamedTuple):
    """entry: the cached response that this caller may get; seen: Redis' clock before the request, microseconds;
    newest_change: of its tags, on the same clock, 0 for none; store_in: where a new response may be stored."""

    key: Key
    entry: CacheEntry | None
    seen: int
    newest_change: int
    store_in: Literal["nothing", "memory", "both"]


class DetachedTasks:
    """Runs work that no request waits for. spawn: starts a task that the gateway owns; most: tasks at once."""

    def __init__(self, spawn: Spawn, most: int) -> None:
        self._spawn = spawn
        self._most = most
        self._running = 0

    def run(
        self, work: Coroutine[Any, Any, None], name: str, on_done: Callable[[], None] = lambda: None
    ) -> bool:
        """Start the work. Returns False when `most` tasks run already; the work is then not done. on_done: called when
        it has ended."""
        if self._running >= self._most:
            work.close()
            return False
        self._running += 1

        def ended(task: asyncio.Task[Any]) -> None:
            self._running -= 1
            on_done()

        self._spawn(work, name).add_done_callback(ended)
        return True


class CacheStorage:
    """memory: the first level, in this process; store: the stamps of changes in Redis and, when `second` is True, the
    second level; writes: the tasks that write to Redis; clock: Unix seconds."""

    def __init__(
        self,
        memory: Lru,
        invalidations: Invalidations,
        store: CacheStore,
        writes: DetachedTasks,
        *,
        second: bool,
        clock: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._invalidations = invalidations
        self._tags = invalidations.tags
        self._store = store
        self._writes = writes
        self._second = second
        self._clock = clock
        self._paused_until = 0.0
        # Redis' clock less this process's, in microseconds, and whether it was ever measured.
        self._offset = 0
        self._offset_known = False

    # ---- find ------------------------------------------------------------------------------------------------

    async def find(self, call: Call[Any], request: RequestContext, key: Key) -> Lookup:
        """Find a cached response for this caller. Needs one round trip to Redis when this process lacks an entry or a
        stamp, otherwise none."""
        entry = self._memory.get(key)
        tags = call.tags
        newest = self._tags.newest(tags) if tags else 0
        principal = request.principal.id if tags and request.principal is not None else None
        own_newest = _own_changes(request.record, tags) if principal is not None else 0
        usable = entry is not None and entry.freshness(self._clock()) in ("fresh", "revalidate")
        if entry is not None and newest is not None and _valid(entry, newest, tags) is None:
            usable = False
        if usable and newest is not None and own_newest is None and principal is not None:
            own_newest = await self._ask_own_changes(request.record, principal, tags)
        if usable and newest is not None and own_newest is not None:
            newest = max(newest, own_newest)
            return Lookup(key, _valid(entry, newest, tags), self.now(), newest, "both")
        # The second level is asked only when the first has nothing to serve.
        name = digest(key) if self._second and not usable else None
        found = await self._ask(name, tags, principal)
        if found is None:
            self._assume_changed(tags)
            newest = self._tags.newest(tags) or 0
            if tags and ((principal is not None and not call.shared) or not self._offset_known):
                # It is unknown what this user has changed, and when. A cached response or a read in progress may be
                # older than the change. And until Redis' clock is known, stamps cannot be compared with this process's
                # clock. So nothing older is used.
                now = self.now()
                return Lookup(key, None, now, now, "nothing")
            return Lookup(key, _valid(entry, newest, tags), self.now(), newest, "memory")
        request.record.changes.update(found.owner_stamps)
        self._tags.learn(found.tag_stamps)
        newest = max(
            self._tags.newest(tags) or 0, *found.tag_stamps.values(), *found.owner_stamps.values(), 0
        )
        second = unpack(found.packed) if found.packed else None
        if second is not None and (entry is None or second.seen > entry.seen):
            entry = second
            if _valid(second, newest, tags) is not None:
                self._memory.put(key, second)
        return Lookup(key, _valid(entry, newest, tags), found.read_at, newest, "both")

    async def _ask(self, name: str | None, tags: tuple[str, ...], principal: str | None) -> CacheRead | None:
        """Read from Redis, in one round trip; None while Redis does not answer in time."""
        if name is None and not tags:
            return CacheRead(None, self.now())
        if time.monotonic() < self._paused_until:
            return None
        asked_at = self.now()
        try:
            found = await self._store.read(name, tags, principal)
        except StoreUnavailable as error:
            self._pause(error)
            return None
        if not found.read_at:
            return replace(found, read_at=asked_at)
        self._offset = found.read_at - int(self._clock() * 1_000_000)
        self._offset_known = True
        return found

    async def _ask_own_changes(
        self, record: RequestRecord, principal: str, tags: tuple[str, ...]
    ) -> int | None:
        """The stamp of this principal's newest change; None while Redis does not answer in time."""
        if time.monotonic() < self._paused_until:
            return None
        try:
            record.changes.update(await self._store.owner_stamps(principal, tags))
        except StoreUnavailable as error:
            self._pause(error)
            return None
        return _own_changes(record, tags)

    def _pause(self, error: StoreUnavailable) -> None:
        log.debug("the cache's second level is not used for %g s: %s", PAUSE, error)
        self._paused_until = time.monotonic() + PAUSE

    def _assume_changed(self, tags: tuple[str, ...]) -> None:
        """Count tags with unknown changes as changed now, while Redis cannot be asked. So responses cached earlier are
        not used, and new ones are."""
        unknown = [tag for tag in tags if self._tags.newest([tag]) is None]
        self._tags.learn(dict.fromkeys(unknown, self.now() - 1))

    def now(self) -> int:
        """The estimated time of Redis' clock, in microseconds."""
        return int(self._clock() * 1_000_000) + self._offset

    def local_time(self, stamp: int) -> float:
        """A time of Redis' clock (microseconds) as the estimated time of this process's clock (seconds)."""
        return (stamp - self._offset) / 1_000_000

    # ---- store -----------------------------------------------------------------------------------------------

    def put(self, lookup: Lookup, entry: CacheEntry) -> None:
        """Store a new response where the lookup allows it."""
        if lookup.store_in == "nothing":
            return
        stored = self._memory.get(lookup.key)
        if stored is not None and stored.seen > entry.seen:
            # The stored response was requested later, although it arrived earlier.
            return
        self._memory.put(lookup.key, entry)
        seconds = entry.keep - entry.age(self._clock())
        if (
            self._second
            and lookup.store_in == "both"
            and entry.cost <= self._memory.max_entry
            and seconds > 0
        ):
            self._writes.run(self._write(digest(lookup.key), entry, seconds), "cache write")

    def drop(self, key: Key) -> None:
        """Remove the entry of this key from both levels."""
        self._memory.discard(key)
        if self._second and time.monotonic() >= self._paused_until:
            self._writes.run(self._erase(digest(key)), "cache drop")

    async def _write(self, name: str, entry: CacheEntry, seconds: float) -> None:
        try:
            await self._store.put(name, pack(entry), seconds)
        except StoreUnavailable as error:
            log.debug("a response was not stored in Redis: %s", error)

    async def _erase(self, name: str) -> None:
        try:
            await self._store.delete(name)
        except StoreUnavailable as error:
            log.debug("a response was not removed from Redis: %s", error)


def _valid(entry: CacheEntry | None, newest_change: int, tags: tuple[str, ...]) -> CacheEntry | None:
    """The entry; None when one of its tags has changed since it was requested."""
    if entry is None or (tags and newest_change >= entry.seen):
        return None
    return entry


def _own_changes(record: RequestRecord, tags: tuple[str, ...]) -> int | None:
    """The stamp of the newest change of these tags by this request's user; None when one was not looked up yet."""
    newest = 0
    for tag in tags:
        stamp = record.changes.get(tag)
        if stamp is None:
            return None
        newest = max(newest, stamp)
    return newest
