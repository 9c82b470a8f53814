"""Server-sent events: how the messages of a live stream are encoded (WHATWG HTML, 9.2), and the body of a snapshot.

Only `snapshot`, `reset` and a `saga` with a position carry an id: a client resumes from it. sse-starlette encodes the
small messages. Those with stored lines of JSON are put together here, because it would split the lines again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pydantic_core import to_json
from sse_starlette import ServerSentEvent

from ...live.outlet import Bye, Snapshot
from ...stores.journal import Position
from ...stores.values import is_gone

HELLO = ServerSentEvent(retry=1000, sep="\n").encode()
"""The first message of a stream: milliseconds that a client waits before it connects again. It dispatches no event."""

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest event: what our own client reads (`LARGEST` in web/client/sse.js). The sagas of a state alone
take less (`journal.STATE_BYTES`)."""
_ENVELOPE = 512


def body(snapshot: Snapshot) -> bytes:
    """`{cursor, sagas, values}`. Values that are gone are not in it."""
    position, sagas, payloads = snapshot
    values = [payload for payload in payloads if not is_gone(payload)]
    return b'{"cursor":"%s","sagas":[%s],"values":[%s]}' % (
        str(position).encode(),
        b",".join(sagas),
        b",".join(values),
    )


def state(snapshot: Snapshot, *, reset: bool) -> bytes:
    """The state as one event of at most LARGEST bytes. Values that do not fit, and those that are gone, follow it as
    events of their own."""
    room = LARGEST - _ENVELOPE - sum(len(saga) + 1 for saga in snapshot.sagas)
    within: list[bytes] = []
    after: list[bytes] = []
    for payload in snapshot.values:
        fits = len(payload) < room and not is_gone(payload)
        room -= len(payload) + 1 if fits else 0
        (within if fits else after).append(payload)
    event, position = b"reset" if reset else b"snapshot", str(snapshot.position).encode()
    data = body(Snapshot(snapshot.position, snapshot.sagas, within))
    return b"event: %b\nid: %b\ndata: %b\n\n" % (event, position, data) + b"".join(map(value, after))


def saga(position: bytes, entry: bytes) -> bytes:
    """A saga's status. position: `<epoch>-<offset>`."""
    return b"event: saga\nid: %b\ndata: %b\n\n" % (position, entry)


def history(after: Position | None, entries: Sequence[bytes]) -> bytes:
    """The events that follow the position `after`, one by one. None: they have no id, because their journal is being
    restored; a client knows by their versions which are new."""
    if after is None:
        return b"".join([b"event: saga\ndata: %b\n\n" % entry for entry in entries])
    epoch = after.epoch.encode()
    return b"".join([saga(b"%b-%d" % (epoch, n), entry) for n, entry in enumerate(entries, after.offset + 1)])


def value(payload: bytes) -> bytes:
    """A value's newest version, or that it is gone."""
    return b"event: %b\ndata: %b\n\n" % (b"gone" if is_gone(payload) else b"value", payload)


@lru_cache(1)
def heartbeat(at: str) -> bytes:
    """The same for all streams whose heartbeat is due now."""
    return ServerSentEvent(data=to_json({"at": at}).decode(), event="beat", sep="\n").encode()


def expiring(at: str, seconds: float) -> bytes:
    """Sent some time before `bye` `expired`, so that a person can sign in again without an interruption."""
    data = to_json({"at": at, "seconds": round(seconds, 1)}).decode()
    return ServerSentEvent(data=data, event="expiring", sep="\n").encode()


def bye(reason: Bye, retry_after: float | None) -> bytes:
    """The last event. `retry:` is for a plain EventSource, which does not read `data`."""
    data = to_json({"reason": reason, "retry_after": retry_after}).decode()
    retry = None if retry_after is None else round(retry_after * 1000)
    return ServerSentEvent(data=data, event="bye", retry=retry, sep="\n").encode()
