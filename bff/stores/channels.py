"""What a process listens to, on one pub/sub connection, or in a cluster on one for each node that has a channel's slot.

Promises: `ready(channel)` returns only after the server confirmed the subscription, and whoever listens is told when
something may have been missed: `on_up` after the connection was made again and every channel is confirmed, `on_again`
after single channels were confirmed anew, because their node was away or their slot has moved. In a cluster channels
with a hash tag are sharded: they are heard at the node that has their slot, and nowhere else is anything sent. Those
without are everybody's and come over a connection to any node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from .dial import Place
from .ear import UNSERVED, Ear
from .link import RedisLink, StoreUnavailable

log = logging.getLogger("bff.stores")


class Channels:
    """Subscriptions counted per channel. `run()` is the owner's to start and to cancel.

    on_message        called with a channel and what was published to it
    on_up, on_down    called when nothing is missed any more, and when something may be from now on; in a cluster said
                      of channels without a hash tag
    on_again          called with the channels of a cluster's nodes that were not heard for a while and now are
    beat, dead_after  seconds; see `Ear`
    """

    def __init__(
        self,
        link: RedisLink,
        on_message: Callable[[str, bytes], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None] = lambda: None,
        on_again: Callable[[Collection[str]], None] = lambda channels: None,
        *,
        beat: float = 1.0,
        dead_after: float = 3.0,
    ) -> None:
        self.message = on_message
        self._link = link
        self._on_up = on_up
        self._on_down = on_down
        self._on_again = on_again
        self._beat = beat
        self._dead_after = dead_after
        self._wanted: dict[str, int] = {}
        self._confirmed: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._main = self._ear(None)
        self._nodes: dict[Place, Ear] = {}
        self._homes: dict[str, Ear] = {}
        # Channels whose node is to be found, or looked for again.
        self._placing: dict[str, None] = {}
        self._look = asyncio.Event()
        self._missed: set[str] = set()
        self._again: set[str] = set()
        self._tasks: dict[Ear, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def _ear(self, place: Place | None) -> Ear:
        link, patience = self._link, self._dead_after
        return Ear(
            lambda: link.dedicated(timeout=patience, place=place),
            self,
            sharded=place is not None,
            beat=self._beat,
            dead_after=patience,
            era=lambda: link.era,
        )

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._main.up or any(ear.up for ear in self._nodes.values())

    @property
    def partly(self) -> bool:
        """Whether a node of a cluster is away while others are there."""
        return self.up and any(ear.away for ear in self._nodes.values())

    def add(self, channel: str) -> None:
        """Want a channel (counted); it is subscribed now or as soon as there is a connection."""
        count = self._wanted.get(channel, 0)
        self._wanted[channel] = count + 1
        if count:
            return
        if self._link.cluster and "{" in channel:
            self._placing[channel] = None
            self._look.set()
        else:
            self._homes[channel] = self._main
            self._main.add(channel)

    def discard(self, channel: str) -> None:
        """Want it once less; the last one out unsubscribes."""
        count = self._wanted.get(channel, 0)
        if count > 1:
            self._wanted[channel] = count - 1
            return
        self._wanted.pop(channel, None)
        self._confirmed.discard(channel)
        self._missed.discard(channel)
        self._placing.pop(channel, None)
        waiting = self._waiting.pop(channel, None)
        if waiting is not None:
            waiting.cancel()
        home = self._homes.pop(channel, None)
        if home is not None:
            home.discard(channel)

    async def ready(self, *channels: str, timeout: float = 1.0) -> None:
        """Return once the server has confirmed all these wanted channels; StoreUnavailable after `timeout` seconds, or
        at once when the node of one is away."""
        missing = [channel for channel in channels if channel not in self._confirmed]
        if not missing:
            return
        homes = [self._homes.get(channel) for channel in missing]
        if any(ear is not None and ear is not self._main and ear.away for ear in homes):
            raise StoreUnavailable("the node that has a channel is away")
        loop = asyncio.get_running_loop()
        waiting = [self._waiting.setdefault(channel, loop.create_future()) for channel in missing]
        await asyncio.wait(waiting, timeout=timeout)
        if not self._confirmed.issuperset(missing):
            raise StoreUnavailable(f"{len(missing)} channels were not subscribed within {timeout} s")

    async def run(self) -> None:
        """Hold the connections for ever; cancel it to stop."""
        if not self._link.cluster:
            await self._main.run()
            return
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self._main.run())
                await self._place()
        finally:
            self._group = None
            self._nodes.clear()
            self._tasks.clear()

    # ---- what ears say ---------------------------------------------------------------------------------------

    def confirmed(self, ear: Ear, channel: str) -> None:
        """It is subscribed there."""
        self._confirmed.add(channel)
        if channel in self._missed:
            # Said before anybody who waits goes on: what is known of this channel is old.
            self._missed.discard(channel)
            if not self._again:
                asyncio.get_running_loop().call_soon(self._tell)
            self._again.add(channel)
        waiting = self._waiting.pop(channel, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def whole(self, ear: Ear) -> None:
        """All its channels are confirmed since it connected."""
        if ear is self._main:
            self._on_up()

    def lost(self, ear: Ear) -> None:
        """It has no connection; its channels may be another node's by now."""
        if ear is self._main:
            self._confirmed.difference_update(ear.wanted)
            self._on_down()
        else:
            self._unheard(ear.wanted)
            self._look.set()

    def moved(self, ear: Ear, channels: Sequence[str], pause: float) -> None:
        """That server does not carry them."""
        self._unheard(channels)
        for channel in channels:
            self._homes.pop(channel, None)
        asyncio.get_running_loop().call_later(pause, self._look.set)

    def _unheard(self, channels: Collection[str]) -> None:
        self._missed.update(self._confirmed.intersection(channels))
        self._confirmed.difference_update(channels)
        self._placing.update(dict.fromkeys(channels))
        self._link.doubt()

    def _tell(self) -> None:
        again, self._again = self._again, set()
        self._on_again(again)

    # ---- where channels are ----------------------------------------------------------------------------------

    async def _place(self) -> None:
        """Give each channel that waits for one its node, for ever."""
        while True:
            await self._look.wait()
            self._look.clear()
            channels = list(self._placing)
            try:
                homes = await self._link.homes(channels)
            except StoreUnavailable as error:
                log.debug("where channels are cannot be asked: %s", error)
                asyncio.get_running_loop().call_later(UNSERVED, self._look.set)
                continue
            for channel, place in zip(channels, homes, strict=True):
                if channel in self._placing and place is not None:
                    del self._placing[channel]
                    self._settle(channel, self._at(place))
            if any(place is None for place in homes):
                self._link.doubt()
                asyncio.get_running_loop().call_later(UNSERVED, self._look.set)
            for place, ear in list(self._nodes.items()):
                if ear.away and not ear.wanted:
                    del self._nodes[place]
                    self._tasks.pop(ear).cancel()

    def _settle(self, channel: str, ear: Ear) -> None:
        before = self._homes.get(channel)
        if before is not None and before is not ear:
            before.discard(channel)
        self._homes[channel] = ear
        ear.add(channel)

    def _at(self, place: Place) -> Ear:
        ear = self._nodes.get(place)
        if ear is None:
            ear = self._nodes[place] = self._ear(place)
            if self._group is not None:
                self._tasks[ear] = self._group.create_task(ear.run())
        return ear
