"""Bringing streams to the journal's top: at their start, across a gap, and after Redis was away.

Promises: a stream that could not be joined is tried again until it is, and every 20–30 s all positions are compared
with the journals' tops, all values with Redis, which is given again what it has lost, and all seats renewed, so that a
message lost anywhere is found. At most `_AT_ONCE` streams of one node of Redis are joined at a time by themselves; who
waits for a node that is slow or away holds up nobody whose node is not.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence

from ..calls import Principal
from ..stores.journal import Head, Journal, Opened, Position, channel_of
from ..stores.redis.address import NodeAddress
from ..stores.redis.backoff import backoff
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.clock import ServerClock
from ..stores.redis.subscriptions import Subscriptions
from ..stores.stream_slots import StreamSlots
from ..stores.values import Values, value_channel
from . import frames
from .feeds import Feeds
from .loads import WITHIN, Loads
from .restore import Restorer
from .stream import Stream
from .topics import ValueTopic

log = logging.getLogger("bff.live")

_AT_ONCE = 24
_SPREAD = 10.0
"""Seconds over which the services are asked for journals that may lack what nobody has missed yet; with the time until
positions are compared 40 at most."""
_BATCH = 500


class Recovery:
    """Owned by the hub, which runs `run()`. cap: seats per owner; evicted: told each seat that gave way;
    vacate: told a stream that left before it was seated; waits: told a new one that cannot be joined for now."""

    def __init__(
        self,
        journal: Journal,
        values: Values,
        seats: StreamSlots,
        clock: ServerClock,
        channels: Subscriptions,
        feeds: Feeds,
        topics: Sequence[ValueTopic],
        restorer: Restorer | None,
        *,
        cap: int,
        evicted: Callable[[str, str], None],
        vacate: Callable[[Stream], None],
        waits: Callable[[Stream], None],
    ) -> None:
        self._journal = journal
        self._values = values
        self._seats = seats
        self._clock = clock
        self._channels = channels
        self._feeds = feeds
        self._loads = Loads(values, topics, feeds.lacks)
        self._restorer = restorer
        if restorer is not None:
            restorer.look = self._restored
        self._cap = cap
        self._evicted = evicted
        self._vacate = vacate
        self._waits = waits
        self._group: asyncio.TaskGroup | None = None
        self._gates: dict[NodeAddress | None, asyncio.Semaphore] = {}
        # How often in a row each could not be joined though Redis was there.
        self._failures: dict[Stream, int] = {}
        self._behind: dict[Stream, None] = {}
        self._check = False
        self._doubted: dict[str, None] = {}
        self._wake = asyncio.Event()

    def behind(self, stream: Stream) -> None:
        """This stream wants the journal."""
        if not stream.ended:
            if stream.state == "live":
                stream.rejoin()
            self._behind[stream] = None
            self._wake.set()

    def _restored(self, stream: Stream) -> None:
        # A live one has heard of whatever news that brought.
        if stream.state != "live":
            self.behind(stream)

    @property
    def restoring(self) -> int:
        """Journals that wait for their services."""
        return 0 if self._restorer is None else self._restorer.waiting

    def forget(self, stream: Stream) -> None:
        """Its client is gone."""
        self._behind.pop(stream, None)
        self._failures.pop(stream, None)
        if self._restorer is not None:
            self._restorer.forget(stream)

    def check_soon(self) -> None:
        """Something may have been missed: compare every stream's position now."""
        self._check = True
        self._wake.set()

    def check_these(self, channels: Iterable[str]) -> None:
        """Something may have been missed on these channels: compare their streams and values now."""
        self._doubted.update(dict.fromkeys(channels))
        self._wake.set()

    async def run(self, group: asyncio.TaskGroup, streams: Callable[[], list[Stream]]) -> None:
        """Catch up whoever is behind, for ever. `group` owns restores and loads."""
        self._group = self._loads.group = group
        if self._restorer is not None:
            self._restorer.group = group
        failures = 0
        next_check = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(max(0.0, next_check - loop.time()) if next_check else 0.0):
                    await self._wake.wait()
            except TimeoutError:
                self._check = True
            self._wake.clear()
            try:
                try:
                    # Before all positions, which cannot be compared while one node of a cluster is away.
                    await self._compare_doubted()
                    if self._check:
                        await self._compare_all(streams())
                        next_check = loop.time() + random.uniform(20, 30)  # noqa: S311 - jitter
                except StoreUnavailable:
                    if self._channels.degraded:
                        self._join_all()
                    raise
                self._join_all()
                failures = 0
            except StoreUnavailable as error:
                failures += 1
                log.debug("catching up waits for Redis: %s", error)
                await asyncio.sleep(backoff(failures, 0.05, 1.0))
                self._wake.set()

    async def _compare_doubted(self) -> None:
        if not self._doubted:
            return
        channels, self._doubted = self._doubted, {}
        feeds = self._feeds
        try:
            streams = [stream for channel in channels for stream in feeds.of(channel) if not stream.ended]
            await self._compare(streams, feeds.names(channels))
        except BaseException:
            self._doubted = channels | self._doubted
            raise

    async def _compare_all(self, streams: list[Stream]) -> None:
        # What is missed while they are compared is a reason to do it again.
        self._check = False
        try:
            await self._clock.synchronise()
            await self._compare([stream for stream in streams if not stream.ended], self._feeds.names())
        except BaseException:
            self._check = True
            raise

    async def _compare(self, streams: list[Stream], names: list[str]) -> None:
        by_owner: dict[str, list[Stream]] = {}
        for stream in streams:
            by_owner.setdefault(stream.owner, []).append(stream)
        owners = list(by_owner)
        for start in range(0, len(owners), _BATCH):
            batch = owners[start : start + _BATCH]
            for owner, head in (await self._journal.heads(batch)).items():
                for stream in by_owner[owner]:
                    self._compare_one(stream, head)
            seated = {owner: [one.seat for one in by_owner[owner] if one.seated] for owner in batch}
            for owner, taken in await self._seats.renew(
                {owner: held for owner, held in seated.items() if held}
            ):
                if taken > self._cap:
                    await self._sit(owner, seated[owner])
        feeds = self._feeds
        era = feeds.era
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            found = await self._values.get(batch)
            feeds.learn(batch, found, era)
            # Versions are the services': one that Redis has lost is true all the same.
            for name, value in feeds.ahead(batch, found).items():
                await self._values.put_payload(name, value)

    def _compare_one(self, stream: Stream, head: Head) -> None:
        if stream.state not in ("joining", "live"):
            return
        if stream.state == "joining" or not stream.at(head.position):
            self.behind(stream)
        elif not head.complete:
            if self._restorer is None:
                self.behind(stream)
            else:
                # What Redis has forgotten since is known to the services alone; the stream goes on meanwhile.
                self._restorer.want(stream, spread=_SPREAD)

    async def _sit(self, owner: str, seats: Sequence[str]) -> None:
        channel = channel_of(owner)
        for gone in await self._seats.hold(owner, self._cap, seats):
            self._evicted(channel, gone)

    def _join_all(self) -> None:
        streams, self._behind = list(self._behind), {}
        if streams and not self._channels.connected:
            self._behind = dict.fromkeys(streams)
            raise StoreUnavailable("no pub/sub connection")
        for stream in streams:
            if not stream.ended and self._group is not None:
                self._group.create_task(self._join_again(stream))

    async def _join_again(self, stream: Stream, *, new: bool = False) -> None:
        try:
            await self._join(stream)
            self._failures.pop(stream, None)
        except StoreUnavailable as error:
            if stream.ended:
                # Who left meanwhile has no channel any more, and is no sign of anything.
                return
            log.debug("a stream waits for Redis: %s", error)
            if new:
                self._waits(stream)
            if self._channels.connected:
                # Its node is away, or slow: nobody else waits for that.
                failures = self._failures[stream] = self._failures.get(stream, 0) + 1
                await asyncio.sleep(backoff(failures, 0.05, 1.0))
            if stream.state != "live":
                self.behind(stream)
        except Exception:
            log.exception("a stream could not be joined")
            stream.abort()

    def begin(self, stream: Stream, opened: Opened) -> bool:
        """Give it what the journal says; False: it has to be read once more."""
        if stream.state != "joining":
            # It has ended, or does not read: then it asks again once it does.
            return True
        newest = self._feeds.payloads(stream.names)
        restorer = None if opened.complete else self._restorer
        follows = opened.kind == "history"
        if restorer is None or follows:
            # What follows its position exactly is true whatever else the journal may lack.
            done = stream.join(opened, list(newest.values()))
        else:
            done = stream.bide(list(newest.values()), opened)
        if not done or stream.again:
            return False
        if restorer is not None and not stream.ended:
            restorer.want(stream, spread=_SPREAD if follows else 0.0)
        self._loads.begin([name for name in stream.names if name not in newest])
        return True

    def apart(self, stream: Stream) -> None:
        """Join a new stream by itself."""
        if self._group is None or stream.ended:
            return
        if self._channels.connected:
            self._group.create_task(self._join_again(stream, new=True))
        else:
            self.behind(stream)
            self._waits(stream)

    async def _join(self, stream: Stream) -> None:
        if stream.opening:
            stream.again = True
            return
        stream.opening = True
        feeds = self._feeds
        try:
            while not stream.ended:
                stream.again = False
                era = feeds.era
                await self._channels.wait_confirmed(
                    channel_of(stream.owner), *map(value_channel, stream.names)
                )
                async with self._gate(stream.owner):
                    if not stream.seated:
                        # Not before its channel is confirmed: whoever takes the seat later says so there.
                        await self._sit(stream.owner, [stream.seat])
                        stream.seated = True
                        if stream.state == "closed":
                            self._vacate(stream)
                    unknown = feeds.unknown(stream.names)
                    feeds.learn(unknown, await self._values.get(unknown), era)
                # From here on what is published is held back, so that the position stays where it is read from.
                before = stream.state
                stream.rejoin()
                try:
                    opened = await self._open(stream.principal, stream.position)
                except StoreUnavailable:
                    if before == "biding":
                        # Of its values it goes on to hear meanwhile.
                        stream.bide(())
                    raise
                if self.begin(stream, opened):
                    break
        finally:
            stream.opening = False

    def _gate(self, owner: str) -> asyncio.Semaphore:
        home = self._channels.node_of(channel_of(owner))
        if home not in self._gates:
            self._gates[home] = asyncio.Semaphore(_AT_ONCE)
        return self._gates[home]

    async def _open(self, principal: Principal, after: Position | None) -> Opened:
        async with self._gate(principal.id):
            return await self._journal.open(principal.id, after, make=self._restorer is None)

    async def snapshot(self, principal: Principal, names: Sequence[str]) -> bytes:
        """The state as JSON. Values nobody has published yet are waited for, up to a second. Raises StoreUnavailable,
        also while the services cannot say what a lost journal held."""
        opened = await self._open(principal, None)
        if not opened.complete and self._restorer is not None:
            if not await self._restorer.once(principal):
                raise StoreUnavailable("the journal is lost, and could not be restored yet")
            opened = await self._open(principal, None)
        found = await self._values.get(names)
        missing = [name for name in names if name not in found]
        loads = self._loads.begin(missing)
        if loads:
            await asyncio.wait(loads, timeout=WITHIN)
            found |= await self._values.get(missing)
        newest = [found[name].payload for name in dict.fromkeys(names) if name in found]
        return frames.state_body(opened.reader_position, opened.entries, newest)
