"""The hub: every stream of this process, one connection that hears of news, one timer.

Promises: a stream is registered, and its channel confirmed, before the journal is read, so nothing falls between
snapshot and tail; after any loss of Redis each stream is caught up from its own position while it stays open; a stream
ends when its session does. Refuses to hold more than `streams` streams of one principal: the oldest is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

from ..calls import Principal
from ..stores.channels import Channels
from ..stores.journal import Journal, Position, channel_of, unpack_frame
from ..stores.link import RedisLink, StoreUnavailable, reaching
from ..stores.values import Values, unpack_value, value_channel
from . import frames
from .catchup import CatchUp
from .restore import Restore, Restorer
from .stream import Stream
from .topics import ValueTopic, topic_of

log = logging.getLogger("bff.live")

CONTROL = "bff:control"


class Hub:
    """All streams of one process. `async with hub:`, or `start()` and `stop()`.

    topics   the values one may ask for
    restore  a principal's sagas from the services, newest first; None when there is nowhere to ask
    beat     seconds between beats (default 15);  age  seconds a stream lives at most, ended at 80–100 % of it (600)
    queue    events a slow stream may have waiting (256);  streams  open per principal (16)
    ended    told the hashed id of every browser session that ends, here or in another process
    drain    seconds over which `drain()` spreads the ends (5);  keep  seconds ended sagas are restored for (24 h)
    wall     Unix seconds, for what principals expire by;  clock  monotonic seconds
    """

    def __init__(
        self,
        link: RedisLink,
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
        keep: float = 86_400.0,
        ended: Callable[[str], None] = lambda session: None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self.topics = tuple(topics)
        self._beat = beat
        self._age = age
        self._queue = queue
        self._cap = streams
        self._window = drain
        self._told_ended = ended
        self._wall = wall
        self._clock = clock
        self._tick = min(0.25, beat / 4)
        self._owners: dict[str, list[Stream]] = {}
        self._by_channel: dict[str, list[Stream]] = {}
        self._by_value: dict[str, list[Stream]] = {}
        self._channels = Channels(link, self._heard, self._reconnected)
        self._channels.add(CONTROL)
        restorer = Restorer(journal, restore, keep=keep) if restore is not None else None
        self._catchup = CatchUp(journal, values, self._channels, self.topics, restorer)
        self._main: asyncio.Task[None] | None = None
        self._draining = False
        self._gone = asyncio.Event()

    # ---- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; does not wait for Redis: streams that come before it are caught up once it is there."""
        if self._main is None:
            started = asyncio.Event()
            self._main = asyncio.create_task(self._run(started))
            self._main.add_done_callback(_ended)
            await started.wait()

    @property
    def alive(self) -> bool:
        """False when its work ended though nobody stopped it: such a process can only be replaced."""
        return self._main is not None and not self._main.done()

    async def stop(self) -> None:
        """End what is left at once. Call `drain()` first to do it gently."""
        for stream in self._all():
            stream.end("drain", random.uniform(0, max(1.0, self._window)))  # noqa: S311 - jitter
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await main

    async def __aenter__(self) -> Hub:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._channels.run())
            group.create_task(self._catchup.run(group, self._all))
            group.create_task(self._timer())
            started.set()

    async def drain(self, window: float | None = None) -> None:
        """End every stream at a random moment of the window (seconds), and new ones at once; return when all are gone
        or shortly after the window."""
        self._draining = True
        window = self._window if window is None else window
        now = self._clock()
        for stream in self._all():
            moment = now + random.uniform(0, window)  # noqa: S311 - jitter
            if moment < stream.ends_at:
                stream.ends_at, stream.why = moment, "drain"
                # Spread the returns, too: whoever takes over must not meet everybody at once.
                stream.hint = random.uniform(0, max(1.0, window))  # noqa: S311 - jitter
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(window + 1.0):
                while self._owners:
                    self._gone.clear()
                    await self._gone.wait()

    @property
    def count(self) -> int:
        """Streams open now."""
        return sum(map(len, self._owners.values()))

    def _all(self) -> list[Stream]:
        return [stream for streams in self._owners.values() for stream in streams]

    # ---- streams -------------------------------------------------------------------------------------------------

    def topic(self, name: str) -> ValueTopic | None:
        """The kind of value a name belongs to, None for one nobody declared."""
        return topic_of(self.topics, name)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, principal: Principal, after: str | None = None, values: Sequence[str] = ()
    ) -> AsyncIterator[Stream]:
        """A stream of everything this principal may see, from the cursor the client sent (None for a snapshot).

        Redis away raises nothing: the stream is open, and gets its snapshot once Redis is back.
        """
        now = self._clock()
        ends_at = now + self._age * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        left = principal.expires_at - self._wall()
        stream = Stream(
            *(principal, after, values),
            queue=self._queue,
            ends_at=min(ends_at, now + left),
            why="expired" if now + left < ends_at else "age",
        )
        stream.beat_at = now + self._beat - self._tick
        self._register(stream)
        try:
            if self._draining:
                stream.end("drain", random.uniform(0, max(1.0, self._window)))  # noqa: S311 - jitter
            elif left <= 0:
                stream.end("expired", None)
            else:
                await self._catchup.join(stream)
            yield stream
        finally:
            self._unregister(stream)

    async def snapshot(self, principal: Principal, values: Sequence[str] = ()) -> bytes:
        """`{cursor, sagas, values}` as JSON, the state a stream would begin with. Raises StoreUnavailable."""
        return await self._catchup.snapshot(principal, values)

    def _register(self, stream: Stream) -> None:
        mine = self._owners.setdefault(stream.owner, [])
        open_ones = [one for one in mine if not one.ended]
        for oldest in open_ones[: max(0, len(open_ones) + 1 - self._cap)]:
            oldest.end("limit", 30.0)
        mine.append(stream)
        channel = channel_of(stream.owner)
        self._by_channel.setdefault(channel, []).append(stream)
        self._channels.add(channel)
        for name in stream.names:
            channel = value_channel(name)
            self._by_value.setdefault(channel, []).append(stream)
            self._channels.add(channel)

    def _unregister(self, stream: Stream) -> None:
        stream.close()
        channel = channel_of(stream.owner)
        places = [(self._owners, stream.owner), (self._by_channel, channel)]
        places += [(self._by_value, value_channel(name)) for name in stream.names]
        for place, key in places:
            place[key].remove(stream)
            if not place[key]:
                del place[key]
        self._channels.discard(channel)
        for name in stream.names:
            self._channels.discard(value_channel(name))
        if not self._owners:
            self._gone.set()

    # ---- news ----------------------------------------------------------------------------------------------------

    def _heard(self, channel: str, data: bytes) -> None:
        if channel in self._by_channel:
            event = unpack_frame(data)
            if event is not None:
                self._saga(channel, *event)
        elif channel in self._by_value:
            value = unpack_value(data)
            if value is not None:
                name = channel.removeprefix(value_channel(""))
                for stream in self._by_value[channel]:
                    stream.offer_value(name, value)
        elif channel == CONTROL:
            self._controlled(data)

    def _saga(self, channel: str, position: Position, entry: bytes) -> None:
        frame = frames.saga(position, entry)
        for stream in self._by_channel[channel]:
            if not stream.offer(position, frame):
                self._catchup.behind(stream)

    def _reconnected(self) -> None:
        self._catchup.check_soon()

    # ---- ends ----------------------------------------------------------------------------------------------------

    async def end_session(self, session: str) -> None:
        """End the streams of one browser session here and in every process. Never raises: with Redis away the others
        end theirs at the session's expiry or their age."""
        self._end_session(session)
        message = json.dumps({"end": "session", "session": session})
        try:
            with reaching("control"):
                await self._link.client.publish(CONTROL, message)
        except StoreUnavailable as error:
            log.warning("other processes were not told of a logout: %s", error)

    def _controlled(self, data: bytes) -> None:
        try:
            message = json.loads(data)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("end") == "session":
            self._end_session(message.get("session"))

    def _end_session(self, session: object) -> None:
        if not isinstance(session, str):
            return
        self._told_ended(session)
        for stream in self._all():
            if stream.principal.session == session:
                stream.end("logout", None)

    def end_those(self, gone: Callable[[Principal], bool]) -> None:
        """End the streams here whose principal is not to be believed any more."""
        for stream in self._all():
            if gone(stream.principal):
                stream.end("logout", None)

    async def _timer(self) -> None:
        """One timer for all: beats, and the moments at which streams end."""
        while True:
            await asyncio.sleep(self._tick)
            now = self._clock()
            beat = frames.beat(datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds"))
            for stream in self._all():
                if now >= stream.ends_at:
                    hint = random.uniform(0, 1) if stream.why == "age" else stream.hint  # noqa: S311 - jitter
                    stream.end(stream.why, hint)
                elif now >= stream.beat_at:
                    stream.beat_at = now + self._beat - self._tick
                    stream.beat(beat)


def _ended(main: asyncio.Task[None]) -> None:
    if not main.cancelled() and main.exception() is not None:
        log.critical("the hub has stopped: streams get no news until a restart", exc_info=main.exception())
