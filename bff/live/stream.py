"""One browser's stream: its position in its owner's journal, what its client is given next, and when it must end.

Promises: an event is handed to the outlet as soon as it is published, without a task or a queue between; saga events
leave in offset order, each once; a gap is never skipped: the stream then joins again, and nothing is sent until the
journal has filled the gap. A client that does not read costs a bounded buffer (`outlet.py`); beyond that everything
that waits for it is dropped, and once it reads again it gets `reset` with the latest status of each saga. Does no I/O
of its own and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from ..calls import Principal
from ..stores.journal import Opened, Position
from .outlet import BUFFER_BYTES, Bye, Outlet, Snapshot

StreamState = Literal["joining", "live", "awaiting_restore", "lagging", "ended", "closed"]
"""joining: waits for the journal; events published meanwhile are held back. live: each event that follows is written.
awaiting_restore: its owner's sagas are unknown until the journal is restored; a client that had a state before is sent
changes, without positions. lagging: the client does not read; the stream joins again once it does. ended: only its
`bye` is still to be sent. closed: the client has left. The last two are final."""

_NOWHERE = (b"", 0)
"""A position in no journal: no published event follows it."""


class StreamListener(Protocol):
    """What the hub is told about its streams. One object implements it and is given to all parts when they are made."""

    def on_buffering(self, stream: Stream) -> None:
        """Its connection takes no more: call `flush` until that returns."""

    def on_lagging(self, stream: Stream) -> None:
        """It needs the journal."""

    def on_restored(self, stream: Stream) -> None:
        """Its owner's journal is restored."""

    def on_waiting(self, stream: Stream) -> None:
        """It is new and cannot be joined for now."""

    def on_evicted(self, channel: str, slot: str) -> None:
        """A stream of this owner's channel has lost its slot to a newer one."""

    def on_slot_unused(self, stream: Stream) -> None:
        """It left before it got its slot."""

    def on_slots_expired(self) -> None:
        """Other processes may have taken the slots of this one."""


class Stream:
    """after: the cursor the client came with as it wrote it, None for none. names: the values it asked for. slot: its
    name among its owner's slots. queue: events that may be held back while it joins. ends_at: monotonic seconds.

    has_slot     its slot is taken
    subscribed   it is given what is published
    joining_now  somebody is joining it; join_again: it has to be joined once more after that
    new          it was neither joined nor reported as waiting
    bucket       its place in the timing wheel, -1 for none
    progress_at  monotonic seconds at which its client last took something of what waits
    """

    __slots__ = (
        "_epoch",
        "_flushing",
        "_held",
        "_listener",
        "_lost_position",
        "_needs_reset",
        "_offset",
        "_outlet",
        "_queue",
        "_started",
        "bucket",
        "end_reason",
        "ends_at",
        "has_slot",
        "join_again",
        "joining_now",
        "names",
        "new",
        "owner",
        "principal",
        "progress_at",
        "slot",
        "state",
        "subscribed",
        "warned",
    )

    def __init__(
        self,
        principal: Principal,
        after: str | None,
        names: Sequence[str],
        outlet: Outlet,
        listener: StreamListener,
        *,
        queue: int,
        ends_at: float,
        end_reason: Bye,
        slot: str = "",
    ) -> None:
        self.principal, self.owner = principal, principal.id
        self.slot = slot
        self.names = tuple(dict.fromkeys(names))
        position = None if after is None else Position.parse(after)
        self._epoch = position.epoch.encode() if position else b""
        self._offset = position.offset if position else 0
        # A cursor that cannot be read cannot be honoured either, and without a reset the client would stay where it is.
        self._needs_reset = after is not None and position is None
        # While it awaits the restore: the position in the lost journal up to which its client knows all events.
        self._lost_position: tuple[bytes, int] | None = None
        self.ends_at, self.end_reason = ends_at, end_reason
        self.new = True
        self.subscribed = self.has_slot = self.warned = self.joining_now = self.join_again = False
        self.bucket, self.progress_at = -1, 0.0
        self.state: StreamState = "joining"
        # Whether its client was given what a stream begins with: values, and the state or a history.
        self._started = False
        self._flushing = False
        self._outlet, self._listener, self._queue = outlet, listener, queue
        self._held: list[tuple[bytes, int, bytes, bytes]] | None = None

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
        """Where the client will be once it has read what was written. None: it gets the state."""
        return Position(self._epoch.decode(), self._offset) if self._epoch and not self._needs_reset else None

    def at(self, head: Position | None) -> bool:
        """Whether this is its position."""
        return head is not None and self._offset == head.offset and self._epoch == head.epoch.encode()

    # ---- what is published ---------------------------------------------------------------------------------------

    def on_event(self, epoch: bytes, offset: int, position: bytes, entry: bytes) -> bool:
        """A published event. False: it leaves a gap, so the stream is joining again and needs the journal. position:
        epoch and offset as they were published."""
        if self.state == "live":
            if offset == self._offset + 1 and epoch == self._epoch:
                self._offset = offset
                if not self._outlet.event(position, entry):
                    self._on_unwritten()
                return True
            if epoch == self._epoch and offset <= self._offset:
                return True
        elif self.state == "awaiting_restore":
            if self._lost_position is None or self._on_lost_event(epoch, offset, entry):
                return True
        else:
            if self.state == "joining":
                self._hold(epoch, offset, position, entry)
            return True
        self.rejoin()
        self._hold(epoch, offset, position, entry)
        return False

    def _on_lost_event(self, epoch: bytes, offset: int, entry: bytes) -> bool:
        """Send it without its position. False: it leaves a gap."""
        if (
            self._lost_position is None
            or epoch != self._lost_position[0]
            or offset > self._lost_position[1] + 1
        ):
            return False
        if offset > self._lost_position[1]:
            self._lost_position = epoch, offset
            self._check(self._outlet.history(None, (entry,), (), first=False))
        return True

    def _hold(self, epoch: bytes, offset: int, position: bytes, entry: bytes) -> None:
        if self._held is None:
            self._held = []
        if (
            len(self._held) >= self._queue
            or sum(len(event[3]) for event in self._held) + len(entry) > BUFFER_BYTES
        ):
            # The journal has all of them: the next event leaves a gap, so that the journal is read once more.
            self._held.clear()
        self._held.append((epoch, offset, position, entry))

    def on_value(self, name: str, payload: bytes) -> None:
        """A value's newest version. Before the first state none is sent: that contains them all."""
        if (
            self._started
            and self.state in ("live", "awaiting_restore", "joining")
            and not self._outlet.value(name, payload)
        ):
            self._on_unwritten()

    # ---- what the journal says -----------------------------------------------------------------------------------

    def rejoin(self) -> None:
        """It needs the journal: events are held back from here on until that is read. Those published before are in it
        or lost; an event of a server that is the master no more would never fit. A lagging stream stays as it is."""
        if self.state in ("live", "awaiting_restore", "joining"):
            self.state, self._held = "joining", None

    def join(self, opened: Opened, values: Sequence[bytes]) -> bool:
        """Send what the journal says, then what was published meanwhile. False: read the journal once more.

        values: the newest payload of each of its names that has one
        """
        if self.state != "joining":
            return True
        first, self._started = not self._started, True
        after, position = self.position, opened.reader_position
        if opened.kind == "history" and after is not None:
            written = self._outlet.history(after, opened.entries, values if first else (), first=first)
        else:
            reset = bool(self._epoch) or self._needs_reset
            written = self._outlet.state(Snapshot(position, opened.entries, values), reset=reset, first=first)
        self._needs_reset, self._lost_position = False, None
        self._epoch, self._offset = position.epoch.encode(), position.offset
        self._check(written)
        if self.state != "joining":
            return True
        held, self._held = self._held, None
        self.state = "live"
        return all(self.on_event(*event) for event in held or ())

    def await_restore(self, values: Sequence[bytes], opened: Opened | None = None) -> bool:
        """Its owner's sagas are unknown for now, so it gets no state until it joins. A client that had one before is
        sent changes of its sagas, without positions: first what the journal has of them, then what is published. Values
        are sent all the same. False: read the journal once more.

        opened: None while the journal cannot be read
        """
        if self.state != "joining":
            return True
        held, self._held = self._held, None
        self.state = "awaiting_restore"
        first, self._started = not self._started, True
        entries: Sequence[bytes] = ()
        if self._epoch and opened is not None:
            head = opened.position
            lost_position = (head.epoch.encode(), head.offset) if head is not None else _NOWHERE
            if lost_position != self._lost_position:
                self._lost_position = lost_position
                # A state has the newest first.
                entries = opened.entries[::-1]
        # In one piece: the second of two could find the first one waiting, and the stream would lag at each attempt.
        self._check(self._outlet.history(None, entries, values if first else (), first=first))
        if self._lost_position is not None:
            for epoch, offset, _, entry in held or ():
                if self.state == "awaiting_restore" and not self._on_lost_event(epoch, offset, entry):
                    if opened is not None:
                        self.rejoin()
                        return False
                    self._lost_position = _NOWHERE
        return True

    # ---- what else is sent ---------------------------------------------------------------------------------------

    def hello(self) -> None:
        """Tell a client that waits for its state that it is connected."""
        if not self.ended:
            self._check(self._outlet.hello())

    def heartbeat(self, at: str) -> None:
        """at: ISO 8601."""
        if not self.ended:
            self._check(self._outlet.heartbeat(at))

    def expiring(self, at: str, seconds: float) -> None:
        """Warn that its session or token ends in so many seconds, at this time (ISO 8601)."""
        self.warned = True
        if not self.ended:
            self._check(self._outlet.expiring(at, seconds))

    def end(self, reason: Bye, retry_after: float | None) -> None:
        """Send what waits, then `bye`; a second end changes nothing. retry_after: seconds."""
        if self.ended:
            return
        self.state, self._held = "ended", None
        self._check(self._outlet.bye(reason, retry_after))

    def close(self) -> None:
        """The client has left: free what is held and buffered."""
        self.state, self._held = "closed", None
        self._outlet.discard()

    def abort(self) -> None:
        """Cut off a client that does not read."""
        self.close()
        self._outlet.abort()

    # ---- what waits ----------------------------------------------------------------------------------------------

    def _check(self, written: bool) -> None:
        if not written:
            self._on_unwritten()

    def _on_unwritten(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._listener.on_buffering(self)
        if self._outlet.full:
            # Neither more memory nor old events: it begins again with the state, once the client reads.
            self._outlet.discard()
            if not self.ended:
                self._lost_position = None
                self.state, self._needs_reset, self._started = "lagging", True, False

    async def flush(self, clock: Callable[[], float]) -> bool:
        """Send what waits until nothing does. True: the client lagged so far that the stream needs the journal.

        clock: monotonic seconds
        """
        outlet = self._outlet
        try:
            while self.state != "closed" and outlet.waiting:
                self.progress_at = clock()
                await outlet.flush()
        except (OSError, RuntimeError):
            self.close()
        self._flushing = False
        if self.state == "lagging":
            self.state = "joining"
            return True
        return False
