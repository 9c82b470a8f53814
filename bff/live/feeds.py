"""Dispatches published messages: the streams of each owner and of each value, and the newest version of every value in
use.

Guarantees that a published message is given at once to each stream that may see it, and that an older version of a
value that arrives late is dropped. After a pub/sub connection was away, the values of its channels count as unknown
until they are read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from ..stores.journal import channel_of
from ..stores.redis.subscriptions import Subscriptions
from ..stores.values import Value, is_gone, unpack_value, value_channel
from .observation import UNOBSERVED, LiveObserver, event_time
from .stream import Stream, StreamListener
from .traces import LiveTraces, is_sampled


class _ValueFeed:
    """The newest version of one value, and the streams that get it. version: -1 for none; known: True when Redis has no
    newer one."""

    __slots__ = ("known", "name", "payload", "streams", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = -1
        self.payload = b""
        self.known = False
        self.streams: dict[Stream, None] = {}

    def publish(self, value: Value) -> None:
        # The same version is published again when further commands that it contains become known.
        if value.version > self.version or (value.version == self.version and value.payload != self.payload):
            self._send(value)

    def on_read(self, value: Value) -> None:
        # What was read before the last message was published may name fewer commands of the same version. Whether the
        # value is gone is what Redis says; if a message was faster, the next comparison corrects it.
        if value.version > self.version or (
            value.version == self.version
            and (value.gone != self.gone or len(value.payload) > len(self.payload))
        ):
            self._send(value)

    @property
    def gone(self) -> bool:
        return is_gone(self.payload)

    def _send(self, value: Value) -> None:
        self.version, payload = value.version, value.payload
        self.payload = payload
        name = self.name
        for stream in self.streams:
            stream.on_value(name, payload)


class Feeds:
    """listener: called for each stream that lags because an event left a gap, and for each slot that was evicted.
    traces: records deliveries of events in sampled traces; None: none is recorded; observer: told how late sagas'
    events are; wall: Unix seconds. generation: changes when messages may have been missed."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        listener: StreamListener,
        observer: LiveObserver = UNOBSERVED,
        traces: LiveTraces | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._traces = traces
        self._subscriptions = subscriptions
        self._listener = listener
        self._observer = observer
        self._wall = wall
        self._owners: dict[str, list[Stream]] = {}
        self._values: dict[str, _ValueFeed] = {}
        self.generation = 0

    def add(self, stream: Stream) -> None:
        """Give a stream its owner's events and its values from now on."""
        if stream.subscribed:
            return
        stream.subscribed = True
        channel = channel_of(stream.owner)
        streams = self._owners.get(channel)
        if streams is None:
            streams = self._owners[channel] = []
            self._subscriptions.subscribe(channel, self.on_message)
        streams.append(stream)
        for name in stream.names:
            channel = value_channel(name)
            feed = self._values.get(channel)
            if feed is None:
                feed = self._values[channel] = _ValueFeed(name)
                self._subscriptions.subscribe(channel, self.on_message)
            feed.streams[stream] = None

    def remove(self, stream: Stream) -> None:
        """Give a stream nothing any more; unsubscribe channels without streams."""
        if not stream.subscribed:
            return
        channel = channel_of(stream.owner)
        streams = self._owners[channel]
        streams.remove(stream)
        if not streams:
            del self._owners[channel]
            self._subscriptions.unsubscribe(channel)
        for name in stream.names:
            channel = value_channel(name)
            feed = self._values[channel]
            del feed.streams[stream]
            if not feed.streams:
                del self._values[channel]
                self._subscriptions.unsubscribe(channel)

    def streams(self, channels: Iterable[str] | None = None) -> list[Stream]:
        """The streams of these owners' channels (None: of all) that have not ended."""
        owners = (
            self._owners.values()
            if channels is None
            else [self._owners.get(channel, []) for channel in channels]
        )
        return [stream for streams in owners for stream in streams if not stream.ended]

    # ---- messages ------------------------------------------------------------------------------------------------

    def on_message(self, channel: str, data: bytes) -> None:
        """Give a published message to its streams; a message in another format is dropped."""
        streams = self._owners.get(channel)
        if streams is None:
            feed = self._values.get(channel)
            value = unpack_value(data) if feed is not None else None
            if feed is not None and value is not None:
                feed.publish(value)
            return
        position, _, entry = data.partition(b" ")
        epoch, _, digits = position.rpartition(b"-")
        if not digits.isdigit():
            if position == b"end":
                self._listener.on_evicted(channel, entry.decode("ascii", "replace"))
            return
        offset, at, written = int(digits), event_time(entry), 0
        traces = self._traces if self._traces is not None and is_sampled(entry) else None
        began = 0 if traces is None else traces.begin_delivery()
        for stream in streams:
            if not stream.on_event(epoch, offset, position, entry):
                self._listener.on_lagging(stream)
            if stream.is_current:
                written += 1
            elif not stream.late_since:
                stream.late_since = at
        if traces is not None:
            traces.delivered(entry, began, (stream.trace for stream in streams))
        if written and at:
            self._observer.on_written(max(0.0, self._wall() - at), written)

    # ---- values --------------------------------------------------------------------------------------------------

    def invalidate(self, channels: Iterable[str] | None = None) -> None:
        """Messages of these channels (None: of all) may have been missed: their values become unknown, and `generation`
        changes."""
        self.generation += 1
        for feed in self._feeds(channels):
            feed.known = False

    def names(self, channels: Iterable[str] | None = None) -> list[str]:
        """The names of the values of these channels (None: of all)."""
        return [feed.name for feed in self._feeds(channels)]

    def _feeds(self, channels: Iterable[str] | None) -> list[_ValueFeed]:
        if channels is None:
            return list(self._values.values())
        return [self._values[channel] for channel in channels if channel in self._values]

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names whose values must be read from Redis."""
        return [
            name for name in names if not ((feed := self._values.get(value_channel(name))) and feed.known)
        ]

    def on_read(self, names: Iterable[str], found: Mapping[str, Value], generation: int) -> None:
        """Add the values that Redis had for these names. generation: when their channels were confirmed; if it has
        changed since, the values stay unknown."""
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None:
                feed.known = generation == self.generation
                if name in found:
                    feed.on_read(found[name])

    def newer(self, names: Iterable[str], found: Mapping[str, Value]) -> dict[str, Value]:
        """The values that are newer here than in Redis. found: the values in Redis."""
        newer = {}
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None and feed.version > (found[name].version if name in found else -1):
                newer[name] = Value(feed.version, feed.payload)
        return newer

    def wants(self, name: str) -> bool:
        """Whether a stream wants this value and no version of it is known, not even that it is gone."""
        feed = self._values.get(value_channel(name))
        return feed is not None and feed.version < 0

    def follows(self, name: str) -> bool:
        """Whether a stream of this process has asked for this value."""
        return value_channel(name) in self._values

    def payloads(self, names: Iterable[str]) -> dict[str, bytes]:
        """The newest payload of each name that has one."""
        newest = {}
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None and feed.version >= 0:
                newest[name] = feed.payload
        return newest
