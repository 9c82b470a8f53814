"""Who hears what: the streams of each owner and of each value, and the newest version of every value asked for here.

Promises: what is published is encoded once and handed to each of its streams at once; a value's older version that
comes late reaches nobody. After a pub/sub connection was away its values do not count as known until they were read
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..stores.journal import channel_of
from ..stores.redis.subscriptions import Subscriptions
from ..stores.values import Value, unpack_value, value_channel
from . import frames
from .stream import Stream


class _ValueFeed:
    """known: what is here is what Redis has, or newer."""

    __slots__ = ("frame", "known", "name", "payload", "streams", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = -1
        self.payload = b""
        self.frame = b""
        self.known = False
        self.streams: dict[Stream, None] = {}

    def offer(self, value: Value) -> None:
        if value.version > self.version:
            self.version, self.payload = value.version, value.payload
            frame = self.frame = frames.value(value.payload)
            name = self.name
            for stream in self.streams:
                stream.offer_value(name, frame)


class Feeds:
    """behind: told each stream that an event did not follow on from; evicted: told the seat of each that gave way."""

    def __init__(
        self, channels: Subscriptions, behind: Callable[[Stream], None], evicted: Callable[[str, str], None]
    ) -> None:
        self._channels = channels
        self._behind = behind
        self._evicted = evicted
        self._owners: dict[str, list[Stream]] = {}
        self._values: dict[str, _ValueFeed] = {}
        self.era = 0

    def add(self, stream: Stream) -> None:
        """From now on it hears of its owner's events and its values."""
        stream.heard = True
        channel = channel_of(stream.owner)
        mine = self._owners.get(channel)
        if mine is None:
            mine = self._owners[channel] = []
            self._channels.subscribe(channel, self.heard)
        mine.append(stream)
        for name in stream.names:
            channel = value_channel(name)
            feed = self._values.get(channel)
            if feed is None:
                feed = self._values[channel] = _ValueFeed(name)
                self._channels.subscribe(channel, self.heard)
            feed.streams[stream] = None

    def remove(self, stream: Stream) -> None:
        if not stream.heard:
            return
        channel = channel_of(stream.owner)
        mine = self._owners[channel]
        mine.remove(stream)
        if not mine:
            del self._owners[channel]
            self._channels.unsubscribe(channel)
        for name in stream.names:
            channel = value_channel(name)
            feed = self._values[channel]
            del feed.streams[stream]
            if not feed.streams:
                del self._values[channel]
                self._channels.unsubscribe(channel)

    # ---- news ----------------------------------------------------------------------------------------------------

    def heard(self, channel: str, data: bytes) -> None:
        """Something was published; what is not ours is dropped."""
        streams = self._owners.get(channel)
        if streams is None:
            feed = self._values.get(channel)
            value = unpack_value(data) if feed is not None else None
            if feed is not None and value is not None:
                feed.offer(value)
            return
        head, _, entry = data.partition(b" ")
        epoch, _, offset = head.rpartition(b"-")
        if not offset.isdigit():
            if head == b"end":
                self._evicted(channel, entry.decode("ascii", "replace"))
            return
        number = int(offset)
        frame = frames.saga(head, entry)
        for stream in streams:
            if not stream.offer(epoch, number, frame):
                self._behind(stream)

    def of(self, channel: str) -> Iterable[Stream]:
        """The streams of one owner's channel."""
        return self._owners.get(channel, ())

    # ---- values --------------------------------------------------------------------------------------------------

    def doubt(self, channels: Iterable[str] | None = None) -> None:
        """Something may have been published unheard, on these channels or on any: another `era` begins."""
        self.era += 1
        for feed in self._feeds(channels):
            feed.known = False

    def names(self, channels: Iterable[str] | None = None) -> list[str]:
        """The values of these channels, or all that are asked for."""
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

    def learn(self, names: Iterable[str], found: Mapping[str, Value], era: int) -> None:
        """What Redis had for these names, read after their channels were confirmed in this era."""
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None:
                feed.known = era == self.era
                if name in found:
                    feed.offer(found[name])

    def ahead(self, names: Iterable[str], found: Mapping[str, Value]) -> dict[str, Value]:
        """What is known here of these names and newer than what Redis had."""
        newer = {}
        for name in names:
            feed = self._values.get(value_channel(name))
            if feed is not None and feed.version > (found[name].version if name in found else -1):
                newer[name] = Value(feed.version, feed.payload)
        return newer

    def lacks(self, name: str) -> bool:
        """Whether a stream asks for this value and nothing is known of it."""
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
