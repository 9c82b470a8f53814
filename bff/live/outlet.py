"""The port from a stream to its client: the outlet encodes events and states and writes them to the connection.

An outlet writes a message whole and at once when the connection accepts it. Otherwise the message waits in the outlet's
`Buffer`, which is bounded: at most `queue` messages with BUFFER_BYTES in sum, and one state or history, whose size the
journal bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from ..stores.journal import Position

Bye = Literal["expired", "logout", "age", "drain", "limit"]

BUFFER_BYTES = 32_768  # in addition to 64 KB in the connection and 128 KB in the kernel
_PIECE = 16_384


class Snapshot(NamedTuple):
    """The whole state that one principal may see. sagas: newest first; values: the newest payload of each. Both are
    lines of JSON."""

    position: Position
    sagas: Sequence[bytes]
    values: Sequence[bytes]


class Outlet(Protocol):
    """One client's connection.

    Each method that sends a message returns True when it was written. False: it waits in the buffer, or was dropped,
    and then `full` is True; the caller has to call `flush` until nothing is `waiting`. Nothing follows `bye`.

    first: only values, heartbeats and warnings were sent before; the outlet may send an opening first
    full: True when a message was dropped because the buffer is full; `discard` resets it
    unsent: bytes in the connection that the network has not accepted
    """

    full: bool

    @property
    def unsent(self) -> int: ...

    def hello(self) -> bool:
        """Send the opening alone, so that the client knows that it is connected."""

    def state(self, snapshot: Snapshot, *, reset: bool, first: bool) -> bool:
        """Send the whole state. reset: True when the stream could not continue from the client's position."""

    def history(
        self, after: Position | None, entries: Sequence[bytes], values: Sequence[bytes], *, first: bool
    ) -> bool:
        """Send saga events, then values, in one piece. after: the position that the events follow one by one; None:
        they have no position, and a client cannot resume from them."""

    def event(self, position: bytes, entry: bytes) -> bool:
        """Send a saga event at its position, `<epoch>-<offset>`. It is encoded once for consecutive calls with the same
        two objects."""

    def value(self, name: str, payload: bytes) -> bool:
        """Send a value's newest version, which replaces an older one in the buffer. It is encoded once for all clients,
        too."""

    def heartbeat(self, at: str) -> bool:
        """Send a heartbeat. at: ISO 8601. It is left out while something else waits."""

    def expiring(self, at: str, seconds: float) -> bool:
        """Send a warning that the session or token ends in so many seconds, at this time (ISO 8601). It is left out
        while something else waits."""

    def bye(self, reason: Bye, retry_after: float | None) -> bool:
        """Send the last message, after everything that waits. retry_after: seconds until the client should connect
        again."""

    @property
    def waiting(self) -> bool:
        """Whether something waits in the buffer, or the connection is above its high-water mark."""

    async def flush(self) -> None:
        """Send a part of what waits, as soon as the connection accepts it. Raises OSError or RuntimeError when the
        connection is lost."""

    def discard(self) -> None:
        """Drop everything that waits, except `bye`."""

    def abort(self) -> None:
        """Close the connection at once; what was not sent is lost."""


class Buffer:
    """Encoded messages that the connection has not accepted yet, in order; a message is never cut. values: the newest
    encoded version of each value, sent after the messages; bye: the last message, sent after the values."""

    __slots__ = ("_bytes", "_pieces", "_queue", "bye", "values")

    def __init__(self, queue: int) -> None:
        self._pieces: list[bytes] = []
        self._queue = queue
        self._bytes = 0
        self.values: dict[str, bytes] = {}
        self.bye = b""

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def size(self) -> int:
        """Bytes of the messages."""
        return sum(map(len, self._pieces))

    def put(self, message: bytes) -> bool:
        """Add a message. False when the buffer is full; the message is then dropped."""
        if len(self._pieces) >= self._queue or self._bytes + len(message) > BUFFER_BYTES:
            return False
        self._pieces.append(message)
        self._bytes += len(message)
        return True

    def put_start(self, message: bytes) -> bool:
        """Add a state or a history, which does not count against the bounds. False when an earlier one still waits."""
        if self.size > BUFFER_BYTES:
            return False
        self._pieces.append(message)
        return True

    def take(self) -> tuple[bytes, bool]:
        """The bytes to send next, and whether they are the last ones. A piece has about 16 KB, so that the memory of
        the sent ones is freed early."""
        taken = size = 0
        while taken < len(self._pieces) and size < _PIECE:
            size += len(self._pieces[taken])
            taken += 1
        chunk = b"".join(self._pieces[:taken])
        del self._pieces[:taken]
        self._bytes = max(0, self._bytes - size)
        if self._pieces:
            return chunk, False
        chunk += b"".join(self.values.values()) + self.bye
        self.values.clear()
        return chunk, bool(self.bye)

    def clear(self) -> None:
        """Drop everything except `bye`."""
        self._pieces.clear()
        self.values.clear()
        self._bytes = 0
