"""Restores lost journals from the services that know their sagas.

Guarantees one call of an owner at a time and `AT_ONCE` in all; a call is given up after `within` seconds. A journal is
seeded at most once, however many processes try, because each one checks first whether another has done it. Owners wait
in one queue. A call that the gateway does not send (an open breaker) does not count as the owner's failure: the owner
stays at the front, the queue waits for the breaker and then continues with one call at a time until one succeeds. An
owner whose services fail is retried after at most `RETRY_MOST` seconds, and less often only after twenty failures in a
row. After other errors (for example in the user's code) the pause grows from `FIRST` to `LONGEST` seconds. No stream
gets a state before the services have answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..calls import CircuitOpen, Failed, Overloaded, Principal, SagaStatus, Timeout, Unreachable
from ..stores.journal import Entry, EntryTooLarge, Journal
from ..stores.redis.backoff import backoff
from ..stores.redis.client import StoreUnavailable
from .stream import Stream, StreamListener

log = logging.getLogger("bff.live")

Restore = Callable[[Principal], Awaitable[Sequence[SagaStatus | Mapping[str, Any]]]]

AT_ONCE = 32
"""Restores in progress in one process, so that a loss of Redis' data does not overload the services."""
FIRST, LONGEST = 0.5, 30.0
RETRY_MOST = 1.0
SPREAD = 10.0
"""Seconds over which restores are spread for streams that have a position and continue meanwhile. Together with the
time until positions are compared, a restore starts within 40 s."""
_FAILURES_BEFORE_BACKOFF = 20
"""Failures of the services in a row after which an owner is retried less often."""
_BREAKER_PAUSE = 1.0
"""Longest time in seconds between two checks of an open breaker, which another call's probe may have closed."""


class _LostJournal:
    """An owner's journal that has to be restored. streams: to report when it is restored; callers: `once` calls that
    wait for it; last_caller: the principal of the last of them; due: monotonic seconds from which it may be tried. A
    failed one is remembered until then."""

    __slots__ = ("callers", "due", "failures", "last_caller", "owner", "running", "streams")

    def __init__(self, owner: str, due: float) -> None:
        self.owner = owner
        self.due = due
        self.failures = 0
        self.running = False
        self.streams: dict[Stream, None] = {}
        self.callers: list[asyncio.Future[bool]] = []
        self.last_caller: Principal | None = None

    @property
    def principal(self) -> Principal | None:
        """The principal whose token is used: the last one, because its token is valid longest."""
        if not self.streams:
            return self.last_caller if self.callers else None
        return next(reversed(self.streams)).principal


class Restorer:
    """The hub runs `run()`. restore: returns the owner's sagas, newest first; listener: called for each stream whose
    journal is restored; within: seconds that one restore may take (3); clock: monotonic seconds."""

    def __init__(
        self,
        journal: Journal,
        restore: Restore,
        listener: StreamListener,
        *,
        within: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._restore = restore
        self._listener = listener
        self._within = within
        self._clock = clock
        self._lost: dict[str, _LostJournal] = {}
        # Sorted by the time at which each is due; an outdated entry is skipped when it is reached.
        self._queue: list[tuple[float, int, _LostJournal]] = []
        self._number = itertools.count()
        self._running = 0
        self._most = AT_ONCE
        self._open_until = 0.0  # the breaker
        self._group: asyncio.TaskGroup | None = None
        self._wake = asyncio.Event()
        self._failed = 0

    @property
    def waiting(self) -> int:
        """Number of journals that wait to be restored or are being restored."""
        return len(self._lost)

    def want(self, stream: Stream, *, spread: bool = False) -> None:
        """Restore this stream's journal and report that to the listener. spread: at a random time within SPREAD
        seconds, because the stream has a position and continues meanwhile."""
        due = self._clock() + (random.uniform(0, SPREAD) if spread else 0.0)  # noqa: S311 - jitter
        self._entry_of(stream.owner, due).streams[stream] = None

    def forget(self, stream: Stream) -> None:
        """Forget a stream whose client has left."""
        lost = self._lost.get(stream.owner)
        if lost is not None:
            lost.streams.pop(stream, None)
            self._drop_unwanted(lost)

    async def once(self, principal: Principal) -> bool:
        """Restore this owner's journal now. False when that fails, takes longer than `within`, or has just failed, and
        while the breaker is open."""
        known, now = self._lost.get(principal.id), self._clock()
        if self._group is None or now < self._open_until or (known and known.failures and known.due > now):
            return False
        lost = self._entry_of(principal.id, 0.0)
        lost.last_caller = principal
        restored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        lost.callers.append(restored)
        try:
            async with asyncio.timeout(self._within):
                return await restored
        except TimeoutError:
            return False
        finally:
            if restored in lost.callers:
                lost.callers.remove(restored)
            self._drop_unwanted(lost)

    # ---- the queue -----------------------------------------------------------------------------------------------

    def _entry_of(self, owner: str, due: float) -> _LostJournal:
        lost = self._lost.get(owner)
        if lost is None:
            lost = self._lost[owner] = _LostJournal(owner, due)
            self._put(lost, due)
        elif due < lost.due and not lost.failures:
            self._put(lost, due)
        return lost

    def _put(self, lost: _LostJournal, due: float) -> None:
        lost.due = due
        heapq.heappush(self._queue, (due, next(self._number), lost))
        self._wake.set()

    def _drop_unwanted(self, lost: _LostJournal) -> None:
        if not (lost.streams or lost.callers or lost.running or lost.failures):
            self._done(lost)

    def _done(self, lost: _LostJournal) -> None:
        if self._lost.get(lost.owner) is lost:
            del self._lost[lost.owner]
        if not self._lost and self._failed:
            log.info("all journals are restored; %d attempts had failed", self._failed)
            self._failed = 0

    async def run(self) -> None:
        """Start restores that are due, for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                self._wake.clear()
                pause = self._start_due(group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()

    def _start_due(self, group: asyncio.TaskGroup) -> float | None:
        """Start the restores that are due. Returns the seconds until the next one is due, None when `_wake` has to be
        set first."""
        while self._queue and self._running < self._most:
            due, _, lost = self._queue[0]
            if self._lost.get(lost.owner) is not lost or lost.due != due or lost.running:
                heapq.heappop(self._queue)
                continue
            later = max(due, self._open_until) - self._clock()
            if later > 0:
                return later
            heapq.heappop(self._queue)
            principal = lost.principal
            if principal is None:
                self._done(lost)
                continue
            lost.running = True
            self._running += 1
            group.create_task(self._restore_one(lost, principal))
        return None

    # ---- one journal ----------------------------------------------------------------------------------------------

    async def _restore_one(self, lost: _LostJournal, principal: Principal) -> None:
        whole, again = False, self._clock() + RETRY_MOST
        try:
            async with asyncio.timeout(self._within):
                await self._attempt(principal)
            whole = True
        except CircuitOpen as breaker:
            # Nothing was sent: the next call that the breaker admits is for this owner.
            self._most = 1
            pause = min(max(breaker.retry_after or 0.0, 0.05), _BREAKER_PAUSE)
            self._open_until = self._clock() + pause
            again = lost.due
        except (Overloaded, StoreUnavailable) as busy:
            pause = getattr(busy, "retry_after", None) or RETRY_MOST / 4
            again = self._clock() + min(pause, LONGEST) * random.uniform(1.0, 1.25)  # noqa: S311 - jitter
            self._record(busy)
        except Exception as error:
            # An error of a service or of the user's code must not end the owner's streams.
            lost.failures += 1
            again = self._clock() + _pause(error, lost.failures)
            self._record(error)
        finally:
            lost.running = False
            self._running -= 1
            self._wake.set()
        callers, lost.callers = lost.callers, []
        for restored in callers:
            if not restored.done():
                restored.set_result(whole)
        if whole:
            self._most = min(AT_ONCE, 2 * self._most)
            self._done(lost)
            for stream in lost.streams:
                self._listener.on_restored(stream)
        else:
            self._put(lost, again)

    async def _attempt(self, principal: Principal) -> None:
        owner = principal.id
        if not (await self._journal.heads([owner]))[owner].complete:
            found = await self._restore(principal)
            await self._journal.seed(owner, self._entries(found))

    def _record(self, error: Exception) -> None:
        level = logging.DEBUG if self._failed else logging.WARNING
        self._failed += 1
        log.log(level, "restoring a journal failed: %s: %s", type(error).__name__, error)

    def _entries(self, found: Sequence[SagaStatus | Mapping[str, Any]]) -> list[Entry]:
        now_ms = self._journal.now_ms()
        entries = []
        for status in found:
            saga = status if isinstance(status, SagaStatus) else SagaStatus.model_validate(status)
            try:
                entries.append(Entry.of(saga, now_ms=now_ms))
            except EntryTooLarge as error:
                log.error("a saga is left out of a restored journal: %s", error)
        return entries


def _pause(error: Exception, failures: int) -> float:
    """Seconds until an owner is retried, after this many failures in a row."""
    if not isinstance(error, Timeout | Unreachable | Failed | TimeoutError):
        return backoff(failures, FIRST, LONGEST)
    if failures <= _FAILURES_BEFORE_BACKOFF:
        return backoff(failures, 0.1, RETRY_MOST)
    return backoff(failures - _FAILURES_BEFORE_BACKOFF, RETRY_MOST, LONGEST)
