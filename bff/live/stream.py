"""One browser's stream: what it has been sent, what waits to be sent, and when it must end.

Promises: saga events leave in offset order, each once, and a gap is never passed over: the stream then counts as
joining again until the journal has filled it. Refuses to grow: more than `queue` events or `_BYTES` waiting, and it is
ended with `bye` `limit`; the client resumes by its cursor. Does no I/O and asks no clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from ..calls import Principal
from ..stores.journal import Opened, Position
from ..stores.values import Value
from . import frames

_BYTES = 1_048_576


class Stream:
    """after: the cursor the client came with as it wrote it, None for none. names: the values it asked for."""

    def __init__(
        self,
        principal: Principal,
        after: str | None,
        names: Sequence[str],
        *,
        queue: int,
        ends_at: float,
        why: frames.Bye,
    ) -> None:
        self.principal = principal
        self.owner = principal.id
        self.names = tuple(dict.fromkeys(names))
        self.position = None if after is None else Position.parse(after)
        # A cursor that is none of ours cannot be honoured, and silence would leave the client where it is.
        self._unreadable = after is not None and self.position is None
        self.ends_at = ends_at
        self.why = why
        self.hint: float | None = None
        self.beat_at = 0.0
        self.joining = True
        self.opening = False
        self.again = False
        self.whole = True
        self._told = False
        self._queue = queue
        self._held: list[tuple[Position, bytes]] = []
        self._missed = False
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._values: dict[str, Value] = {}
        self._versions: dict[str, int] = {}
        self._bye: bytes | None = None
        self._closed = False
        self._wake = asyncio.Event()

    # ---- what comes in -------------------------------------------------------------------------------------------

    def offer(self, position: Position, frame: bytes) -> bool:
        """A published event. False: it does not follow on, so the stream is joining again and wants the journal."""
        if self.ended:
            return True
        if self.joining:
            self._hold(position, frame)
            return True
        if self._take(position, frame):
            return True
        self.joining = True
        self._hold(position, frame)
        return False

    def _hold(self, position: Position, frame: bytes) -> None:
        if len(self._held) >= self._queue:
            # The journal has all of it: forget, and read once more.
            self._held.clear()
            self._missed = True
        self._held.append((position, frame))

    def _take(self, position: Position, frame: bytes) -> bool:
        last = self.position
        if last is None or position.epoch != last.epoch or position.offset > last.offset + 1:
            return False
        if position.offset == last.offset + 1:
            self.position = position
            self._push(frame)
        return True

    def join(self, opened: Opened, position: Position, values: Mapping[str, Value]) -> bool:
        """Take what the journal says, then what was published meanwhile. False: read the journal once more."""
        if self.ended:
            return True
        first, self._told = not self._told, True
        if opened.kind == "history" and self.position is not None and not self._unreadable:
            chunk = [
                frames.saga(Position(position.epoch, self.position.offset + number), entry)
                for number, entry in enumerate(opened.entries, 1)
            ]
            self._start(b"".join(chunk))
            for name, value in values.items():
                self.offer_value(name, value)
        else:
            fresh = first and self.position is None and not self._unreadable
            # A value may have been published after it was read: the snapshot tells the newer of the two.
            newest = {**values}
            for name, value in self._values.items():
                if name not in newest or value.version > newest[name].version:
                    newest[name] = value
            self._values.clear()
            self._versions = {name: value.version for name, value in newest.items()}
            payloads = [value.payload for value in newest.values()]
            self._start(frames.state("snapshot" if fresh else "reset", position, opened.entries, payloads))
        self._unreadable = False
        self.position = position
        held, self._held = self._held, []
        missed, self._missed = self._missed, False
        if missed or not all(self._take(at, frame) for at, frame in held):
            return False
        self.joining = False
        return True

    def offer_value(self, name: str, value: Value) -> None:
        """A value's new version; an older one that comes late is dropped, an unsent one replaced."""
        if self.ended or name not in self.names or value.version <= self._versions.get(name, -1):
            return
        self._versions[name] = value.version
        self._values[name] = value
        self._wake.set()

    def beat(self, frame: bytes) -> None:
        """A sign of life, unless something is on its way anyhow."""
        if not self.ended and not self._waiting:
            self._waiting.append(frame)
            self._wake.set()

    def _start(self, chunk: bytes) -> None:
        # Bounded by the journal itself, and read in one piece: it does not count against the queue.
        if chunk:
            self._waiting.append(chunk)
            self._wake.set()

    def _push(self, frame: bytes) -> None:
        if len(self._waiting) >= self._queue or self._bytes + len(frame) > _BYTES:
            self._waiting.clear()
            self._values.clear()
            self.end("limit", 1.0)
            return
        self._bytes += len(frame)
        self._waiting.append(frame)
        self._wake.set()

    # ---- how it ends ---------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self._bye is not None or self._closed

    def end(self, reason: frames.Bye, retry_after: float | None) -> None:
        """Send what waits, then `bye`; a second end changes nothing."""
        if not self.ended:
            self._bye = frames.bye(reason, retry_after)
            self._held.clear()
            self._wake.set()

    def close(self) -> None:
        """The client is gone: nothing more is kept for it."""
        self._closed = True
        self._held.clear()
        self._waiting.clear()
        self._values.clear()
        self._wake.set()

    # ---- what goes out -------------------------------------------------------------------------------------------

    async def next(self) -> bytes | None:
        """Everything that waits, in one piece; None once `bye` has been handed out or the client is gone."""
        while True:
            chunk = self._pull()
            if chunk:
                return chunk
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()

    def _pull(self) -> bytes:
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        if self._values and self._told:
            chunk += b"".join(frames.value(value.payload) for value in self._values.values())
            self._values.clear()
        if self._bye is not None and not self._closed:
            chunk += self._bye
            self._closed = True
        return chunk
