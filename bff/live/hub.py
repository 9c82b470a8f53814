"""The hub: every stream of this process, told by the process's one ear, and one timer.

Promises: a stream is registered, and its channel confirmed, before the journal is read, so nothing falls between
snapshot and tail; after any loss of Redis each stream is caught up from its own position while it stays open; a stream
ends when its session does. Refuses to hold more than `streams` streams of one principal in all processes together: the
oldest is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Sequence

from ..calls import Principal
from ..stores.background import Background
from ..stores.journal import Journal, channel_of
from ..stores.processes import Processes
from ..stores.redis.client import RedisClient
from ..stores.redis.clock import ServerClock
from ..stores.redis.subscriptions import Subscriptions
from ..stores.stream_slots import StreamSlots
from ..stores.values import Values
from . import frames
from .arrivals import Joins
from .catchup import Recovery
from .control import CONTROL, Control, Living
from .feeds import Feeds
from .outlet import Outlet
from .restore import Restore, Restorer
from .scheduler import StreamScheduler, back
from .slots import SlotRenewer
from .stream import Stream
from .topics import ValueTopic, topic_of

log = logging.getLogger("bff.live")


class Hub(Background):
    """All streams of one process. `async with hub:`, or `start()` and `stop()`.

    topics   the values one may ask for
    restore  a principal's sagas from the services, newest first; None when there is nowhere to ask
    beat     seconds between beats (default 15);  age  seconds a stream lives at most, ended at 80–100 % of it (600)
    queue    events a slow stream may have waiting (256);  streams  open per principal (16)
    ended    told the hashed id of every browser session that ends, here or in another process
    revoked  whether a principal is not to be believed any more; asked when its stream is admitted, for it was
             authenticated a moment before
    living   which of these session ids are still alive; asked after a logout may have gone unheard
    processes  the gateways' processes, and this one's id; its channel is listened to here
    drain    seconds over which `drain()` spreads the ends (5)
    wall     Unix seconds, for what principals expire by;  clock  monotonic seconds
    """

    def __init__(
        self,
        redis: RedisClient,
        channels: Subscriptions,
        journal: Journal,
        values: Values,
        *,
        topics: Sequence[ValueTopic] = (),
        restore: Restore | None = None,
        beat: float = 15.0,
        age: float = 600.0,
        queue: int = 256,
        streams: int = 16,
        drain: float = 5.0,
        processes: Processes | None = None,
        ended: Callable[[str], None] = lambda session: None,
        revoked: Callable[[Principal], bool] = lambda principal: False,
        living: Living | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("bff-hub", "streams get no news")
        self.topics = tuple(topics)
        self._age = age
        self._queue = queue
        self._cap = streams
        self._revoked = revoked
        self._window = drain
        self._control = Control(redis, ended, living)
        self._wall = wall
        self._clock = clock
        self._timer = StreamScheduler(beat, wall, clock)
        self._streams: dict[Stream, None] = {}
        self._there = ServerClock(redis, wall, clock)
        self._seats = seats = StreamSlots(redis, self._there, processes=processes)
        self._seating = SlotRenewer(seats, lambda: self._catchup.check_soon())
        self._feeds = Feeds(channels, lambda stream: self._catchup.behind(stream), self._evicted)
        self._catchup = Recovery(
            *(journal, values, seats, self._there, channels, self._feeds, self.topics),
            Restorer(journal, restore) if restore is not None else None,
            cap=streams,
            evicted=self._evicted,
            vacate=self._seating.vacate,
            waits=self._waits,
        )
        self._arrivals = Joins(
            *(redis, journal, values, seats, channels, self._feeds, self._catchup),
            cap=streams,
            make=restore is None,
            evicted=self._evicted,
            vacate=self._seating.vacate,
        )
        # A logout before that is heard of is as good as one that was missed.
        channels.subscribe(CONTROL, self._control.heard, after_outage=True)
        channels.subscribe(seats.processes.channel, lambda channel, data: None)
        channels.watch(self._again, self._feeds.doubt)
        self._group: asyncio.TaskGroup | None = None
        self._draining = False
        self._gone = asyncio.Event()

    # ---- life ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End what is left at once. Call `drain()` first to do it gently."""
        self._group = None
        for stream in list(self._streams):
            stream.end("drain", back())
        await super().stop()

    async def _run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._catchup.run(group, self._open_ones))
            group.create_task(self._arrivals.run(group))
            group.create_task(self._timer.run())
            group.create_task(self._seating.run())
            group.create_task(self._control.run())
            started.set()

    async def drain(self, window: float | None = None) -> None:
        """End every stream within the window (seconds), spread evenly, and new ones at once; return when all are gone
        or shortly after the window."""
        self._draining = True
        window = self._window if window is None else window
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(window + 1.0):
                await self._timer.drain(self._open_ones(), window)
                while self._streams:
                    self._gone.clear()
                    await self._gone.wait()

    @property
    def count(self) -> int:
        """Streams open now."""
        return len(self._streams)

    @property
    def restoring(self) -> int:
        """Journals that wait to be restored from the services."""
        return self._catchup.restoring

    def _open_ones(self) -> list[Stream]:
        return [stream for stream in self._streams if not stream.ended]

    # ---- streams -------------------------------------------------------------------------------------------------

    def topic(self, name: str) -> ValueTopic | None:
        """The kind of value a name belongs to, None for one nobody declared."""
        return topic_of(self.topics, name)

    def admit(self, principal: Principal, after: str | None, values: Sequence[str], outlet: Outlet) -> Stream:
        """A stream of everything this principal may see, from the cursor the client sent (None for a snapshot), into
        the outlet. Whoever opens it calls `join`, awaits the client's leaving, and calls `leave` whatever happens."""
        now, wall = self._clock(), self._wall()
        ends_at = now + self._age * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        left = principal.expires_at - wall
        stream = Stream(
            *(principal, after, values, outlet, self._spilled),
            queue=self._queue,
            ends_at=min(ends_at, now + left),
            why="expired" if now + left < ends_at else "age",
            seat=self._seats.new_slot(self._there()),
        )
        self._streams[stream] = None
        self._control.add(stream)
        self._timer.add(stream)
        if self._draining:
            stream.end("drain", back())
        elif left <= 0:
            stream.end("expired", None)
        elif self._revoked(principal):
            # From here on whatever revokes it finds the stream.
            stream.end("logout", None)
        return stream

    def join(self, stream: Stream) -> None:
        """Have it given what it begins with: soon, or once Redis is back."""
        if not stream.ended:
            self._arrivals.welcome(stream)

    def _waits(self, stream: Stream) -> None:
        stream.say(frames.HELLO)
        # Over all processes the seats decide; while they cannot be asked, each process has as many.
        open_ones = [one for one in self._feeds.of(channel_of(stream.owner)) if not one.ended]
        for oldest in open_ones[: max(0, len(open_ones) - self._cap)]:
            _give_way(oldest)

    def leave(self, stream: Stream) -> None:
        """Its client is gone: forget it."""
        stream.close()
        del self._streams[stream]
        self._control.drop(stream)
        self._catchup.forget(stream)
        self._feeds.remove(stream)
        self._timer.drop(stream)
        self._seating.vacate(stream)
        if not self._streams:
            self._gone.set()

    async def snapshot(self, principal: Principal, values: Sequence[str] = ()) -> bytes:
        """`{cursor, sagas, values}` as JSON, what a stream would begin with. Raises StoreUnavailable."""
        return await self._catchup.snapshot(principal, values)

    def _spilled(self, stream: Stream) -> None:
        stream.since = self._clock()
        if self._group is None:
            stream.abort()
        else:
            self._group.create_task(self._pump(stream))

    async def _pump(self, stream: Stream) -> None:
        try:
            if await self._timer.pump(stream):
                self._catchup.behind(stream)
        except Exception:
            # One connection's fault must not end everybody's.
            log.exception("a stream's backlog could not be sent")
            stream.abort()

    # ---- news ----------------------------------------------------------------------------------------------------

    def _again(self, channels: Collection[str]) -> None:
        self._feeds.doubt(channels)
        self._catchup.check_these(channels)
        if self._seats.processes.channel in channels:
            self._catchup.check_soon()
        if CONTROL in channels:
            self._control.doubt()

    # ---- ends ----------------------------------------------------------------------------------------------------

    def _evicted(self, channel: str, seat: str) -> None:
        for stream in self._feeds.of(channel):
            if stream.seat == seat:
                stream.seated = False
                _give_way(stream)

    async def end_session(self, session: str) -> None:
        """End the streams of one browser session here and in every process. Never raises."""
        await self._control.end(session)

    def session_ended(self, session: str) -> None:
        """The same of a session whose end was found out in another way: here alone."""
        self._control.ended(session)

    def end_those(self, gone: Callable[[Principal], bool]) -> None:
        """End the streams here whose principal is not to be believed any more."""
        for stream in self._open_ones():
            if gone(stream.principal):
                stream.end("logout", None)


def _give_way(stream: Stream) -> None:
    stream.end("limit", 30.0)
