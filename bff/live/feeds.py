"""Which streams get what: the streams of each owner and of each value, and the newest version of every value in use.

Promises: what is published is handed at once to each stream that may see it; an older version of a value that comes
late is dropped. After a pub/sub connection was away its values count as unknown until they were read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..stores.journal import channel_of
from ..stores.redis.subscriptions import Subscriptions
from ..stores.values import Value, unpack_value, value_channel
from .stream import Stream, StreamListener


class _ValueFeed:
    """known: the version here is the one in Redis, or newer."""

    __slots__ = ("known", "name", "payload", "streams", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = -1
        self.payload = b""
        self.known = False
        self.streams: dict[Stream, None] = {}

    def publish(self, value: Value) -> None:
        if value.version > self.version:
            self.version, payload = value.version, value.payload
            self.payload = payload
            name = self.name
            for stream in self.streams:
                stream.on_value(name, payload)


class Feeds:
    """listener: told each stream that an event left a gap for, and each slot that was lost."""

    def __init__(self, subscriptions: Subscriptions, listener: StreamListener) -> None:
        self._subscriptions = subscriptions
        self._listener = listener
        self._owners: dict[str, list[Stream]] = {}
        self._values: dict[str, _ValueFeed] = {}
        self.generation = 0

    def add(self, stream: Stream) -> None:
        """From now on it gets its owner's events and its values."""
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
        """Those of these owners' channels, or all, that have not ended."""
        owners = (
            self._owners.values() if channels is None else [self._owners.get(one, []) for one in channels]
        )
        return [stream for streams in owners for stream in streams if not stream.ended]

    # ---- what is published ---------------------------------------------------------------------------------------

    def on_message(self, channel: str, data: bytes) -> None:
        """Hand on what was published; anything that is not ours is dropped."""
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
        offset = int(digits)
        for stream in streams:
            if not stream.on_event(epoch, offset, position, entry):
                self._listener.on_lagging(stream)

    # ---- values --------------------------------------------------------------------------------------------------

    def invalidate(self, channels: Iterable[str] | None = None) -> None:
        """Something may have been missed on these channels, or on any: another `generation` begins."""
        self.generation += 1
        for feed in self._feeds(channels):
            feed.known = False

    def names(self, channels: Iterable[str] | None = None) -> list[str]:
        """The values of these channels, or all in use."""
        return [feed.name for feed in self._feeds(channels)]

    def _feeds(self, channels: Iterable[str] | None) -> list[_ValueFeed]:
        if channels is None:
            return list(self._values.values())
        return [self._values[channel] for channel in channels if channel in self._values]

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that must be read from Redis."""
        return [
            name for name in names if not ((feed := self._values.get(value_channel(name))) and feed.known)
        ]

    def on_read(self, names: Iterable[str], found: Mapping[str, Value], generation: int) -> None:
        """What Redis had for these names, read after their channels were confirmed in this generation."""
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None:
                feed.known = generation == self.generation
                if name in found:
                    feed.publish(found[name])

    def newer(self, names: Iterable[str], found: Mapping[str, Value]) -> dict[str, Value]:
        """What is newer here than what Redis had."""
        newer = {}
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None and feed.version > (found[name].version if name in found else -1):
                newer[name] = Value(feed.version, feed.payload)
        return newer

    def wants(self, name: str) -> bool:
        """Whether a stream asks for this value and no version of it is known."""
        feed = self._values.get(value_channel(name))
        return feed is not None and feed.version < 0

    def payloads(self, names: Iterable[str]) -> dict[str, bytes]:
        """The newest payload of each name that has one."""
        newest = {}
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None and feed.version >= 0:
                newest[name] = feed.payload
        return newest
