"""What stands on the wire of a stream: server-sent events, each encoded once and shared by all who get it.

Only `snapshot`, `reset` and `saga` carry an id: it is what a client resumes from (WHATWG HTML, 9.2). The small frames
are sse-starlette's; those that carry what was stored as JSON on one line splice its bytes, which it would take apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic_core import to_json
from sse_starlette import ServerSentEvent

from ..stores.journal import Position

Bye = Literal["expired", "logout", "age", "drain", "limit"]


def retry(seconds: float) -> bytes:
    """Tells a client how long to wait before it connects again; dispatches nothing."""
    return ServerSentEvent(retry=round(seconds * 1000), sep="\n").encode()


HELLO = retry(1.0)
"""What a stream begins with."""

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest event: what our own client reads (`LARGEST` in web/client/sse.js). The sagas of a state alone
take less (`journal.STATE_BYTES`)."""
_ENVELOPE = 512


def state_body(position: Position, sagas: Iterable[bytes], values: Iterable[bytes]) -> bytes:
    """`{cursor, sagas, values}`."""
    return b'{"cursor":"%s","sagas":[%s],"values":[%s]}' % (
        str(position).encode(),
        b",".join(sagas),
        b",".join(values),
    )


def state(
    event: Literal["snapshot", "reset"], position: Position, sagas: Sequence[bytes], values: Iterable[bytes]
) -> bytes:
    """The state as one event of at most LARGEST bytes. Values that do not fit follow it as events of their own."""
    room = LARGEST - _ENVELOPE - sum(len(one) + 1 for one in sagas)
    within: list[bytes] = []
    after: list[bytes] = []
    for payload in values:
        fits = len(payload) < room
        room -= len(payload) + 1 if fits else 0
        (within if fits else after).append(payload)
    body = state_body(position, sagas, within)
    frame = b"event: %s\nid: %s\ndata: %s\n\n" % (event.encode(), str(position).encode(), body)
    return frame + b"".join(map(value, after))


def saga_without_position(entry: bytes) -> bytes:
    """A saga's newest status, told while its journal is being restored: news by its version, nothing to resume from."""
    return b"event: saga\ndata: %b\n\n" % entry


def without_position(frame: bytes) -> bytes:
    """The same of a frame that `saga` made."""
    return b"event: saga\n" + frame[frame.index(b"data: ") :]


def saga(position: bytes, entry: bytes) -> bytes:
    """position: `<epoch>-<offset>`, as it was published."""
    return b"event: saga\nid: %b\ndata: %b\n\n" % (position, entry)


def history(after: Position, entries: Iterable[bytes]) -> bytes:
    """The events that follow a position, one by one."""
    epoch = after.epoch.encode()
    return b"".join(saga(b"%b-%d" % (epoch, after.offset + n), entry) for n, entry in enumerate(entries, 1))


def value(payload: bytes) -> bytes:
    return b"event: value\ndata: %b\n\n" % payload


def beat(at: str) -> bytes:
    return ServerSentEvent(data=to_json({"at": at}).decode(), event="beat", sep="\n").encode()


def expiring(at: str, seconds: float) -> bytes:
    """Some time before `bye` `expired`: time to sign in again without an interruption."""
    data = to_json({"at": at, "seconds": round(seconds, 1)}).decode()
    return ServerSentEvent(data=data, event="expiring", sep="\n").encode()


def bye(reason: Bye, retry_after: float | None) -> bytes:
    """The last event. `retry:` says the same to a plain EventSource, which does not read `data`."""
    data = to_json({"reason": reason, "retry_after": retry_after}).decode()
    hint = None if retry_after is None else round(retry_after * 1000)
    return ServerSentEvent(data=data, event="bye", retry=hint, sep="\n").encode()
