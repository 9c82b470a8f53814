"""The hub: all live streams of this process, from their admission to their end.

Guarantees: a stream is registered, and its channel confirmed, before the journal is read, so that nothing is lost
between snapshot and events; after Redis was away each open stream continues from its position; a stream ends with its
session. A principal has at most `streams` open streams in all processes together: beyond that the oldest one is ended.
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
from ..stores.redis.client import RedisClient, StoreUnavailable
from ..stores.redis.clock import ServerClock
from ..stores.redis.subscriptions import Subscriptions
from ..stores.stream_slots import StreamSlots
from ..stores.values import Values
from .control import CONTROL, Control, StillOpen
from .feeds import Feeds
from .joins import Joins
from .loads import WITHIN, Loads
from .observation import UNOBSERVED, LiveObserver, ResetReason
from .outcomes import OutcomeMeter
from .outlet import Outlet, Snapshot
from .recovery import Recovery
from .restore import Restore, Restorer
from .scheduler import StreamScheduler, retry_after
from .slots import SlotRenewer
from .stream import Stream
from .topics import ValueTopic, topic_of
from .traces import LiveTraces, StreamTrace

log = logging.getLogger("bff.live")


class Hub(Background):
    """All streams of one process, and the `StreamListener` of its parts. Use `async with hub:`, or `start()` and
    `stop()`.

    topics          the kinds of values that a stream may have
    restore         returns a principal's sagas from the services, newest first; None when there are no such services
    beat            seconds between heartbeats (15)
    age             seconds that a stream lives at most; it ends after 80–100 % of it (600)
    queue           events that are held back for a stream while it joins (256)
    streams         open streams of one principal (16)
    drain           seconds over which `drain()` spreads the ends of streams (5)
    processes       knows which gateway processes are dead; its channel is subscribed here
    on_session_end  called with the hashed id of each browser session that ends, in any process
    is_revoked      whether a principal is no longer valid; called when its stream is admitted, because it was
                    authenticated earlier
    still_open      returns those of some sessions that have not ended; called after the end of one may have been missed
    outcomes        times commands until their outcome is on a stream; None: no SLO needs it
    traces          records streams and deliveries; None: nothing is recorded
    wall            Unix seconds, by which principals expire
    clock           monotonic seconds
    observer        told of joins, resets, ends and lags
    """

    def __init__(
        self,
        redis: RedisClient,
        subscriptions: Subscriptions,
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
        on_session_end: Callable[[str], None] = lambda session: None,
        is_revoked: Callable[[Principal], bool] = lambda principal: False,
        still_open: StillOpen | None = None,
        outcomes: OutcomeMeter | None = None,
        traces: LiveTraces | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        observer: LiveObserver = UNOBSERVED,
    ) -> None:
        super().__init__("bff-hub", "streams get no events")
        self.topics = tuple(topics)
        self._journal = journal
        self._values = values
        self._age = age
        self._queue = queue
        self._cap = streams
        self._is_revoked = is_revoked
        self._outcomes = outcomes
        self._window = drain
        self._wall = wall
        self._clock = clock
        self._observer = observer
        self._streams: dict[Stream, None] = {}
        self._control = Control(redis, on_session_end, still_open)
        self._scheduler = StreamScheduler(beat, wall, clock)
        self._server_clock = ServerClock(redis, wall, clock)
        self._slots = slots = StreamSlots(redis, self._server_clock, processes=processes)
        self._renewer = SlotRenewer(slots, self)
        self._traces = traces
        self._feeds = feeds = Feeds(subscriptions, self, observer, traces, wall)
        self._loads = Loads(values, self.topics, feeds)
        self._restorer = None if restore is None else Restorer(journal, restore, self)
        self._joins = Joins(
            *(redis, journal, values, slots, subscriptions, feeds, self._loads, self._restorer, self),
            cap=streams,
        )
        self._recovery = Recovery(
            *(journal, values, slots, self._server_clock, feeds, self._restorer, self), cap=streams
        )
        # The end of a session that is published before the subscription is confirmed counts as missed.
        subscriptions.subscribe(CONTROL, self._control.on_message, after_outage=True)
        subscriptions.subscribe(slots.processes.channel, lambda channel, data: None)
        subscriptions.watch(self._on_resubscribed, feeds.invalidate)
        self._group: asyncio.TaskGroup | None = None
        self._draining = False
        self._empty = asyncio.Event()

    # ---- life ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the remaining streams at once. Call `drain()` first to spread the ends over time."""
        self._group = None
        for stream in list(self._streams):
            stream.end("drain", retry_after())
        await super().stop()

    async def _run(self, started: asyncio.Event) -> None:
        parts = (self._recovery, self._joins, self._loads, self._scheduler, self._renewer, self._control)
        async with asyncio.TaskGroup() as group:
            self._group = group
            for part in parts:
                group.create_task(part.run())
            if self._restorer is not None:
                group.create_task(self._restorer.run())
            started.set()

    async def drain(self, window: float | None = None) -> None:
        """End every stream within the window (seconds; default: `drain` of the hub), spread evenly, and new streams at
        once. Returns when all clients have left, at the latest 1 s after the window."""
        self._draining = True
        window = self._window if window is None else window
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(window + 1.0):
                await self._scheduler.drain(self._open_streams(), window)
                while self._streams:
                    self._empty.clear()
                    await self._empty.wait()

    @property
    def count(self) -> int:
        """Streams open now."""
        return len(self._streams)

    @property
    def restoring(self) -> int:
        """Journals that wait to be restored from the services."""
        return 0 if self._restorer is None else self._restorer.waiting

    @property
    def principals(self) -> list[Principal]:
        """Those of the open streams, once for each stream."""
        return [stream.principal for stream in self._open_streams()]

    def _open_streams(self) -> list[Stream]:
        return [stream for stream in self._streams if not stream.ended]

    # ---- streams -------------------------------------------------------------------------------------------------

    def topic(self, name: str) -> ValueTopic | None:
        """The declared kind of the value with this name, None when it is not declared."""
        return topic_of(self.topics, name)

    def trace(self, values: int) -> StreamTrace | None:
        """The trace of a stream that the current request opens; None: it is not recorded. values: that it asks for."""
        return None if self._traces is None else self._traces.stream(values)

    def admit(
        self,
        principal: Principal,
        after: str | None,
        values: Sequence[str],
        outlet: Outlet,
        trace: StreamTrace | None = None,
    ) -> Stream:
        """Register a new stream of this principal. after: the cursor that the client sent, None for a snapshot; values:
        names of values; trace: from `trace`. The caller calls `join`, waits until the client leaves, and then always
        calls `leave`."""
        now, wall = self._clock(), self._wall()
        ends_at = now + self._age * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        left = principal.expires_at - wall
        stream = Stream(
            *(principal, after, values, outlet, self),
            queue=self._queue,
            ends_at=min(ends_at, now + left),
            end_reason="expired" if now + left < ends_at else "age",
            slot=self._slots.new_slot(self._server_clock()),
            on_sent=None if self._outcomes is None else self._outcomes.on_sent,
            trace=trace,
        )
        self._streams[stream] = None
        self._control.add(stream)
        self._scheduler.add(stream)
        if self._draining:
            stream.end("drain", retry_after())
        elif left <= 0:
            stream.end("expired", None)
        elif self._is_revoked(principal):
            # A later revocation ends the stream, because it is registered.
            stream.end("logout", None)
        return stream

    def join(self, stream: Stream) -> None:
        """Give a stream its state or history soon, or when Redis is back."""
        self._joins.want(stream)

    def leave(self, stream: Stream) -> None:
        """Forget a stream whose client has left."""
        self._observer.on_stream_ended(stream.ended_by or "client")
        stream.close()
        if self._outcomes is not None:
            self._outcomes.forget(stream)
        if stream.trace is not None:
            stream.trace.end()
            stream.trace = None
        del self._streams[stream]
        self._control.drop(stream)
        self._joins.forget(stream)
        if self._restorer is not None:
            self._restorer.forget(stream)
        self._feeds.remove(stream)
        self._scheduler.drop(stream)
        self._renewer.release(stream)
        if not self._streams:
            self._empty.set()

    async def snapshot(self, principal: Principal, names: Sequence[str] = ()) -> Snapshot:
        """The state with which a stream would begin. names: of values. Waits up to a second for values that have not
        been published yet. Raises StoreUnavailable, also while the services cannot restore a lost journal."""
        opened = await self._joins.read(principal.id)
        if not opened.complete and self._restorer is not None:
            if not await self._restorer.once(principal):
                raise StoreUnavailable("the journal is lost and has not been restored yet")
            opened = await self._joins.read(principal.id)
        found = await self._values.get(names)
        missing = [name for name in names if name not in found]
        loads = self._loads.begin(missing)
        if loads:
            await asyncio.wait(loads, timeout=WITHIN)
            found |= await self._values.get(missing)
        newest = [found[name].payload for name in dict.fromkeys(names) if name in found]
        return Snapshot(opened.reader_position, opened.entries, newest)

    def reload(self, name: str) -> None:
        """The data of the value with this name has changed: load it again where a stream follows it, if it is declared
        with a load. Any other name is ignored."""
        self._loads.reload(name)

    async def end_session(self, session: str) -> None:
        """End the streams of one browser session here and in every process. Never raises."""
        await self._control.end(session)

    def session_ended(self, session: str) -> None:
        """End the streams of this session in this process; other processes know of its end already."""
        self._control.end_here(session)

    def end_revoked(self, revoked: Callable[[Principal], bool]) -> None:
        """End the streams of this process whose principal is no longer valid."""
        for stream in self._open_streams():
            if revoked(stream.principal):
                stream.end("logout", None)

    # ---- the listener of its parts -------------------------------------------------------------------------------

    def on_buffering(self, stream: Stream) -> None:
        stream.progress_at = self._clock()
        if self._group is None:
            stream.abort()
        else:
            self._group.create_task(self._flush(stream))

    async def _flush(self, stream: Stream) -> None:
        try:
            lagged = await self._scheduler.flush(stream)
            if self._outcomes is not None:
                # What was dropped comes again with the state.
                settle = (
                    self._outcomes.forget if lagged or stream.state == "closed" else self._outcomes.on_flushed
                )
                settle(stream)
            if lagged:
                self._joins.want(stream)
            self.on_current(stream)
        except Exception:
            # An error of one connection must not end other streams.
            log.exception("buffered messages could not be sent to a stream's client")
            stream.abort()

    def on_current(self, stream: Stream) -> None:
        # What a client got late counts once, with its oldest event.
        if stream.late_since and stream.is_current:
            self._observer.on_written(max(0.0, self._wall() - stream.late_since), 1)
            stream.late_since = 0.0

    def on_joined(self, stream: Stream, reset: ResetReason | None) -> None:
        self._observer.on_joined()
        if reset is not None:
            self._observer.on_reset(reset)

    def on_lagging(self, stream: Stream) -> None:
        self._joins.want(stream)

    def on_restored(self, stream: Stream) -> None:
        # A live stream has already got the events that were published by the restore.
        if stream.state != "live":
            self._joins.want(stream)

    def on_waiting(self, stream: Stream) -> None:
        stream.hello()
        # The cap applies to all processes together; while Redis is away, to each process.
        open_streams = self._feeds.streams([channel_of(stream.owner)])
        for oldest in open_streams[: max(0, len(open_streams) - self._cap)]:
            _evict(oldest)

    def on_evicted(self, channel: str, slot: str) -> None:
        for stream in self._feeds.streams([channel]):
            if stream.slot == slot:
                stream.has_slot = False
                _evict(stream)

    def on_slot_unused(self, stream: Stream) -> None:
        self._renewer.release(stream)

    def on_slots_expired(self) -> None:
        self._recovery.check_soon()

    def _on_resubscribed(self, channels: Collection[str]) -> None:
        self._feeds.invalidate(channels)
        self._recovery.check(channels)
        if self._slots.processes.channel in channels:
            self._recovery.check_soon()
        if CONTROL in channels:
            self._control.check()


def _evict(stream: Stream) -> None:
    stream.end("limit", 30.0)
