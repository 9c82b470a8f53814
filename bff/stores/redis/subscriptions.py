"""What a process listens to: one pub/sub connection, or in a cluster one for each node that has a channel's slot.

Promises: each channel's own listener is told what is published there; `ready(channel)` returns only after the server
confirmed the subscription; and whoever watches is told which channels are not heard any more, and which are again, so
that what was missed meanwhile can be read. In a cluster channels with a hash tag are sharded: they are heard at the
node that has their slot, and nowhere else is anything sent. Those without are everybody's and come over the connection
to any of these nodes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from ..background import Background
from .address import NodeAddress
from .client import RedisClient, StoreUnavailable
from .pubsub import RETRY_PAUSE, OnMessage, PubSubConnection

log = logging.getLogger("bff.stores")

OnChannels = Callable[[Collection[str]], None]


class Subscriptions(Background):
    """One for a process: `async with subscriptions:`, or `start()` and `stop()`.

    beat, dead_after: seconds; see `PubSubConnection`."""

    def __init__(self, client: RedisClient, *, beat: float = 1.0, dead_after: float = 3.0) -> None:
        super().__init__("bff-channels", "nothing published is heard")
        self._client = client
        self._beat = beat
        self._dead_after = dead_after
        self._watching: list[tuple[OnChannels, OnChannels]] = []
        self._listeners: dict[str, OnMessage] = {}
        self._homes: dict[str, PubSubConnection] = {}
        self._confirmed: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        # Channels whose node is to be found, or looked for again.
        self._placing: dict[str, None] = {}
        self._look = asyncio.Event()
        self._missed: set[str] = set()
        self._again: set[str] = set()
        self._ears: dict[NodeAddress | None, PubSubConnection] = {}
        self._tasks: dict[PubSubConnection, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        if not client.cluster:
            self._at(None)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return any(ear.connected for ear in self._ears.values())

    @property
    def degraded(self) -> bool:
        """Whether a node of a cluster is away while others are there."""
        return self.connected and any(ear.away for ear in self._ears.values())

    # ---- life ------------------------------------------------------------------------------------------------

    async def _run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._tasks = {ear: group.create_task(ear.run()) for ear in self._ears.values()}
            started.set()
            await self._place()

    # ---- for rooms -------------------------------------------------------------------------------------------

    def watch(self, again: OnChannels, lost: OnChannels = lambda channels: None) -> None:
        """lost: told the channels that are not heard from now on; again: those that now are, after a while in which
        something may have been missed. Each is told of all channels, not only of its own."""
        self._watching.append((again, lost))

    def subscribe(self, channel: str, heard: OnMessage, *, after_outage: bool = False) -> None:
        """Subscribe now or as soon as there is a connection; `heard` must not block. A channel has one listener.

        after_outage: what was published before this is confirmed counts as missed
        """
        if channel in self._listeners:
            raise ValueError(f"somebody listens to {channel} already")
        self._listeners[channel] = heard
        if after_outage:
            self._missed.add(channel)
        only = self._ears.get(None)
        if only is not None:
            self._settle(channel, only)
        else:
            self._placing[channel] = None
            self._look.set()

    def unsubscribe(self, channel: str) -> None:
        """Listen to it no longer."""
        del self._listeners[channel]
        self._confirmed.discard(channel)
        self._missed.discard(channel)
        self._placing.pop(channel, None)
        waiting = self._waiting.pop(channel, None)
        if waiting is not None:
            waiting.cancel()
        home = self._homes.pop(channel, None)
        if home is not None:
            home.unsubscribe(channel)

    async def wait_confirmed(self, *channels: str, timeout: float = 1.0) -> None:
        """Return once the server has confirmed all these channels; StoreUnavailable after `timeout` seconds, or at
        once when the node of one is away."""
        missing = [channel for channel in channels if channel not in self._confirmed]
        if not missing:
            return
        if any(ear.away for channel in missing if (ear := self._homes.get(channel)) is not None):
            raise StoreUnavailable("the node that has a channel is away")
        loop = asyncio.get_running_loop()
        waiting = [self._waiting.setdefault(channel, loop.create_future()) for channel in missing]
        await asyncio.wait(waiting, timeout=timeout)
        if not self._confirmed.issuperset(missing):
            raise StoreUnavailable(f"{len(missing)} channels were not subscribed within {timeout} s")

    def node_of(self, channel: str) -> NodeAddress | None:
        """The node of a cluster that this channel belongs to, as far as is known; None where there is one server."""
        return self._client.node_of(channel)

    # ---- what ears say ---------------------------------------------------------------------------------------

    def on_confirmed(self, channel: str) -> None:
        """It is subscribed."""
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

    def on_lost(self, ear: PubSubConnection) -> None:
        """It has no connection; in a cluster its channels may be another node's by now."""
        self._unheard(ear.wanted)
        if self._client.cluster:
            self._search(ear.wanted)
            self._look.set()

    def on_moved(self, channels: Sequence[str], pause: float) -> None:
        """The server that was asked does not carry them."""
        self._unheard(channels)
        for channel in channels:
            self._homes.pop(channel, None)
        self._search(channels)
        asyncio.get_running_loop().call_later(pause, self._look.set)

    def _unheard(self, channels: Collection[str]) -> None:
        lost = self._confirmed.intersection(channels)
        if lost:
            self._confirmed -= lost
            self._missed |= lost
            for _, told in self._watching:
                told(lost)

    def _tell(self) -> None:
        again, self._again = self._again, set()
        for told, _ in self._watching:
            told(again)

    # ---- where channels are ----------------------------------------------------------------------------------

    def _search(self, channels: Collection[str]) -> None:
        self._placing.update(dict.fromkeys(channels))
        self._client.expect_moved_slots()

    async def _place(self) -> None:
        """Give each channel that waits for one its node, for ever."""
        while True:
            await self._look.wait()
            self._look.clear()
            channels = list(self._placing)
            try:
                homes = await self._client.nodes_of(channels)
            except StoreUnavailable as error:
                log.debug("where channels are cannot be asked: %s", error)
                asyncio.get_running_loop().call_later(RETRY_PAUSE, self._look.set)
                continue
            for channel, place in zip(channels, homes, strict=True):
                if channel in self._placing and place is not None:
                    del self._placing[channel]
                    self._settle(channel, self._ear_of(channel, place))
            if any(place is None for place in homes):
                self._client.expect_moved_slots()
                asyncio.get_running_loop().call_later(RETRY_PAUSE, self._look.set)
            for place, ear in list(self._ears.items()):
                if ear.away and not ear.wanted:
                    del self._ears[place]
                    self._tasks.pop(ear).cancel()

    def _ear_of(self, channel: str, place: NodeAddress) -> PubSubConnection:
        if self._sharded(channel):
            return self._at(place)
        return next((ear for ear in self._ears.values() if not ear.away), None) or self._at(place)

    def _settle(self, channel: str, ear: PubSubConnection) -> None:
        before = self._homes.get(channel)
        if before is not None and before is not ear:
            before.unsubscribe(channel)
        self._homes[channel] = ear
        ear.subscribe(channel)

    def _at(self, place: NodeAddress | None) -> PubSubConnection:
        ear = self._ears.get(place)
        if ear is None:
            client, patience = self._client, self._dead_after
            ear = self._ears[place] = PubSubConnection(
                lambda: client.dedicated(timeout=patience, place=place),
                self,
                self._listeners,
                sharded=self._sharded,
                beat=self._beat,
                dead_after=patience,
                era=lambda: client.master_generation,
            )
            if self._group is not None:
                self._tasks[ear] = self._group.create_task(ear.run())
        return ear

    def _sharded(self, channel: str) -> bool:
        return self._client.cluster and "{" in channel
