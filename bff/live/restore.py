"""Rebuilding a lost journal from the services that know its sagas.

Promises: one question per owner at a time and process, and a journal seeded at most once however many processes ask.
A failed or slow restore leaves the journal as it is; it is asked again on a later connect, not before `pause` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..calls import Principal, SagaStatus
from ..stores.journal import Entry, Journal

log = logging.getLogger("bff.live")

Restore = Callable[[Principal], Awaitable[Sequence[SagaStatus | Mapping[str, Any]]]]

_REMEMBERED = 10_000


class Restorer:
    """restore: the owner's sagas, newest first. within: seconds it may take. pause: seconds after a failure."""

    def __init__(
        self,
        journal: Journal,
        restore: Restore,
        *,
        within: float = 3.0,
        pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._restore = restore
        self._within = within
        self._pause = pause
        self._clock = clock
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._failed: dict[str, float] = {}

    async def run(self, principal: Principal, group: asyncio.TaskGroup) -> bool:
        """Restore this owner's journal; False when that did not work out. The work belongs to `group`."""
        owner = principal.id
        failed = self._failed.get(owner)
        if failed is not None and self._clock() < failed + self._pause:
            return False
        task = self._running.get(owner)
        if task is None:
            task = self._running[owner] = group.create_task(self._once(principal))
            task.add_done_callback(lambda _: self._running.pop(owner, None))
        return await asyncio.shield(task)

    async def _once(self, principal: Principal) -> bool:
        self._failed.pop(principal.id, None)
        try:
            async with asyncio.timeout(self._within):
                found = await self._restore(principal)
                await self._journal.seed(principal.id, self._entries(found))
        except Exception as error:
            # Whatever a service or the user's own code did wrong must not cost this person the stream.
            log.warning("restoring a journal failed: %s: %s", type(error).__name__, error)
            if len(self._failed) >= _REMEMBERED:
                self._failed.clear()
            self._failed[principal.id] = self._clock()
            return False
        return True

    def _entries(self, found: Sequence[SagaStatus | Mapping[str, Any]]) -> list[Entry]:
        now_ms = self._journal.now_ms()
        entries = []
        for one in found:
            saga = one if isinstance(one, SagaStatus) else SagaStatus.model_validate(one)
            entries.append(Entry.of(saga, now_ms=now_ms))
        return entries
