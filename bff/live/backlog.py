"""What a stream's connection has not taken yet: frames in their order, in pieces that are never cut, and bounded.

Refuses to grow beyond `queue` frames or BYTES of them, next to one piece of what the stream begins with, which is as
large as its journal lets it be and read in one go.
"""

from __future__ import annotations

BYTES = 32_768  # beyond what the connection takes first: 64 kB, and the kernel 128
_PIECE = 16_384


class Backlog:
    """bye: the last frame, sent after all others."""

    __slots__ = ("_bytes", "_pieces", "_queue", "bye")

    def __init__(self, queue: int) -> None:
        self._pieces: list[bytes] = []
        self._queue = queue
        self._bytes = 0
        self.bye = b""

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self._pieces))

    def put(self, frame: bytes) -> bool:
        """One frame more; False, and it is not kept, where that would be too much."""
        if len(self._pieces) >= self._queue or self._bytes + len(frame) > BYTES:
            return False
        self._pieces.append(frame)
        self._bytes += len(frame)
        return True

    def begin(self, piece: bytes) -> bool:
        """What a stream begins with, which does not count; False where the last such piece still waits."""
        if self.size > BYTES:
            return False
        self._pieces.append(piece)
        return True

    def take(self) -> bytes:
        """The next ones, few enough to be let go of by the time the rest is forgotten."""
        taken = size = 0
        while taken < len(self._pieces) and size < _PIECE:
            size += len(self._pieces[taken])
            taken += 1
        chunk = b"".join(self._pieces[:taken])
        del self._pieces[:taken]
        self._bytes = max(0, self._bytes - size)
        return chunk

    def clear(self) -> None:
        """Forget all of it but `bye`."""
        self._pieces.clear()
        self._bytes = 0
