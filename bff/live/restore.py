"""Rebuilding lost journals from the services that know their sagas.

Promises: one question per owner at a time and `AT_ONCE` in all, each given up on after `within` seconds, and a journal
seeded at most once however many processes ask: whether another has done it is looked at before each question. Owners
wait in one queue. What the gateway itself does not send (an open breaker) is not the owner's failure: the owner stays
at the front, the queue waits for the breaker, and then goes on with one question at a time until one is answered.
What a service does not answer well is asked again after a pause of at most `SOON_AGAIN`, and only after many failures
of one owner less often, as is what no service is to blame for, after a pause that grows from `FIRST` to `LONGEST`
seconds. Refuses to guess: until the services have answered nobody is told a state.
"""

from __future__ import annotations

import asyncio
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
from .stream import Stream

log = logging.getLogger("bff.live")

Restore = Callable[[Principal], Awaitable[Sequence[SagaStatus | Mapping[str, Any]]]]

AT_ONCE = 32
"""Restores under way in one process: the services have lost nothing, and must not pay for Redis all at once."""
FIRST, LONGEST = 0.5, 30.0
SOON_AGAIN = 1.0
_PATIENCE = 10
"""Failures of the services in a row after which an owner is asked about less often."""
_CLOSED_AT_MOST = 1.0
"""Seconds between two looks at a breaker: somebody else's probe may have closed it."""


class _Lost:
    """An owner whose journal is to be restored. streams: who is to look at it again; asking: who waits for it now;
    due: when it may be asked for, monotonic seconds; by: who asked last. Kept until it is due where it has failed."""

    __slots__ = ("asking", "by", "due", "failures", "owner", "running", "streams")

    def __init__(self, owner: str, due: float) -> None:
        self.owner = owner
        self.due = due
        self.failures = 0
        self.running = False
        self.streams: dict[Stream, None] = {}
        self.asking: list[asyncio.Future[bool]] = []
        self.by: Principal | None = None

    @property
    def principal(self) -> Principal | None:
        """Whoever came last has the token that holds longest."""
        if not self.streams:
            return self.by if self.asking else None
        return next(reversed(self.streams)).principal


class Restorer:
    """restore: the owner's sagas, newest first. within: seconds it may take. Set before the first use: `group` owns the
    work, `look` is told each stream that is to look at its journal again."""

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
        self._lost: dict[str, _Lost] = {}
        # When each is due; what is out of date is passed over when it comes up.
        self._queue: list[tuple[float, int, _Lost]] = []
        self._number = itertools.count()
        self._running = 0
        self._most = AT_ONCE
        self._closed_until = 0.0
        self._dispatcher: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failed = 0

    @property
    def waiting(self) -> int:
        """Journals that wait to be restored, or are being."""
        return len(self._lost)

    def want(self, stream: Stream, *, spread: float = 0.0) -> None:
        """Tell this stream to look at its journal again once it is whole. spread: seconds over which owners are asked
        about whose streams know where they stand, so that they do not all ask at once."""
        due = self._clock() + (random.uniform(0, spread) if spread else 0.0)  # noqa: S311 - jitter
        self._enlist(stream.owner, due).streams[stream] = None

    def forget(self, stream: Stream) -> None:
        """It has left."""
        lost = self._lost.get(stream.owner)
        if lost is not None:
            lost.streams.pop(stream, None)
            self._drop_unwanted(lost)

    async def once(self, principal: Principal) -> bool:
        """Restore this owner's journal now; False when that did not work out in time, has just failed, or the services
        are not to be asked for the moment."""
        known, now = self._lost.get(principal.id), self._clock()
        if self.group is None or now < self._closed_until or (known and known.failures and known.due > now):
            return False
        lost = self._enlist(principal.id, 0.0)
        lost.by = principal
        asking: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        lost.asking.append(asking)
        try:
            async with asyncio.timeout(self._within):
                return await asking
        except TimeoutError:
            return False
        finally:
            if asking in lost.asking:
                lost.asking.remove(asking)
            self._drop_unwanted(lost)

    # ---- the queue -----------------------------------------------------------------------------------------------

    def _enlist(self, owner: str, due: float) -> _Lost:
        lost = self._lost.get(owner)
        if lost is None:
            lost = self._lost[owner] = _Lost(owner, due)
            self._put(lost, due)
        elif due < lost.due and not lost.failures:
            self._put(lost, due)
        return lost

    def _put(self, lost: _Lost, due: float) -> None:
        lost.due = due
        heapq.heappush(self._queue, (due, next(self._number), lost))
        if self.group is not None and self._dispatcher is None:
            self._dispatcher = self.group.create_task(self._dispatch())
        self._wake.set()

    def _drop_unwanted(self, lost: _Lost) -> None:
        if not (lost.streams or lost.asking or lost.running or lost.failures):
            self._done(lost)

    def _done(self, lost: _Lost) -> None:
        if self._lost.get(lost.owner) is lost:
            del self._lost[lost.owner]
        if not self._lost and self._failed:
            log.info("every journal is restored; %d attempts had failed", self._failed)
            self._failed = 0

    async def _dispatch(self) -> None:
        """Begin what is due, for ever."""
        while True:
            self._wake.clear()
            pause = self._begin_due()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _begin_due(self) -> float | None:
        """Seconds until something may be due again; None: not before something else happens."""
        group = self.group
        while group is not None and self._queue and self._running < self._most:
            due, _, lost = self._queue[0]
            if self._lost.get(lost.owner) is not lost or lost.due != due or lost.running:
                heapq.heappop(self._queue)
                continue
            later = max(due, self._closed_until) - self._clock()
            if later > 0:
                return later
            heapq.heappop(self._queue)
            principal = lost.principal
            if principal is None:
                self._done(lost)
                continue
            lost.running = True
            self._running += 1
            group.create_task(self._run(lost, principal))
        return None

    # ---- one of them ---------------------------------------------------------------------------------------------

    async def _run(self, lost: _Lost, principal: Principal) -> None:
        whole, again = False, self._clock() + SOON_AGAIN
        try:
            async with asyncio.timeout(self._within):
                await self._attempt(principal)
            whole = True
        except CircuitOpen as closed:
            # Nothing was sent: the next call that the breaker lets through is this owner's.
            self._most = 1
            pause = min(max(closed.retry_after or 0.0, 0.05), _CLOSED_AT_MOST)
            self._closed_until = self._clock() + pause
            again = lost.due
        except (Overloaded, StoreUnavailable) as busy:
            pause = getattr(busy, "retry_after", None) or SOON_AGAIN / 4
            again = self._clock() + min(pause, LONGEST) * random.uniform(1.0, 1.25)  # noqa: S311 - jitter
            self._told(busy)
        except Exception as error:
            # Whatever a service or the user's own code did wrong must not cost this person the stream.
            lost.failures += 1
            again = self._clock() + _pause(error, lost.failures)
            self._told(error)
        finally:
            lost.running = False
            self._running -= 1
            self._wake.set()
        asking, lost.asking = lost.asking, []
        for one in asking:
            if not one.done():
                one.set_result(whole)
        if whole:
            self._most = min(AT_ONCE, 2 * self._most)
            self._done(lost)
            for stream in lost.streams:
                self.look(stream)
        else:
            self._put(lost, again)

    async def _attempt(self, principal: Principal) -> None:
        owner = principal.id
        if not (await self._journal.heads([owner]))[owner].complete:
            found = await self._restore(principal)
            await self._journal.seed(owner, self._entries(found))

    def _told(self, error: Exception) -> None:
        level = logging.DEBUG if self._failed else logging.WARNING
        self._failed += 1
        log.log(level, "restoring a journal failed: %s: %s", type(error).__name__, error)

    def _entries(self, found: Sequence[SagaStatus | Mapping[str, Any]]) -> list[Entry]:
        now_ms = self._journal.now_ms()
        entries = []
        for one in found:
            saga = one if isinstance(one, SagaStatus) else SagaStatus.model_validate(one)
            try:
                entries.append(Entry.of(saga, now_ms=now_ms))
            except EntryTooLarge as error:
                log.error("a saga is left out of a restored journal: %s", error)
        return entries


def _pause(error: Exception, failures: int) -> float:
    """Seconds until an owner is asked about again."""
    if not isinstance(error, Timeout | Unreachable | Failed | TimeoutError):
        return backoff(failures, FIRST, LONGEST)
    if failures <= _PATIENCE:
        return backoff(failures, 0.1, SOON_AGAIN)
    return backoff(failures - _PATIENCE, SOON_AGAIN, LONGEST)
