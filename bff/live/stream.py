"""One browser's stream: its state, its position in its owner's journal, and the end of its life.

Guarantees: an event is given to the outlet as soon as it is published, without a task or a queue in between. Saga
events are sent in offset order, each once. A gap is never skipped: the stream joins again, and sends nothing until the
journal has filled the gap. A client that does not read has a bounded buffer (`outlet.py`). When it is full, everything
in it is dropped, and when the client reads again it gets `reset` with the latest status of each saga. This module does
no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from ..calls import Principal
from ..stores.journal import Opened, Position
from .observation import ResetReason
from .outlet import BUFFER_BYTES, Bye, Outlet, Snapshot
from .traces import StreamTrace

StreamState = Literal["joining", "live", "awaiting_restore", "lagging", "ended", "closed"]
"""joining: waits for the journal; events published meanwhile are held back. live: events are written as they are
published. awaiting_restore: its owner's sagas are unknown until the journal is restored; a client that had a state
before gets changes, without positions. lagging: the client does not read; the stream joins again when it does. ended:
only its `bye` has to be sent. closed: the client has left. The last two are final."""

_NOWHERE = (b"", 0)
"""A position in no journal: no published event follows it."""


class StreamListener(Protocol):
    """Callbacks for events of streams. The hub implements it and gives itself to all its parts."""

    def on_buffering(self, stream: Stream) -> None:
        """The stream's connection accepts no more: call `flush`."""

    def on_current(self, stream: Stream) -> None:
        """The stream may have everything now that was published for it."""

    def on_lagging(self, stream: Stream) -> None:
        """The stream needs the journal."""

    def on_joined(self, stream: Stream, reset: ResetReason | None) -> None:
        """The stream got its state or history. reset: why it could not continue from its position, if it got one."""

    def on_restored(self, stream: Stream) -> None:
        """The journal of the stream's owner is restored."""

    def on_waiting(self, stream: Stream) -> None:
        """The stream is new and cannot be joined for now."""

    def on_evicted(self, channel: str, slot: str) -> None:
        """A stream of this owner's channel has lost its slot to a newer one."""

    def on_slot_unused(self, stream: Stream) -> None:
        """The client left before the stream got its slot."""

    def on_slots_expired(self) -> None:
        """Other processes may have taken the slots of this one."""


class Stream:
    """after: the cursor that the client sent, None for none. names: of its values. slot: its name among its owner's
    slots. queue: events that may be held back while it joins. ends_at: monotonic seconds.

    has_slot     True when its slot is taken
    subscribed   True when it gets published messages
    joining_now  True while it is being joined; join_again: True when it has to be joined once more after that
    on_sent      called with what was given to its connection, None: nobody is; see `OutcomeMeter`
    new          True until it was joined or reported as waiting
    bucket       its bucket in the timing wheel, -1 for none
    trace        gets what happens to it; None: it is not recorded
    progress_at  monotonic seconds at which its client last read from the buffer
    late_since   Unix seconds of the oldest event that its client has not got, 0.0 for none
    ended_by     why it has ended, "" before
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
        "_slow",
        "_started",
        "bucket",
        "end_reason",
        "ended_by",
        "ends_at",
        "has_slot",
        "join_again",
        "joining_now",
        "late_since",
        "names",
        "new",
        "on_sent",
        "owner",
        "principal",
        "progress_at",
        "slot",
        "state",
        "subscribed",
        "trace",
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
        on_sent: Callable[[Stream, Sequence[bytes], bool], None] | None = None,
        trace: StreamTrace | None = None,
    ) -> None:
        self.principal, self.owner = principal, principal.id
        self.slot = slot
        self.on_sent = on_sent
        self.trace = trace
        self.names = tuple(dict.fromkeys(names))
        position = None if after is None else Position.parse(after)
        self._epoch = position.epoch.encode() if position else b""
        self._offset = position.offset if position else 0
        # The stream cannot continue from a cursor that is not valid. Without a reset the client would keep its old
        # state.
        self._needs_reset = after is not None and position is None
        self._slow = False
        # While it awaits the restore: the position in the lost journal up to which its client has all events.
        self._lost_position: tuple[bytes, int] | None = None
        self.ends_at, self.end_reason = ends_at, end_reason
        self.new = True
        self.subscribed = self.has_slot = self.warned = self.joining_now = self.join_again = False
        self.bucket, self.progress_at = -1, 0.0
        self.late_since, self.ended_by = 0.0, ""
        self.state: StreamState = "joining"
        # Whether its client got what a stream begins with: values, and the state or a history.
        self._started = False
        self._flushing = False
        self._outlet, self._listener, self._queue = outlet, listener, queue
        self._held: list[tuple[bytes, int, bytes, bytes]] | None = None

    @property
    def ended(self) -> bool:
        """Whether at most its `bye` is still to be written."""
        return self.state in ("ended", "closed")

    @property
    def is_current(self) -> bool:
        """Whether its client's connection has everything that was published for it."""
        return self.state == "live" and not self._flushing

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the network has not accepted."""
        return self._outlet.unsent

    @property
    def position(self) -> Position | None:
        """The client's position after it has read everything that was written. None: it gets the state."""
        return Position(self._epoch.decode(), self._offset) if self._epoch and not self._needs_reset else None

    def at(self, head: Position | None) -> bool:
        """Whether the stream's position is this head."""
        return head is not None and self._offset == head.offset and self._epoch == head.epoch.encode()

    # ---- published messages --------------------------------------------------------------------------------------

    def on_event(self, epoch: bytes, offset: int, position: bytes, entry: bytes) -> bool:
        """Handle a published event. False: it leaves a gap, so the stream is joining again and needs the journal.
        position: epoch and offset as they were published."""
        if self.state == "live":
            if offset == self._offset + 1 and epoch == self._epoch:
                self._offset = offset
                written = self._outlet.event(position, entry)
                if self.on_sent is not None:
                    self.on_sent(self, (entry,), written)
                if not written:
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
        """Send an event of the lost journal, without its position. False: it leaves a gap."""
        if (
            self._lost_position is None
            or epoch != self._lost_position[0]
            or offset > self._lost_position[1] + 1
        ):
            return False
        if offset > self._lost_position[1]:
            self._lost_position = epoch, offset
            self._check(self._outlet.history(None, (entry,), (), first=False), (entry,))
        return True

    def _hold(self, epoch: bytes, offset: int, position: bytes, entry: bytes) -> None:
        if self._held is None:
            self._held = []
        if (
            len(self._held) >= self._queue
            or sum(len(event[3]) for event in self._held) + len(entry) > BUFFER_BYTES
        ):
            # The journal has all of them. The next event leaves a gap, so that the journal is read again.
            self._held.clear()
        self._held.append((epoch, offset, position, entry))

    def on_value(self, name: str, payload: bytes) -> None:
        """Send a value's newest version. None is sent before the first state, which contains all values."""
        if (
            self._started
            and self.state in ("live", "awaiting_restore", "joining")
            and not self._outlet.value(name, payload)
        ):
            self._on_unwritten()

    # ---- the journal ---------------------------------------------------------------------------------------------

    def rejoin(self) -> None:
        """The stream needs the journal: events are held back from now on until it is read. Events held back before are
        dropped: they are in the journal or lost, and an event of a server that is not the master any more would never
        fit. A lagging stream is not changed."""
        if self.state in ("live", "awaiting_restore", "joining"):
            self.state, self._held = "joining", None

    def join(self, opened: Opened, values: Sequence[bytes]) -> bool:
        """Send the content of the journal, then the events published meanwhile. False: read the journal again.

        values: the newest payload of each of its names that has one
        """
        if self.state != "joining":
            return True
        first, self._started = not self._started, True
        after, position = self.position, opened.reader_position
        why: ResetReason | None = None
        if opened.kind == "history" and after is not None:
            written = self._outlet.history(after, opened.entries, values if first else (), first=first)
        else:
            reset = bool(self._epoch) or self._needs_reset
            if reset:
                why = "slow" if self._slow else "journal" if self._epoch else "cursor"
            written = self._outlet.state(Snapshot(position, opened.entries, values), reset=reset, first=first)
        if self.trace is not None:
            self._trace_join(opened, after)
        self._needs_reset, self._slow, self._lost_position = False, False, None
        self._epoch, self._offset = position.epoch.encode(), position.offset
        self._check(written, opened.entries)
        self._listener.on_joined(self, why)
        if self.state != "joining":
            return True
        held, self._held = self._held, None
        self.state = "live"
        return all(self.on_event(*event) for event in held or ())

    def _trace_join(self, opened: Opened, after: Position | None) -> None:
        if self.trace is None:
            return
        follows = opened.kind == "history" and after is not None
        joined = {"bff.join": "history" if follows else "state", "bff.entries": len(opened.entries)}
        self.trace.add_event("bff.stream.join", joined)
        if not follows and (self._epoch or self._needs_reset):
            self.trace.add_event(
                "bff.stream.reset", {"bff.reason": "buffer-full" if self._slow else "position-unknown"}
            )

    def await_restore(self, values: Sequence[bytes], opened: Opened | None = None) -> bool:
        """The owner's sagas are unknown for now, so the client gets no state until the stream joins. A client that had
        a state before gets changes of its sagas, without positions: first those in the journal, then those that are
        published. Values are sent as usual. False: read the journal again.

        opened: None while the journal cannot be read
        """
        if self.state != "joining":
            return True
        held, self._held = self._held, None
        self.state = "awaiting_restore"
        if self.trace is not None:
            self.trace.add_event("bff.stream.await_restore")
        first, self._started = not self._started, True
        entries: Sequence[bytes] = ()
        if self._epoch and opened is not None:
            head = opened.position
            lost_position = (head.epoch.encode(), head.offset) if head is not None else _NOWHERE
            if lost_position != self._lost_position:
                self._lost_position = lost_position
                # A state has the newest first.
                entries = opened.entries[::-1]
        # In one piece. Of two pieces the second could be dropped while the first one waits, and the stream would lag
        # after each attempt.
        self._check(self._outlet.history(None, entries, values if first else (), first=first), entries)
        if self._lost_position is not None:
            for epoch, offset, _, entry in held or ():
                if self.state == "awaiting_restore" and not self._on_lost_event(epoch, offset, entry):
                    if opened is not None:
                        self.rejoin()
                        return False
                    self._lost_position = _NOWHERE
        return True

    # ---- other messages ------------------------------------------------------------------------------------------

    def hello(self) -> None:
        """Send the opening to a client that waits for its state, so that it knows that it is connected."""
        if not self.ended:
            self._check(self._outlet.hello())

    def heartbeat(self, at: str) -> None:
        """Send a heartbeat. at: ISO 8601."""
        if not self.ended:
            self._check(self._outlet.heartbeat(at))

    def expiring(self, at: str, seconds: float) -> None:
        """Warn the client that its session or token ends in so many seconds, at this time (ISO 8601)."""
        self.warned = True
        if not self.ended:
            self._check(self._outlet.expiring(at, seconds))

    def end(self, reason: Bye, retry_after: float | None) -> None:
        """Send what waits, then `bye`. A second call changes nothing. retry_after: seconds, None for none."""
        if self.ended:
            return
        self.state, self._held, self.ended_by = "ended", None, reason
        if self.trace is not None:
            self.trace.add_event("bff.stream.end", {"bff.reason": reason})
        self._check(self._outlet.bye(reason, retry_after))

    def close(self) -> None:
        """The client has left: free held events and the buffer."""
        self.state, self._held = "closed", None
        self._outlet.discard()

    def abort(self) -> None:
        """Close the connection of a client that does not read."""
        self.ended_by = self.ended_by or "stalled"
        if self.trace is not None:
            self.trace.add_event("bff.stream.end", {"bff.reason": "abort"})
        self.close()
        self._outlet.abort()

    # ---- the buffer ----------------------------------------------------------------------------------------------

    def _check(self, written: bool, entries: Sequence[bytes] = ()) -> None:
        if entries and self.on_sent is not None:
            self.on_sent(self, entries, written)
        if not written:
            self._on_unwritten()

    def _on_unwritten(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._listener.on_buffering(self)
        if self._outlet.full:
            # The buffer is full. The client gets the state when it reads again, not old events.
            self._outlet.discard()
            if not self.ended:
                self._lost_position = None
                self.state, self._needs_reset, self._started = "lagging", True, False
                self._slow = True
                if self.trace is not None:
                    self.trace.add_event("bff.stream.lagging")

    async def flush(self, clock: Callable[[], float]) -> bool:
        """Send everything that waits. True: the client lagged so far that the stream needs the journal.

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
