"""The pub/sub subscriptions of a process: over one connection, or in a cluster over one for each node that serves a
channel's slot.

Each channel has one listener, which gets the messages published there. `wait_confirmed` returns only after the server
has confirmed the subscription. Watchers are called with the channels that are lost and restored, so that they can read
what was missed. In a cluster, channels with a hash tag are sharded: they are subscribed at the node that serves their
slot, and their messages go to no other node. Messages of other channels go to all nodes, so one connection to any node
is enough.
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
    """There is one for a process. Use `async with subscriptions:`, or `start()` and `stop()`.

    beat, dead_after: seconds; see `PubSubConnection`."""

    def __init__(self, client: RedisClient, *, beat: float = 1.0, dead_after: float = 3.0) -> None:
        super().__init__("bff-subscriptions", "published messages are not received")
        self._client = client
        self._beat = beat
        self._dead_after = dead_after
        self._watchers: list[tuple[OnChannels, OnChannels]] = []
        self._listeners: dict[str, OnMessage] = {}
        self._connection_of: dict[str, PubSubConnection] = {}
        self._confirmed: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        # Channels whose node must be found, or found again.
        self._unplaced: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._missed: set[str] = set()
        self._restored: set[str] = set()
        self._connections: dict[NodeAddress | None, PubSubConnection] = {}
        self._tasks: dict[PubSubConnection, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        if not client.cluster:
            self._connection_at(None)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return any(connection.connected for connection in self._connections.values())

    @property
    def degraded(self) -> bool:
        """Whether some nodes of a cluster are away and others are not."""
        return self.connected and any(connection.away for connection in self._connections.values())

    async def _run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._tasks = {
                connection: group.create_task(connection.run()) for connection in self._connections.values()
            }
            started.set()
            await self._assign_channels()

    # ---- for callers -----------------------------------------------------------------------------------------

    def watch(self, on_restored: OnChannels, on_lost: OnChannels = lambda channels: None) -> None:
        """on_lost: called with channels that get no messages from now on; on_restored: with channels that get messages
        again, after a time in which some may have been missed. Both are called for all channels of the process."""
        self._watchers.append((on_restored, on_lost))

    def subscribe(self, channel: str, on_message: OnMessage, *, after_outage: bool = False) -> None:
        """Subscribe now or as soon as there is a connection; `on_message` must not block. A channel has one listener.

        after_outage: call `on_restored` also for the first confirmation, as after an outage
        """
        if channel in self._listeners:
            raise ValueError(f"{channel} has a listener already")
        self._listeners[channel] = on_message
        if after_outage:
            self._missed.add(channel)
        only = self._connections.get(None)
        if only is not None:
            self._assign(channel, only)
        else:
            self._unplaced[channel] = None
            self._wake.set()

    def unsubscribe(self, channel: str) -> None:
        """End the subscription."""
        del self._listeners[channel]
        self._confirmed.discard(channel)
        self._missed.discard(channel)
        self._unplaced.pop(channel, None)
        waiting = self._waiting.pop(channel, None)
        if waiting is not None:
            waiting.cancel()
        connection = self._connection_of.pop(channel, None)
        if connection is not None:
            connection.unsubscribe(channel)

    async def wait_confirmed(self, *channels: str, timeout: float = 1.0) -> None:
        """Return once the server has confirmed all these channels; StoreUnavailable after `timeout` seconds, or at
        once when the node of one is away."""
        missing = [channel for channel in channels if channel not in self._confirmed]
        if not missing:
            return
        if any(
            connection.away
            for channel in missing
            if (connection := self._connection_of.get(channel)) is not None
        ):
            raise StoreUnavailable("the node that serves a channel is away")
        loop = asyncio.get_running_loop()
        waiting = [self._waiting.setdefault(channel, loop.create_future()) for channel in missing]
        await asyncio.wait(waiting, timeout=timeout)
        if not self._confirmed.issuperset(missing):
            raise StoreUnavailable(f"{len(missing)} channels were not subscribed within {timeout} s")

    def node_of(self, channel: str) -> NodeAddress | None:
        """The node of a cluster that serves this channel, as last known; None for a single server."""
        return self._client.node_of(channel)

    # ---- events of the connections ---------------------------------------------------------------------------

    def on_confirmed(self, channel: str) -> None:
        """The server has confirmed the subscription."""
        self._confirmed.add(channel)
        if channel in self._missed:
            # Watchers are called before waiting callers go on, because what is known of this channel is outdated.
            self._missed.discard(channel)
            if not self._restored:
                asyncio.get_running_loop().call_soon(self._notify_restored)
            self._restored.add(channel)
        waiting = self._waiting.pop(channel, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def on_lost(self, connection: PubSubConnection) -> None:
        """The connection is lost; in a cluster other nodes may serve its channels now."""
        self._mark_lost(connection.wanted)
        if self._client.cluster:
            self._find_again(connection.wanted)
            self._wake.set()

    def on_moved(self, channels: Sequence[str], pause: float) -> None:
        """The server does not serve these channels."""
        self._mark_lost(channels)
        for channel in channels:
            self._connection_of.pop(channel, None)
        self._find_again(channels)
        asyncio.get_running_loop().call_later(pause, self._wake.set)

    def _mark_lost(self, channels: Collection[str]) -> None:
        lost = self._confirmed.intersection(channels)
        if lost:
            self._confirmed -= lost
            self._missed |= lost
            for _, call in self._watchers:
                call(lost)

    def _notify_restored(self) -> None:
        restored, self._restored = self._restored, set()
        for call, _ in self._watchers:
            call(restored)

    # ---- the nodes of channels -------------------------------------------------------------------------------

    def _find_again(self, channels: Collection[str]) -> None:
        self._unplaced.update(dict.fromkeys(channels))
        self._client.expect_moved_slots()

    async def _assign_channels(self) -> None:
        """Find the node of each channel that needs one, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            channels = list(self._unplaced)
            try:
                nodes = await self._client.nodes_of(channels)
            except StoreUnavailable as error:
                log.debug("cannot ask for the nodes of channels: %s", error)
                asyncio.get_running_loop().call_later(RETRY_PAUSE, self._wake.set)
                continue
            for channel, node in zip(channels, nodes, strict=True):
                if channel in self._unplaced and node is not None:
                    del self._unplaced[channel]
                    self._assign(channel, self._connection_for(channel, node))
            if any(node is None for node in nodes):
                self._client.expect_moved_slots()
                asyncio.get_running_loop().call_later(RETRY_PAUSE, self._wake.set)
            for node, connection in list(self._connections.items()):
                if connection.away and not connection.wanted:
                    del self._connections[node]
                    self._tasks.pop(connection).cancel()

    def _connection_for(self, channel: str, node: NodeAddress) -> PubSubConnection:
        if self._sharded(channel):
            return self._connection_at(node)
        return next(
            (connection for connection in self._connections.values() if not connection.away), None
        ) or self._connection_at(node)

    def _assign(self, channel: str, connection: PubSubConnection) -> None:
        previous = self._connection_of.get(channel)
        if previous is not None and previous is not connection:
            previous.unsubscribe(channel)
        self._connection_of[channel] = connection
        connection.subscribe(channel)

    def _connection_at(self, node: NodeAddress | None) -> PubSubConnection:
        connection = self._connections.get(node)
        if connection is None:
            client, dead_after = self._client, self._dead_after
            connection = self._connections[node] = PubSubConnection(
                lambda: client.dedicated(timeout=dead_after, node=node),
                self,
                self._listeners,
                sharded=self._sharded,
                beat=self._beat,
                dead_after=dead_after,
                generation=lambda: client.generation,
            )
            if self._group is not None:
                self._tasks[connection] = self._group.create_task(connection.run())
        return connection

    def _sharded(self, channel: str) -> bool:
        return self._client.cluster and "{" in channel
