"""The port through which a stream reaches its client: events and states go in, the outlet encodes and writes them.

An outlet writes a message whole and at once where the connection takes it. Otherwise the message waits in the outlet's
`Buffer`, which is bounded: at most `queue` messages and BUFFER_BYTES of them, next to one state or history, which is as
large as its journal lets it be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from ..stores.journal import Position

Bye = Literal["expired", "logout", "age", "drain", "limit"]

BUFFER_BYTES = 32_768  # beyond what the connection takes first: 64 kB, and the kernel 128
_PIECE = 16_384


class Snapshot(NamedTuple):
    """What one person may see, all of it. sagas: newest first; values: the newest payload of each. Both are lines of
    JSON."""

    position: Position
    sagas: Sequence[bytes]
    values: Sequence[bytes]


class Outlet(Protocol):
    """One client's connection.

    Each method that hands out a message returns True when it is written. False: it waits in the buffer, or is dropped
    where `full` is set; somebody has to call `flush` until nothing is `waiting`. After `bye` nothing follows.

    first: nothing but values, heartbeats and warnings went out before; the outlet may put an opening of its own first
    full: a message found no room; `discard` resets it
    unsent: bytes that the connection holds and the network has not taken
    """

    full: bool

    @property
    def unsent(self) -> int: ...

    def hello(self) -> bool:
        """The opening alone: the client is told that it is connected."""

    def state(self, snapshot: Snapshot, *, reset: bool, first: bool) -> bool:
        """The whole state. reset: the client's position could not be honoured."""

    def history(
        self, after: Position | None, entries: Sequence[bytes], values: Sequence[bytes], *, first: bool
    ) -> bool:
        """Saga events, and then values, in one piece. after: the position that the events follow one by one; None: they
        have no position, and a client cannot resume from them."""

    def event(self, position: bytes, entry: bytes) -> bool:
        """A saga event at its position, `<epoch>-<offset>`. Encoded once for all clients that get these two objects one
        after another."""

    def value(self, name: str, payload: bytes) -> bool:
        """A value's newest version, which replaces one that waits. Encoded once for all clients, too."""

    def heartbeat(self, at: str) -> bool:
        """A sign of life; not needed, and left out, while something else waits."""

    def expiring(self, at: str, seconds: float) -> bool:
        """The session or token ends in so many seconds. Left out while something else waits."""

    def bye(self, reason: Bye, retry_after: float | None) -> bool:
        """The last message, after all that waits. retry_after: seconds until the client should connect again."""

    @property
    def waiting(self) -> bool:
        """Whether something waits, or the connection holds more than it likes to."""

    async def flush(self) -> None:
        """Send some of what waits as soon as the connection takes it. Raises OSError or RuntimeError when it never
        will."""

    def discard(self) -> None:
        """Drop what waits, except `bye`."""

    def abort(self) -> None:
        """Cut the connection off; what was not sent is lost."""


class Buffer:
    """Encoded messages that a connection has not taken, in their order; no message is ever cut. values: the newest
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
        """Add a message; False, and it is dropped, where it would be one too many."""
        if len(self._pieces) >= self._queue or self._bytes + len(message) > BUFFER_BYTES:
            return False
        self._pieces.append(message)
        self._bytes += len(message)
        return True

    def put_start(self, message: bytes) -> bool:
        """Add a state or a history, which does not count; False where the one before it still waits."""
        if self.size > BUFFER_BYTES:
            return False
        self._pieces.append(message)
        return True

    def take(self) -> tuple[bytes, bool]:
        """What is sent next, and whether that is the last of all. Each piece is small enough to be freed before the
        rest is dropped."""
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
