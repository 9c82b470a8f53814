"""The cache before the chain: fresh answers without a call, older ones while a new one is fetched or instead of a
failure, confirmed ones by their ETag.

Only reads declared `fresh` are kept, by bytes: each reader decodes its own copy. What may be given to whom is decided
where it lies, see kept.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from ..calls import Call, Deadline, Invalid, Ledger, Refused, Scope, UpstreamError
from ..policies.cache import Entry, Key, Lru, entry_of, key_of, public_by, renewed
from ..policies.events import Observer, Served, guarded, ignore
from ..stores.cache import CacheStore
from .answers import decode
from .cache_storage import CacheStorage, DetachedTasks, Lookup, Spawn
from .changes import Changes
from .coalesced import Coalesced
from .exchange import NO_CONDITIONS, Exchanged
from .wire import Answer

log = logging.getLogger("bff.transport")

# Seconds a fetch may take that nobody waits for.
ASIDE = 5.0
# Seconds by which Redis' clock, as reckoned here, may be wrong: a look takes this long at most.
SKEW = 0.1

How = Literal["hit", "stale", "revalidated", "miss"]


class Cached:
    """inner: runs what is not served from here; memory: this process's level; store: Redis, for what changed and (when
    `second`) for answers; spawn: starts a task the gateway owns; aside: fetches at once that nobody waits for (default
    64), beyond which an old answer is served without one, and a quarter as many writes to Redis; clock: Unix
    seconds."""

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
        self._aside = DetachedTasks(spawn, aside)
        self._kept = CacheStorage(
            memory, changes, store, DetachedTasks(spawn, aside // 4), second=second, clock=clock
        )
        self._clock = clock
        self._observe = guarded(observe)
        self._observed = observe is not ignore
        self._revalidating: set[Key] = set()

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        if call.method != "GET" or call.freshness is None:
            return await self._inner.run(call, scope)
        looked = await self._kept.look(call, scope, key_of(call, scope.principal))
        entry = looked.entry
        if entry is not None:
            standing = entry.standing(self._clock())
            if standing in ("fresh", "revalidate"):
                try:
                    value = decode(call, _answer(entry), self._observe)
                except Invalid:
                    # Another model than it was kept for; the upstream is asked what it says today.
                    looked = looked._replace(entry=None)
                else:
                    if standing == "revalidate":
                        self._revalidate(call, scope, looked)
                    self._note(call, scope, entry, "hit" if standing == "fresh" else "stale")
                    return value
        return await self._fetch(call, scope, looked)

    async def _fetch(self, call: Call[Any], scope: Scope, looked: Lookup) -> Any:
        entry = looked.entry
        asked_at = self._clock()
        try:
            exchanged = await self._exchange(call, scope, looked, entry)
        except Refused as error:
            if error.status in (404, 410):
                self._kept.drop(looked.key)
            raise
        except UpstreamError as error:
            return self._instead(call, scope, entry, error)
        if entry is not None and exchanged.answer.status == 304:
            try:
                value = decode(call, _answer(entry), self._observe)
            except Invalid:
                self._kept.drop(looked.key)
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
        self, call: Call[Any], scope: Scope, looked: Lookup, entry: Entry | None
    ) -> Exchanged:
        conditions = entry.conditions() if entry is not None else NO_CONDITIONS
        after = self._kept.moment(looked.after) + SKEW if looked.after else 0.0
        return await self._inner.exchange(call, scope, conditions, after=after)

    def _instead(self, call: Call[Any], scope: Scope, entry: Entry | None, error: UpstreamError) -> Any:
        """The old answer instead of the failure, or the failure."""
        now = self._clock()
        if entry is None or not entry.instead_of_failure(now):
            raise error
        try:
            value = decode(call, _answer(entry), self._observe)
        except Invalid:
            raise error from None
        scope.ledger.was_stale(scope.part, entry.age(now))
        self._note(call, scope, entry, "stale")
        return value

    def _keep(self, looked: Lookup, kept: Entry | None, exchanged: Exchanged) -> None:
        if exchanged.joined:
            # It began before we looked: whoever began it knows better when that was.
            return
        if kept is not None:
            self._kept.keep(looked, kept)
        elif looked.entry is not None:
            self._kept.drop(looked.key)

    # ---- beside the request ----------------------------------------------------------------------------------

    def _revalidate(self, call: Call[Any], scope: Scope, looked: Lookup) -> None:
        """Fetch a new one while the old one is served; once a key, in nobody's time."""
        if looked.key in self._revalidating:
            return
        own = Ledger(own=scope.ledger.own)
        apart = replace(scope, deadline=Deadline.after(ASIDE, scope.deadline.clock), ledger=own, part=None)
        key = looked.key
        name = f"revalidate {call.name}"
        if self._aside.run(self._again(call, apart, looked), name, lambda: self._revalidating.discard(key)):
            self._revalidating.add(key)

    async def _again(self, call: Call[Any], scope: Scope, looked: Lookup) -> None:
        try:
            await self._fetch(call, scope, looked._replace(seen=self._kept.now()))
        except UpstreamError as error:
            log.info("%s could not be fetched anew: %s", call.name, error)

    # ---- noting ----------------------------------------------------------------------------------------------

    def _note(self, call: Call[Any], scope: Scope, entry: Entry, how: How) -> None:
        now = self._clock()
        ledger = scope.ledger
        ledger.took(call.name, 0.0, how)
        ledger.saw(fresh=entry.left(now), public=call.shared and public_by(entry.headers))
        if self._observed:
            self._observe(Served(call.owner.service, call.name, how, entry.age(now)))


def _answer(entry: Entry) -> Answer:
    return Answer(200, entry.headers, entry.body)
