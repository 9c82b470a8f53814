"""Times commands until the event that settles their saga is written to a stream of the person who sent them, for SLOs.

What counts, for each `OutcomeTarget` of a command that was accepted:

- The first settling event that is written to the connection of one of the person's streams, on any gateway, ends the
  time. It is good when it took at most `within` seconds and has one of the target's statuses. Written means that the
  connection took it, not that somebody read it.
- When no stream has got it in time and the person has an open stream on some gateway, it is bad, whether the saga is
  late or the event.
- When the person has no open stream by then, it is left out: nobody saw the outcome, so it is not good, and a person
  who left is no failure.
- What could not be timed is left out: Redis was away, more than `MOST` outcomes were waiting, or the gateway that took
  the command ended before the time was over and nothing was written later.

The commands to Redis run in one task, many in one write, and never inside a request or a stream. At most `MOST` of them
wait; further ones are dropped, and their outcomes are left out.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from ..calls import ENDED
from ..stores.background import Background
from ..stores.outcomes import PendingOutcomes
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.scripts import Step
from .stream import Stream

MOST = 10_000
"""Outcomes that may wait to be settled, and commands that may wait for Redis."""
SLACK = 0.5
"""Seconds after its time in which an event that was written in time may still be reported by another gateway."""
KEEP = 60.0
"""Seconds after its time for which an outcome of a gateway that ended can still be counted by another one."""
_BATCH = 64
_EITHER_END = 16
"""A state begins with the newest saga, a history ends with it; older ones settled long ago."""
_RECENT = 900.0
"""Seconds since a saga in a state or history settled: no outcome is waited for as long."""

LeftOut = Literal["left", "refused", "unmeasured"]
"""Why something does not count. left: the person was gone; refused: the request was answered with 4xx; unmeasured: it
could not be timed."""


class Tally(Protocol):
    """Counts for SLOs. name: of the SLO."""

    def count(self, name: str, *, good: bool) -> None: ...

    def leave_out(self, name: str, why: LeftOut) -> None: ...


@dataclass(frozen=True, slots=True)
class OutcomeTarget:
    """An SLO of a command. within: seconds from arrival to the event; statuses: of the saga that are good."""

    name: str
    within: float
    statuses: frozenset[str]


class _Settled(msgspec.Struct):
    """The part of an entry that says what it settles."""

    type: str = ""
    status: str = ""
    mutation: str | None = None
    mutations: list[str] | None = None
    at: str = ""


class OutcomeMeter(Background):
    """The hub and the commands' endpoints report to it. Use `start()` and `stop()`.

    targets  by command, as `begin` gets it
    sagas    the types of sagas that these commands start
    clock    monotonic seconds; wall: Unix seconds
    """

    def __init__(
        self,
        store: PendingOutcomes,
        targets: Mapping[str, Sequence[OutcomeTarget]],
        sagas: Iterable[str],
        tally: Tally,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("bff-outcomes", "SLOs of commands are not measured")
        self._store = store
        self._targets = targets
        self._sagas = frozenset(sagas)
        self._tally = tally
        self._clock = clock
        self._wall = wall
        self._decode = msgspec.json.Decoder(_Settled).decode
        self._steps: asyncio.Queue[tuple[Callable[[], Step], Callable[[Any], None]]] = asyncio.Queue(MOST)
        # When the time of each outcome is over, and the outcome.
        self._due: list[tuple[float, str, str]] = []
        # The command of each outcome that waits, and when its time is over.
        self._waiting: dict[tuple[str, str], tuple[str, float]] = {}
        self._wake = asyncio.Event()
        self._working = False
        # Events that wait in the buffer of a stream.
        self._buffered: dict[Stream, list[tuple[str, list[str]]]] = {}

    @property
    def idle(self) -> bool:
        """Whether no command to Redis is under way or waits to be sent."""
        return not self._working and self._steps.empty()

    # ---- commands ------------------------------------------------------------------------------------------------

    def begin(self, command: str, owner: str, mutation: str, arrived: float) -> None:
        """A command was claimed. arrived: monotonic seconds."""
        targets = self._targets.get(command, ())
        if not targets:
            return
        longest = max(target.within for target in targets)
        if len(self._due) >= MOST:
            self._leave_out(command)
            return
        due = arrived + longest + SLACK
        self._waiting[owner, mutation] = command, due
        heapq.heappush(self._due, (due, owner, mutation))
        self._wake.set()

        def step() -> Step:
            return self._store.begin(owner, mutation, command, self._clock() - arrived, longest + KEEP)

        def done(answer: Any) -> None:
            if answer is None and self._waiting.pop((owner, mutation), None) is not None:
                self._leave_out(command)

        self._put(step, done)

    def drop(self, owner: str, mutation: str) -> None:
        """The command was not accepted: its answer is counted, not its outcome."""
        if self._waiting.pop((owner, mutation), None) is not None:
            self._put(lambda: self._store.due(owner, mutation), lambda answer: None)

    # ---- streams -------------------------------------------------------------------------------------------------

    def on_sent(self, stream: Stream, entries: Sequence[bytes], written: bool) -> None:
        """These events, a state or a history were given to a stream's connection, which took them if `written`."""
        several = len(entries) > 1
        if len(entries) > 2 * _EITHER_END:
            entries = [*entries[:_EITHER_END], *entries[-_EITHER_END:]]
        for entry in entries:
            settled = self._settled(entry, recent_only=several)
            if settled is None:
                continue
            if written:
                self._take(stream.owner, *settled)
            else:
                self._buffered.setdefault(stream, []).append(settled)

    def on_flushed(self, stream: Stream) -> None:
        """The connection took what had waited in the stream's buffer."""
        for status, mutations in self._buffered.pop(stream, ()):
            self._take(stream.owner, status, mutations)

    def forget(self, stream: Stream) -> None:
        """What waited in the stream's buffer will not be written."""
        self._buffered.pop(stream, None)

    def _settled(self, entry: bytes, *, recent_only: bool) -> tuple[str, list[str]] | None:
        try:
            found = self._decode(entry)
        except msgspec.DecodeError:
            return None
        if found.status not in ENDED or found.type not in self._sagas:
            return None
        if recent_only and not self._is_recent(found.at):
            return None
        mutations = [name for name in (found.mutation, *(found.mutations or ())) if name]
        return (found.status, mutations) if mutations else None

    def _is_recent(self, at: str) -> bool:
        try:
            return self._wall() - datetime.fromisoformat(at).timestamp() < _RECENT
        except ValueError:
            return False

    def _take(self, owner: str, status: str, mutations: list[str]) -> None:
        written = self._clock()

        def done(answer: Any) -> None:
            # While Redis was away: what is not taken is given up when its time is over.
            for command, seconds in self._store.parse_taken(answer or ()):
                for target in self._targets.get(command, ()):
                    good = seconds <= target.within and status in target.statuses
                    self._tally.count(target.name, good=good)
            for mutation in mutations if answer is not None else ():
                self._waiting.pop((owner, mutation), None)

        self._put(lambda: self._store.take(owner, mutations, self._clock() - written), done)

    # ---- work ----------------------------------------------------------------------------------------------------

    def _leave_out(self, command: str, why: LeftOut = "unmeasured") -> None:
        for target in self._targets.get(command, ()):
            self._tally.leave_out(target.name, why)

    def _put(self, step: Callable[[], Step], done: Callable[[Any], None]) -> None:
        """Run this step soon. done: gets its result, None when it was not run."""
        try:
            self._steps.put_nowait((step, done))
        except asyncio.QueueFull:
            done(None)

    def _give_up(self, due: float, owner: str, mutation: str) -> None:
        command, its_due = self._waiting.get((owner, mutation), ("", 0.0))
        if its_due != due:
            # It was settled, or dropped and sent again.
            return
        del self._waiting[owner, mutation]

        def done(answer: Any) -> None:
            if answer is None:
                self._leave_out(command)
            elif answer == 0:
                self._leave_out(command, "left")
            elif answer > 0:
                for target in self._targets.get(command, ()):
                    self._tally.count(target.name, good=False)

        self._put(lambda: self._store.due(owner, mutation), done)

    async def _run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(self._watch())
            started.set()

    async def _work(self) -> None:
        while True:
            self._working = False
            batch = [await self._steps.get()]
            self._working = True
            while len(batch) < _BATCH and not self._steps.empty():
                batch.append(self._steps.get_nowait())
            try:
                answers = await self._store.run([step() for step, _ in batch])
            except StoreUnavailable:
                answers = [None] * len(batch)
            for (_, done), answer in zip(batch, answers, strict=True):
                done(answer)

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            left = self._due[0][0] - self._clock() if self._due else None
            if left is not None and left <= 0:
                self._give_up(*heapq.heappop(self._due))
                continue
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                continue
