"""One browser's stream: where it stands in its owner's journal, what waits to be sent, and when it must end.

Promises: a frame is written where the news is heard, without a task or a queue between, as long as the connection
takes it; saga events leave in offset order, each once; a gap is never passed over: the stream then counts as joining
again until the journal has filled it. Refuses to grow: what a client that does not read has waiting is bounded
(`backlog.py`); beyond that all of it is forgotten, and once it reads again it gets `reset` with the latest status of
each saga. Does no I/O of its own and asks no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ..calls import Principal
from ..stores.journal import Opened, Position
from . import frames
from .backlog import BYTES, Backlog
from .outlet import Outlet

State = Literal["joining", "live", "biding", "behind", "ended", "closed"]
"""joining: wants the journal, and holds back what is published until that is read. live: what follows on is written.
biding: nobody knows its owner's sagas, until their journal is restored; a client that was told them before is told what
changes, without positions. behind: does not read; wants the journal once it does. ended: only its `bye` is still to go.
closed: the client is gone. The last two are for good."""

_NOWHERE = (b"", 0)
"""In no journal: whatever is published next does not follow it."""


class Stream:
    """after: the cursor the client came with as it wrote it, None for none. names: the values it asked for. seat: its
    name among its owner's seats. spilled: called when the connection takes no more; whoever is called runs `pump`."""

    __slots__ = (
        "_backlog",
        "_dirty",
        "_epoch",
        "_held",
        "_offset",
        "_outlet",
        "_queue",
        "_reset",
        "_seen",
        "_spilled",
        "_told",
        "again",
        "ends_at",
        "heard",
        "names",
        "opening",
        "owner",
        "principal",
        "seat",
        "seated",
        "since",
        "slot",
        "state",
        "warned",
        "why",
    )

    def __init__(
        self,
        principal: Principal,
        after: str | None,
        names: Sequence[str],
        outlet: Outlet,
        spilled: Callable[[Stream], None],
        *,
        queue: int,
        ends_at: float,
        why: frames.Bye,
        seat: str = "",
    ) -> None:
        self.principal, self.owner = principal, principal.id
        self.seat = seat
        self.names = tuple(dict.fromkeys(names))
        position = None if after is None else Position.parse(after)
        self._epoch = position.epoch.encode() if position else b""
        self._offset = position.offset if position else 0
        # A cursor that is none of ours cannot be honoured, and silence would leave the client where it is.
        self._reset = after is not None and position is None
        # While it bides: the place in the lost journal up to which its client knows what is to be known.
        self._seen: tuple[bytes, int] | None = None
        self.ends_at, self.why = ends_at, why
        self.heard = self.seated = self.warned = False
        self.slot, self.since = -1, 0.0
        self.state: State = "joining"
        self.opening = self.again = False
        self._told = False
        self._outlet, self._spilled, self._queue = outlet, spilled, queue
        self._held: list[tuple[bytes, int, bytes]] | None = None
        self._dirty: dict[str, bytes] | None = None
        # None while the connection takes what it is given: then there is no pump either.
        self._backlog: Backlog | None = None

    @property
    def ended(self) -> bool:
        """Nothing but its `bye` is written any more."""
        return self.state in ("ended", "closed")

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the network has not taken."""
        return self._outlet.unsent

    @property
    def position(self) -> Position | None:
        """Where the client will stand once it has read what was written. None: it gets the state."""
        return Position(self._epoch.decode(), self._offset) if self._epoch and not self._reset else None

    def at(self, top: Position | None) -> bool:
        """Whether this is where it stands."""
        return top is not None and self._offset == top.offset and self._epoch == top.epoch.encode()

    # ---- what comes in -------------------------------------------------------------------------------------------

    def offer(self, epoch: bytes, offset: int, frame: bytes) -> bool:
        """A published event. False: it does not follow on, so the stream is joining again and wants the journal."""
        if self.state == "live":
            if offset == self._offset + 1 and epoch == self._epoch:
                self._offset = offset
                self._write(frame)
                return True
            if epoch == self._epoch and offset <= self._offset:
                return True
            self.rejoin()
            self._hold(epoch, offset, frame)
            return False
        if self.state == "biding":
            if self._seen is None or self._follow(epoch, offset, frame):
                return True
            self.rejoin()
            self._hold(epoch, offset, frame)
            return False
        if self.state == "joining":
            self._hold(epoch, offset, frame)
        return True

    def _follow(self, epoch: bytes, offset: int, frame: bytes) -> bool:
        """Tell it without its position. False: it does not follow what was told before."""
        if self._seen is None or epoch != self._seen[0] or offset > self._seen[1] + 1:
            return False
        if offset > self._seen[1]:
            self._seen = epoch, offset
            self._write(frames.without_position(frame))
        return True

    def _hold(self, epoch: bytes, offset: int, frame: bytes) -> None:
        if self._held is None:
            self._held = []
        if len(self._held) >= self._queue or sum(len(one[2]) for one in self._held) + len(frame) > BYTES:
            # The journal has all of it: what comes next does not follow on, so that it is read once more.
            self._held.clear()
        self._held.append((epoch, offset, frame))

    def rejoin(self) -> None:
        """It wants the journal: what is published from here on is held back until that is read. What came before is in
        it or lost; an event of a server that is the master no more would never fit. One that does not read waits until
        it does."""
        if self.state in ("live", "biding", "joining"):
            self.state, self._held = "joining", None

    def bide(self, values: Sequence[bytes], opened: Opened | None = None) -> bool:
        """Its sagas cannot be known for now: until it joins no state is told. A client that was told one before goes
        on to hear of its sagas, without positions: first what the journal has of them, then what is published. Of its
        values each hears all the same. False: read the journal once more.

        opened: None while the journal cannot be read
        """
        if self.state != "joining":
            return True
        held, self._held = self._held, None
        self.state = "biding"
        # In one piece: of two the second could find the first one waiting, and fall behind each time it is tried.
        chunk = b""
        if not self._told:
            self._told, self._dirty = True, None
            chunk = frames.HELLO + b"".join(map(frames.value, values))
        if self._epoch and opened is not None:
            top = opened.position
            seen = (top.epoch.encode(), top.offset) if top is not None else _NOWHERE
            if seen != self._seen:
                self._seen = seen
                # The newest stands first in a state.
                chunk += b"".join(map(frames.saga_without_position, reversed(opened.entries)))
        self._give(chunk)
        if self._seen is not None:
            for one in held or ():
                if self.state == "biding" and not self._follow(*one):
                    if opened is not None:
                        self.rejoin()
                        return False
                    self._seen = _NOWHERE
        self._flush()
        return True

    def join(self, opened: Opened, values: Sequence[bytes]) -> bool:
        """Take what the journal says, then what was published meanwhile. False: read the journal once more.

        values: the newest payload of each of its names that has one
        """
        if self.state != "joining":
            return True
        first, self._told = not self._told, True
        after, position = self.position, opened.reader_position
        if opened.kind == "history" and after is not None:
            chunk = frames.history(after, opened.entries)
            if first:
                chunk += b"".join(map(frames.value, values))
                self._dirty = None
        else:
            fresh = not self._epoch and not self._reset
            chunk = frames.state("snapshot" if fresh else "reset", position, opened.entries, values)
            self._dirty = None
        chunk = frames.HELLO + chunk if first else chunk
        self._reset, self._seen = False, None
        self._epoch, self._offset = position.epoch.encode(), position.offset
        self._give(chunk)
        if self.state != "joining":
            return True
        held, self._held = self._held, None
        self.state = "live"
        if not all(self.offer(*one) for one in held or ()):
            return False
        self._flush()
        return True

    def _give(self, chunk: bytes) -> None:
        """What it begins with: bounded by the journal itself, and read in one piece."""
        if chunk and not (self._backlog is None and self._outlet.write(chunk)):
            if not self._spill().begin(chunk):
                self._fall_behind()
        elif self._outlet.paused:
            # Nobody has to write to it once more before it is noticed that it does not read.
            self._spill()

    def _flush(self) -> None:
        if self._dirty is not None and self._backlog is None:
            dirty, self._dirty = self._dirty, None
            self._write(b"".join(dirty.values()))

    def offer_value(self, name: str, frame: bytes) -> None:
        """A value's newest version; one that could not be sent yet is replaced. Before the first state none is told:
        that holds them all."""
        if not self._told or self.state not in ("live", "biding", "joining"):
            return
        if self._backlog is None and self._dirty is None:
            self._write(frame)
            return
        if self._dirty is None:
            self._dirty = {}
        self._dirty[name] = frame
        self._flush()

    def say(self, frame: bytes) -> None:
        """A sign of life or a word of warning, unless something is on its way anyhow."""
        if self._backlog is None and not self.ended and not self._outlet.write(frame):
            self._spill().put(frame)

    def _write(self, frame: bytes) -> None:
        if not (self._backlog is None and self._outlet.write(frame)) and not self._spill().put(frame):
            self._fall_behind()

    def _spill(self) -> Backlog:
        if self._backlog is None:
            backlog = self._backlog = Backlog(self._queue)
            self._spilled(self)
            return backlog
        return self._backlog

    def _fall_behind(self) -> None:
        """Neither more memory nor a backlog nobody wants: it begins anew with the state, once it reads again."""
        if not self.ended:
            self._spill().clear()
            self._dirty = self._seen = None
            self.state, self._reset, self._told = "behind", True, False

    # ---- how it ends ---------------------------------------------------------------------------------------------

    def end(self, reason: frames.Bye, retry_after: float | None) -> None:
        """Send what waits, then `bye`; a second end changes nothing."""
        if self.ended:
            return
        self.state, self._held = "ended", None
        bye = frames.bye(reason, retry_after)
        if not (self._backlog is None and self._outlet.write(bye, last=True)):
            self._spill().bye = bye

    def close(self) -> None:
        """The client is gone: nothing more is kept for it."""
        self.state = "closed"
        self._held = self._dirty = None
        if self._backlog is not None:
            self._backlog.clear()

    def abort(self) -> None:
        """Cut off a client that does not read."""
        self.close()
        self._outlet.abort()

    # ---- what waits ----------------------------------------------------------------------------------------------

    async def pump(self, clock: Callable[[], float]) -> bool:
        """Send what waits until nothing does. True: the client fell so far behind that it wants the journal.
        `since` is the moment it last took something."""
        last = False
        while self.state != "closed" and not last:
            chunk, last = self._pull()
            nothing = not chunk and not last
            if nothing and not self._outlet.paused:
                break
            self.since = clock()
            try:
                await (self._outlet.drain() if nothing else self._outlet.send(chunk, last=last))
            except (OSError, RuntimeError):
                self.close()
        self._backlog = None
        if self.state == "behind":
            self.state = "joining"
            return True
        return False

    def _pull(self) -> tuple[bytes, bool]:
        """What is sent next, and whether that is the last of all."""
        backlog = self._spill()
        chunk = backlog.take()
        if backlog:
            return chunk, False
        if self._dirty is not None:
            chunk += b"".join(self._dirty.values())
            self._dirty = None
        return chunk + backlog.bye, bool(backlog.bye)
