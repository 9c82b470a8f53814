"""Rebuilding lost journals from the services that know their sagas.

Promises: one question per owner at a time and `AT_ONCE` in all, each given up on after `within` seconds, and a journal
seeded at most once however many processes ask. While an owner's streams wait for it, it is tried again
after a pause that grows from `FIRST` to `LONGEST` seconds; nobody else waits meanwhile. Refuses to guess: until
the services have answered nothing is said of an owner's sagas.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..calls import Principal, SagaStatus
from ..stores.journal import Entry, Journal
from ..stores.redis.backoff import backoff
from .stream import Stream

log = logging.getLogger("bff.live")

Restore = Callable[[Principal], Awaitable[Sequence[SagaStatus | Mapping[str, Any]]]]

AT_ONCE = 32
"""Restores under way in one process: the services have lost nothing, and must not pay for Redis all at once."""
FIRST, LONGEST = 0.5, 30.0
_REMEMBERED = 10_000


class Restorer:
    """restore: the owner's sagas, newest first. within: seconds it may take. Set before the first use:
    `group` owns the work, `look` is told each stream that is to look at its journal again."""

    def __init__(
        self,
        journal: Journal,
        restore: Restore,
        *,
        within: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.group: asyncio.TaskGroup | None = None
        self.look: Callable[[Stream], None] = lambda stream: None
        self._journal = journal
        self._restore = restore
        self._within = within
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[str, dict[Stream, None]] = {}
        self._running: dict[str, asyncio.Task[bool]] = {}
        # How often in a row it failed, and when it may be tried again.
        self._failed: dict[str, tuple[int, float]] = {}
        self._failing = False

    def want(self, stream: Stream) -> None:
        """Tell this stream when to look at its journal again: once it is whole, or may be tried again. Another process
        may have been luckier."""
        waiting = self._waiting.get(stream.owner)
        if waiting is not None:
            waiting[stream] = None
        elif self.group is not None:
            self._waiting[stream.owner] = {stream: None}
            self.group.create_task(self._for(stream.owner))

    def forget(self, stream: Stream) -> None:
        """It has left."""
        self._waiting.get(stream.owner, {}).pop(stream, None)

    async def _for(self, owner: str) -> None:
        waiting = self._waiting[owner]
        try:
            # Whoever came last has the token that holds longest.
            newest = next(reversed(waiting), None)
            if newest is not None and not await self._run(newest.principal):
                await asyncio.sleep(max(0.0, self._failed.get(owner, (0, 0.0))[1] - self._clock()))
        finally:
            del self._waiting[owner]
        for stream in waiting:
            self.look(stream)

    async def once(self, principal: Principal) -> bool:
        """Restore this owner's journal now; False when that did not work out in time or has just failed."""
        try:
            async with asyncio.timeout(self._within):
                return await self._run(principal)
        except TimeoutError:
            return False

    async def _run(self, principal: Principal) -> bool:
        owner = principal.id
        if self.group is None or self._clock() < self._failed.get(owner, (0, 0.0))[1]:
            return False
        task = self._running.get(owner)
        if task is None:
            task = self._running[owner] = self.group.create_task(self._attempt(principal))
            task.add_done_callback(lambda _: self._running.pop(owner, None))
        return await asyncio.shield(task)

    async def _attempt(self, principal: Principal) -> bool:
        owner = principal.id
        try:
            async with self._gate, asyncio.timeout(self._within):
                found = await self._restore(principal)
                await self._journal.seed(owner, self._entries(found))
        except Exception as error:
            # Whatever a service or the user's own code did wrong must not cost this person the stream.
            log.log(
                logging.DEBUG if self._failing else logging.WARNING,
                *("restoring a journal failed: %s: %s", type(error).__name__, error),
            )
            self._failing = True
            failures = self._failed.get(owner, (0, 0.0))[0] + 1
            if len(self._failed) >= _REMEMBERED:
                self._failed.clear()
            self._failed[owner] = failures, self._clock() + backoff(failures, FIRST, LONGEST)
            return False
        self._failing = False
        self._failed.pop(owner, None)
        return True

    def _entries(self, found: Sequence[SagaStatus | Mapping[str, Any]]) -> list[Entry]:
        now_ms = self._journal.now_ms()
        entries = []
        for one in found:
            saga = one if isinstance(one, SagaStatus) else SagaStatus.model_validate(one)
            entries.append(Entry.of(saga, now_ms=now_ms))
        return entries
