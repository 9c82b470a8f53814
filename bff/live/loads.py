"""Loads values from their services: those that have not been published yet, and those whose data has changed.

Guarantees one load of a name at a time and at most `_LOADS` in all, in order; a load is given up after `WITHIN`
seconds. A loaded value is published as any other value. A failed load is repeated after growing pauses, as long as a
stream of this process wants the value and it has not been published; after a change, as long as a stream follows it. A
load that is running when the data changes may have read the older data, so another one follows it. When the service
says that there is no such value, it is not asked again within `ABSENT_FOR` seconds; after a change the version that was
known before the load began is published as gone, and a higher one that was published meanwhile stays. Where no stream
of this process follows a value that changes, its stored version is marked, so that the next stream loads it. Failures
are logged and have no other effect.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from ..stores.redis.backoff import backoff
from ..stores.redis.client import StoreUnavailable
from ..stores.values import Values
from .feeds import Feeds
from .topics import Load, ValueTopic, topic_of

log = logging.getLogger("bff.live")

WITHIN = 1.0
"""Seconds that a load may take."""
ABSENT_FOR = 10.0
"""Seconds for which a value counts as absent after its service has said so, unless it is published."""
_ABSENT_MOST = 10_000
_UNMARKED_MOST = 10_000
"""Names that wait for Redis to be marked; beyond them the oldest is not marked, which is logged."""
_LOADS = 64
_FIRST, _LONGEST = 0.25, 30.0
"""Seconds between two attempts to load a value."""


class Loads:
    """The hub runs `run()`; before that no load is started. clock: monotonic seconds."""

    def __init__(
        self,
        values: Values,
        topics: Sequence[ValueTopic],
        feeds: Feeds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._values = values
        self._topics = topics
        self._feeds = feeds
        # The first attempt of each name's load.
        self._running: dict[str, asyncio.Future[None]] = {}
        self._gate = asyncio.Semaphore(_LOADS)
        # The time until which each name counts as absent, the oldest first.
        self._absent: dict[str, float] = {}
        # Names whose data has changed since their running load began.
        self._changed: set[str] = set()
        # Names whose data has changed and whose stored version is not marked yet, the oldest first.
        self._unmarked: dict[str, None] = {}
        self._marking: asyncio.Task[None] | None = None
        self._clock = clock

    async def run(self) -> None:
        """Own the tasks of the loads, for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    def begin(self, names: Sequence[str]) -> list[asyncio.Future[None]]:
        """Load these values, unless they are being loaded. Returns the first attempts that have not ended."""
        attempts = []
        for name in names:
            topic = topic_of(self._topics, name)
            if topic is None or topic.load is None or self._group is None or self._is_absent(name):
                continue
            if name not in self._running:
                self._start(self._group, name, topic.load, changed=False)
            if not self._running[name].done():
                attempts.append(self._running[name])
        return attempts

    def reload(self, name: str) -> None:
        """The data of this value has changed: load it again where a stream of this process follows it, else for the
        next stream."""
        topic = topic_of(self._topics, name)
        if topic is None or topic.load is None or self._group is None:
            return
        self._absent.pop(name, None)
        if not self._feeds.follows(name):
            self._mark(self._group, name)
        elif name in self._running:
            self._changed.add(name)
        else:
            self._start(self._group, name, topic.load, changed=True)

    def _start(self, group: asyncio.TaskGroup, name: str, load: Load, *, changed: bool) -> None:
        self._running[name] = asyncio.get_running_loop().create_future()
        task = group.create_task(self._load(name, load, self._running[name], changed))
        task.add_done_callback(partial(self._loaded, name))

    def _mark(self, group: asyncio.TaskGroup, name: str) -> None:
        self._unmarked[name] = None
        if len(self._unmarked) > _UNMARKED_MOST:
            log.warning("value %s has changed and is not loaded again", next(iter(self._unmarked)))
            del self._unmarked[next(iter(self._unmarked))]
        if self._marking is None or self._marking.done():
            self._marking = group.create_task(self._mark_all())

    async def _mark_all(self) -> None:
        failures = 0
        while self._unmarked:
            name = next(iter(self._unmarked))
            del self._unmarked[name]
            try:
                await self._values.mark_changed(name)
                failures = 0
            except StoreUnavailable:
                self._unmarked.setdefault(name)
                failures += 1
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))

    def _is_absent(self, name: str) -> bool:
        until = self._absent.get(name)
        return until is not None and self._clock() < until

    def _remember_absent(self, name: str) -> None:
        self._absent.pop(name, None)
        self._absent[name] = self._clock() + ABSENT_FOR
        if len(self._absent) > _ABSENT_MOST:
            del self._absent[next(iter(self._absent))]

    def _loaded(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        if name in self._changed:
            self._changed.discard(name)
            if not task.cancelled():
                self.reload(name)

    async def _load(self, name: str, load: Load, first: asyncio.Future[None], changed: bool) -> None:
        wanted = self._feeds.follows if changed else self._feeds.wants
        failures = 0
        try:
            while True:
                async with self._gate:
                    loaded = await self._attempt(name, load, changed)
                if not first.done():
                    first.set_result(None)
                failures += 1
                if loaded or not wanted(name):
                    return
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))
                if not wanted(name):
                    return
        finally:
            first.cancel()

    async def _attempt(self, name: str, load: Load, changed: bool) -> bool:
        """Load the value once. changed: a version of it may be known. False: the attempt failed and should be
        repeated."""
        try:
            known, marked = await self._values.known(name)
            async with asyncio.timeout(WITHIN):
                found = await load(name)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            if found is None:
                self._remember_absent(name)
                if known is not None and (changed or marked):
                    await self._values.put_gone(name, known, now)
            else:
                at = str(found.get("at") or now)
                await self._values.put(name, int(found["version"]), found["data"], at, loaded=True)
            return True
        except Exception as error:
            # A stream works without a value, so an error of its service or of the user's code has no other effect.
            log.info("value %s could not be loaded: %s: %s", name, type(error).__name__, error)
            return False
