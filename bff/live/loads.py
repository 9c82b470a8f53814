"""Values nobody has published yet, asked of their services.

Promises one question per name at a time, at most `_LOADS` together and the others in their order, each given up on
after `WITHIN` seconds; what is loaded is published like any other. A load that fails is tried again, later and later,
for as long as a stream here asks for the value and nobody has published it. A name whose service says that there is no
such value is not asked for again within `ABSENT_FOR` seconds, whoever wants it. A failure stays here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from ..stores.redis.backoff import backoff
from ..stores.values import Values
from .topics import Load, ValueTopic, topic_of

log = logging.getLogger("bff.live")

WITHIN = 1.0
"""Seconds a load may take."""
ABSENT_FOR = 10.0
"""Seconds for which a value counts as not there once its service has said so; published meanwhile, it is there."""
_ABSENT_MOST = 10_000
_LOADS = 64
_FIRST, _LONGEST = 0.25, 30.0
"""Seconds between two attempts to load a value."""


class Loads:
    """wanted: whether a stream here asks for a value of which nothing is known. group: owns the loads; None: none is
    begun. clock: monotonic seconds."""

    def __init__(
        self,
        values: Values,
        topics: Sequence[ValueTopic],
        wanted: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.group: asyncio.TaskGroup | None = None
        self._values = values
        self._topics = topics
        self._wanted = wanted
        # Each name's first attempt: done when it is over.
        self._running: dict[str, asyncio.Future[None]] = {}
        self._gate = asyncio.Semaphore(_LOADS)
        # Until when each is not there, the oldest first.
        self._absent: dict[str, float] = {}
        self._clock = clock

    def begin(self, names: Sequence[str]) -> list[asyncio.Future[None]]:
        """Begin to load these values, or go on: the first attempts that are not over."""
        attempts = []
        for name in names:
            topic = topic_of(self._topics, name)
            if topic is None or topic.load is None or self.group is None or self._is_absent(name):
                continue
            if name not in self._running:
                self._running[name] = asyncio.get_running_loop().create_future()
                task = self.group.create_task(self._load(name, topic.load, self._running[name]))
                task.add_done_callback(partial(self._loaded, name))
            if not self._running[name].done():
                attempts.append(self._running[name])
        return attempts

    def _is_absent(self, name: str) -> bool:
        until = self._absent.get(name)
        return until is not None and self._clock() < until

    def _remember_absent(self, name: str) -> None:
        self._absent.pop(name, None)
        self._absent[name] = self._clock() + ABSENT_FOR
        if len(self._absent) > _ABSENT_MOST:
            del self._absent[next(iter(self._absent))]

    def _loaded(self, name: str, _: asyncio.Task[None]) -> None:
        self._running.pop(name, None)

    async def _load(self, name: str, load: Load, first: asyncio.Future[None]) -> None:
        failures = 0
        try:
            while True:
                async with self._gate:
                    loaded = await self._attempt(name, load)
                if not first.done():
                    first.set_result(None)
                failures += 1
                if loaded or not self._wanted(name):
                    return
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))
                if not self._wanted(name):
                    return
        finally:
            first.cancel()

    async def _attempt(self, name: str, load: Load) -> bool:
        """False: it is worth another."""
        try:
            async with asyncio.timeout(WITHIN):
                found = await load(name)
            if found is None:
                self._remember_absent(name)
            else:
                at = str(found.get("at") or datetime.now(UTC).isoformat(timespec="milliseconds"))
                await self._values.put(name, int(found["version"]), found["data"], at)
            return True
        except Exception as error:
            # A value is an extra: whatever its service or the user's code did wrong stays here.
            log.info("value %s could not be loaded: %s: %s", name, type(error).__name__, error)
            return False
