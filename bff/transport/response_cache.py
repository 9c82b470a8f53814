"""The cache, the first step of the pipeline (RFC 9111, RFC 5861). It serves fresh responses without a request, and
stale ones while a new one is fetched or when the call fails. It revalidates stale responses by their ETag or date.

Only reads declared with `fresh` are cached, as bytes: each caller decodes its own copy. cache_storage.py decides who
may get a cached response, policies/cache.py what it may be used for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from msgspec import structs

from ..calls import Call, Deadline, Invalid, Refused, RequestContext, RequestRecord, UpstreamError
from ..policies.cache import CacheEntry, Key, Lru, entry_of, key_of, public_by, renewed
from ..policies.events import Observer, Served, guarded, ignore
from ..stores.cache import CacheStore
from .cache_storage import CacheStorage, DetachedTasks, Lookup, Spawn
from .coalescing import RequestCoalescer
from .invalidations import Invalidations
from .request import NO_CONDITIONS
from .response import decode
from .traces import NO_TRACES, CallTraces
from .wire import WireResponse

log = logging.getLogger("bff.transport")

REVALIDATION = 5.0
"""Seconds that a revalidation in the background may take."""
CLOCK_ERROR = 0.1
"""Seconds by which the estimate of Redis' clock may be wrong: a request to Redis takes at most this long."""

How = Literal["hit", "stale", "revalidated", "miss"]


class ResponseCache:
    """next        the step after this one
    memory      the cache's first level, in this process
    store       the stamps of changes in Redis and, when `second` is True, the cache's second level
    spawn       starts a task that the gateway owns
    background  revalidations at once (default 64); beyond it a stale response is served without one. A quarter of it
                is the number of writes to Redis at once; beyond that a response is not written
    clock       Unix seconds
    traces      gets an event for each answer from the cache
    """

    def __init__(
        self,
        next: RequestCoalescer,
        memory: Lru,
        invalidations: Invalidations,
        store: CacheStore,
        *,
        spawn: Spawn,
        second: bool = True,
        background: int = 64,
        clock: Callable[[], float] = time.time,
        observe: Observer = ignore,
        traces: CallTraces = NO_TRACES,
    ) -> None:
        self._next = next
        self._traces = traces
        self._background = DetachedTasks(spawn, background)
        writes = DetachedTasks(spawn, background // 4)
        self._storage = CacheStorage(memory, invalidations, store, writes, second=second, clock=clock)
        self._clock = clock
        self._observe = guarded(observe)
        self._observed = observe is not ignore
        self._revalidating: set[Key] = set()

    def run(self, call: Call[Any], request: RequestContext) -> Coroutine[Any, Any, Any]:
        """The value: cached, or as the next step gives it. Raises an UpstreamError."""
        if call.options.freshness is None or call.is_write:
            return self._next.run(call, request)
        return self._cached(call, request)

    async def _cached(self, call: Call[Any], request: RequestContext) -> Any:
        lookup = await self._storage.find(call, request, key_of(call, request.principal))
        entry = lookup.entry
        if entry is not None:
            freshness = entry.freshness(self._clock())
            if freshness in ("fresh", "revalidate"):
                try:
                    value = decode(call, _response(entry), self._observe)
                except Invalid:
                    # It was cached for another model, so it is fetched again.
                    lookup = lookup._replace(entry=None)
                else:
                    if freshness == "revalidate":
                        self._revalidate(call, request, lookup)
                    self._record_served(call, request, entry, "hit" if freshness == "fresh" else "stale")
                    return value
        return await self._fetch(call, request, lookup)

    async def _fetch(self, call: Call[Any], request: RequestContext, lookup: Lookup) -> Any:
        """Get a new response from the upstream, or its confirmation that the cached one is still valid."""
        entry = lookup.entry
        asked_at = self._clock()
        conditions = entry.conditions() if entry is not None else NO_CONDITIONS
        # A read that started before the newest change may give an older response, so it is not joined.
        after = self._storage.local_time(lookup.newest_change) + CLOCK_ERROR if lookup.newest_change else 0.0
        try:
            result = await self._next.exchange(call, request, conditions, after=after)
        except Refused as error:
            if error.status in (404, 410):
                self._storage.drop(lookup.key)
            raise
        except UpstreamError as error:
            return self._instead_of_failure(call, request, entry, error)
        response = result.response
        if entry is not None and response.status == 304:
            try:
                value = decode(call, _response(entry), self._observe)
            except Invalid:
                self._storage.drop(lookup.key)
                return await self._fetch(call, request, lookup._replace(entry=None))
            new = renewed(call, entry, response.headers, asked_at=asked_at, seen=lookup.seen)
            how: How = "revalidated"
        else:
            value = result.value
            new = None
            if response.status == 200:
                new = entry_of(call, response.headers, response.body, asked_at=asked_at, seen=lookup.seen)
            how = "miss"
        if not result.coalesced:
            # A coalesced read started before this lookup. Its leader knows when, and stores the response.
            if new is not None:
                self._storage.put(lookup, new)
            elif entry is not None:
                self._storage.drop(lookup.key)
            if self._observed:
                self._observe(Served(call.owner.service, call.name, how, 0.0))
        fresh = new.left(self._clock()) if new is not None else 0.0
        request.record.add_answer(fresh=fresh, public=call.shared and public_by(response.headers))
        return value

    def _instead_of_failure(
        self, call: Call[Any], request: RequestContext, entry: CacheEntry | None, error: UpstreamError
    ) -> Any:
        """The stale response instead of the failure, when that is allowed; otherwise the failure is raised."""
        now = self._clock()
        if entry is None or not entry.usable_on_error(now):
            raise error
        try:
            value = decode(call, _response(entry), self._observe)
        except Invalid:
            raise error from None
        request.record.add_stale(request.part, entry.age(now))
        self._record_served(call, request, entry, "stale")
        return value

    def _revalidate(self, call: Call[Any], request: RequestContext, lookup: Lookup) -> None:
        """Fetch a new response in the background while the stale one is served; one at a time for each key."""
        key = lookup.key
        if key in self._revalidating:
            return
        background = structs.replace(
            request,
            deadline=Deadline.after(REVALIDATION, request.deadline.clock),
            record=RequestRecord(changes=request.record.changes),
            part=None,
        )
        if self._background.run(
            self._revalidated(call, background, lookup),
            f"revalidate {call.name}",
            lambda: self._revalidating.discard(key),
        ):
            self._revalidating.add(key)

    async def _revalidated(self, call: Call[Any], request: RequestContext, lookup: Lookup) -> None:
        try:
            await self._fetch(call, request, lookup._replace(seen=self._storage.now()))
        except UpstreamError as error:
            log.info("%s could not be revalidated: %s", call.name, error)

    def _record_served(self, call: Call[Any], request: RequestContext, entry: CacheEntry, how: How) -> None:
        now = self._clock()
        record = request.record
        record.add_call(call.name, 0.0, how, cache=how)
        record.add_answer(fresh=entry.left(now), public=call.shared and public_by(entry.headers))
        if self._traces.current().record is not None:
            self._traces.add_event(
                "bff.cache.hit",
                {
                    "bff.service": call.owner.service,
                    "bff.call": call.name,
                    "bff.result": how,
                    "bff.age": entry.age(now),
                },
            )
        if self._observed:
            self._observe(Served(call.owner.service, call.name, how, entry.age(now)))


def _response(entry: CacheEntry) -> WireResponse:
    return WireResponse(200, entry.headers, entry.body)
