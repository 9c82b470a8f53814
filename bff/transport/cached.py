"""The cache before the chain: fresh answers without a call, older ones while a new one is fetched or instead of a
failure, confirmed ones by their ETag.

Only reads declared `fresh` are kept, by bytes: each reader decodes its own copy. First in this process (bounded in
bytes), then in Redis for all. Nothing void is served: neither after a change of what it shows, nor to whoever has just
changed that by a command, on any replica. Redis away or slow costs the second level, never an answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from ..calls import Call, Deadline, Invalid, Ledger, Refused, Scope, Timing, UpstreamError
from ..policies.cache import Entry, Key, Lru, entry_of, key_of, public_by, renewed
from ..policies.facts import Observer, Served, ignore
from ..stores.cache import CacheStore, Found, digest, pack, unpack
from ..stores.link import StoreUnavailable
from .answers import decode
from .changes import Changes
from .coalesced import Coalesced
from .exchange import NO_CONDITIONS, Exchanged
from .wire import Answer

log = logging.getLogger("bff.transport")

# Seconds in which a Redis that failed or was slow is not asked again.
PAUSE = 1.0
# Seconds a fetch may take that nobody waits for.
ASIDE = 5.0
# Seconds by which Redis' clock, as reckoned here, may be wrong: a look takes this long at most.
SKEW = 0.05

How = Literal["hit", "stale", "revalidated", "miss"]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[Any]"]


class _Looked(NamedTuple):
    """entry: one this caller may be served; seen: before anything was asked; after: the newest change; keep: where a
    new answer may lie."""

    key: Key
    entry: Entry | None
    seen: int
    after: int
    keep: Literal["nowhere", "here", "everywhere"]


class Cached:
    """inner: runs what is not served from here; memory: this process's level; store: Redis, for stamps and (when
    `second`) answers; spawn: starts a task the gateway owns; clock: Unix seconds; aside: of them at most at a time
    (default 64), beyond which an old answer is served without fetching a new one, and an answer is not written to
    Redis."""

    def __init__(
        self,
        inner: Coalesced,
        memory: Lru,
        changes: Changes,
        store: CacheStore,
        *,
        spawn: Spawn,
        second: bool = True,
        aside: int = 64,
        clock: Callable[[], float] = time.time,
        observe: Observer = ignore,
    ) -> None:
        self._inner = inner
        self._memory = memory
        self._changes = changes
        self._store = store
        self._second = second
        self._spawn = spawn
        self._most_aside = aside
        self._aside = 0
        self._clock = clock
        self._observe = observe
        self._observed = observe is not ignore
        self._revalidating: set[Key] = set()
        self._paused = 0.0
        self._offset = 0
        changes.forget = memory.clear

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        if call.method != "GET" or call.freshness is None:
            return await self._inner.run(call, scope)
        looked = await self._look(call, scope, key_of(call, scope.principal))
        entry = looked.entry
        if entry is not None:
            standing = entry.standing(self._clock())
            if standing in ("fresh", "revalidate"):
                try:
                    value = decode(call, _answer(entry))
                except Invalid:
                    # Another model than it was kept for; the upstream is asked what it says today.
                    looked = looked._replace(entry=None)
                else:
                    if standing == "revalidate":
                        self._revalidate(call, scope, looked)
                    self._note(call, scope, entry, "hit" if standing == "fresh" else "stale")
                    return value
        return await self._fetch(call, scope, looked)

    # ---- looking ---------------------------------------------------------------------------------------------

    async def _look(self, call: Call[Any], scope: Scope, key: Key) -> _Looked:
        entry = self._memory.get(key)
        tags = call.tags
        newest = self._changes.tags.newest(tags) if tags else 0
        owner = scope.principal.id if tags and scope.principal is not None else None
        own = _own(scope.ledger, tags) if owner is not None else 0
        useful = entry is not None and entry.standing(self._clock()) in ("fresh", "revalidate")
        if entry is not None and newest is not None and _valid(entry, newest, tags) is None:
            useful = False
        if not useful or newest is None or own is None:
            # The second level is asked only when the first has nothing to serve.
            name = digest(key) if self._second and not useful else None
            found = await self._ask(name, tags, owner)
            if found is None:
                self._changes.tags.learn(dict.fromkeys(tags, 0))
                if owner is not None and not call.shared:
                    # What this caller has changed is not known: a kept answer could deny it.
                    return _Looked(key, None, self._now(), 0, "nowhere")
                newest = self._changes.tags.newest(tags) or 0
                return _Looked(key, _valid(entry, newest, tags), self._now(), newest, "here")
            scope.ledger.own.update(found.own)
            self._changes.tags.learn(found.tags)
            newest = max(self._changes.tags.newest(tags) or 0, *found.tags.values(), *found.own.values(), 0)
            other = unpack(found.packed) if found.packed else None
            if other is not None and (entry is None or other.seen > entry.seen):
                entry = other
                if _valid(other, newest, tags) is not None:
                    self._memory.put(key, other)
            return _Looked(key, _valid(entry, newest, tags), found.seen, newest, "everywhere")
        newest = max(newest, own)
        return _Looked(key, _valid(entry, newest, tags), self._now(), newest, "everywhere")

    async def _ask(self, name: str | None, tags: tuple[str, ...], owner: str | None) -> Found | None:
        """One round trip; None while Redis does not answer in time."""
        if name is None and not tags:
            return Found(None, self._now())
        now = time.monotonic()
        if now < self._paused:
            return None
        try:
            found = await self._store.look(name, tags, owner)
        except StoreUnavailable as error:
            log.warning("the cache's second level is left alone for %g s: %s", PAUSE, error)
            self._paused = time.monotonic() + PAUSE
            return None
        self._offset = found.seen - int(self._clock() * 1_000_000)
        return found

    def _now(self) -> int:
        """The store's clock, as far as is known here."""
        return int(self._clock() * 1_000_000) + self._offset

    # ---- fetching --------------------------------------------------------------------------------------------

    async def _fetch(self, call: Call[Any], scope: Scope, looked: _Looked) -> Any:
        entry = looked.entry
        asked_at = self._clock()
        try:
            exchanged = await self._exchange(call, scope, looked, entry)
        except Refused as error:
            if error.status in (404, 410):
                self._drop(looked.key)
            raise
        except UpstreamError as error:
            return self._instead(call, scope, entry, error)
        if entry is not None and exchanged.answer.status == 304:
            try:
                value = decode(call, _answer(entry))
            except Invalid:
                self._drop(looked.key)
                return await self._fetch(call, scope, looked._replace(entry=None))
            kept = renewed(call, entry, exchanged.answer.headers, asked_at=asked_at, seen=looked.seen)
            how: How = "revalidated"
        else:
            value = exchanged.value
            kept = None
            if exchanged.answer.status == 200:
                answer = exchanged.answer
                kept = entry_of(call, answer.headers, answer.body, asked_at=asked_at, seen=looked.seen)
            how = "miss"
        self._keep(looked, kept, exchanged)
        fresh = kept.left(self._clock()) if kept is not None else 0.0
        scope.ledger.saw(fresh=fresh, public=call.shared and public_by(exchanged.answer.headers))
        if self._observed and not exchanged.joined:
            self._observe(Served(call.owner.service, call.name, how, 0.0))
        return value

    async def _exchange(
        self, call: Call[Any], scope: Scope, looked: _Looked, entry: Entry | None
    ) -> Exchanged:
        conditions = entry.conditions() if entry is not None else NO_CONDITIONS
        after = (looked.after - self._offset) / 1_000_000 + SKEW if looked.after else 0.0
        return await self._inner.exchange(call, scope, conditions, after=after)

    def _instead(self, call: Call[Any], scope: Scope, entry: Entry | None, error: UpstreamError) -> Any:
        """The old answer instead of the failure, or the failure."""
        now = self._clock()
        if entry is None or not entry.instead_of_failure(now):
            raise error
        try:
            value = decode(call, _answer(entry))
        except Invalid:
            raise error from None
        scope.ledger.was_stale(scope.part, entry.age(now))
        self._note(call, scope, entry, "stale")
        return value

    def _keep(self, looked: _Looked, kept: Entry | None, exchanged: Exchanged) -> None:
        if looked.keep == "nowhere":
            return
        if kept is None:
            if looked.entry is not None:
                self._drop(looked.key)
            return
        lying = self._memory.get(looked.key)
        if lying is not None and lying.seen > kept.seen:
            # A read that began later was answered sooner: what it brought is newer.
            return
        self._memory.put(looked.key, kept)
        if self._second and looked.keep == "everywhere" and not exchanged.joined:
            seconds = kept.keep - kept.age(self._clock())
            if kept.cost <= self._memory.max_entry and seconds > 0:
                self._apart(self._write(digest(looked.key), kept, seconds), "cache write")

    async def _write(self, name: str, entry: Entry, seconds: float) -> None:
        try:
            await self._store.put(name, pack(entry), seconds)
        except StoreUnavailable as error:
            log.debug("an answer was not kept in Redis: %s", error)

    def _drop(self, key: Key) -> None:
        self._memory.discard(key)
        if self._second and time.monotonic() >= self._paused:
            self._apart(self._erase(digest(key)), "cache drop")

    async def _erase(self, name: str) -> None:
        try:
            await self._store.drop(name)
        except StoreUnavailable as error:
            log.debug("an answer was not dropped from Redis: %s", error)

    # ---- beside the request ----------------------------------------------------------------------------------

    def _revalidate(self, call: Call[Any], scope: Scope, looked: _Looked) -> None:
        """Fetch a new one while the old one is served; once a key, in nobody's time."""
        if looked.key in self._revalidating:
            return
        own = Ledger(own=scope.ledger.own)
        apart = replace(scope, deadline=Deadline.after(ASIDE, scope.deadline.clock), ledger=own, part=None)
        key = looked.key
        if self._apart(self._again(call, apart, looked), f"revalidate {call.name}", key):
            self._revalidating.add(key)

    async def _again(self, call: Call[Any], scope: Scope, looked: _Looked) -> None:
        try:
            await self._fetch(call, scope, looked._replace(seen=self._now()))
        except UpstreamError as error:
            log.info("%s could not be fetched anew: %s", call.name, error)

    def _apart(self, work: Coroutine[Any, Any, None], name: str, key: Key | None = None) -> bool:
        if self._aside >= self._most_aside:
            work.close()
            return False
        self._aside += 1

        def landed(task: asyncio.Task[Any]) -> None:
            self._aside -= 1
            if key is not None:
                self._revalidating.discard(key)

        self._spawn(work, name).add_done_callback(landed)
        return True

    # ---- noting ----------------------------------------------------------------------------------------------

    def _note(self, call: Call[Any], scope: Scope, entry: Entry, how: How) -> None:
        now = self._clock()
        ledger = scope.ledger
        ledger.timings.append(Timing(call.name, 0.0, how))
        ledger.saw(fresh=entry.left(now), public=call.shared and public_by(entry.headers))
        if self._observed:
            self._observe(Served(call.owner.service, call.name, how, entry.age(now)))


def _answer(entry: Entry) -> Answer:
    return Answer(200, entry.headers, entry.body)


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
