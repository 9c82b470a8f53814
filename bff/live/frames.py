"""What stands on the wire of a stream: server-sent events, each encoded once and shared by all who get it.

Only `snapshot`, `reset` and `saga` carry an id: it is what a client resumes from (WHATWG HTML, 9.2). Bodies are JSON
on one line, spliced as they were stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic_core import to_json

from ..stores.journal import Position

Bye = Literal["expired", "logout", "age", "drain", "limit"]


def retry(seconds: float) -> bytes:
    """Tells a client how long to wait before it connects again; dispatches nothing."""
    return b"retry: %d\n\n" % round(seconds * 1000)


def state_body(position: Position, sagas: Iterable[bytes], values: Iterable[bytes]) -> bytes:
    """`{cursor, sagas, values}`."""
    return b'{"cursor":"%s","sagas":[%s],"values":[%s]}' % (
        str(position).encode(),
        b",".join(sagas),
        b",".join(values),
    )


def state(
    event: Literal["snapshot", "reset"], position: Position, sagas: Iterable[bytes], values: Iterable[bytes]
) -> bytes:
    body = state_body(position, sagas, values)
    return b"event: %s\nid: %s\ndata: %s\n\n" % (event.encode(), str(position).encode(), body)


def saga(position: Position, entry: bytes) -> bytes:
    return b"event: saga\nid: %s\ndata: %s\n\n" % (str(position).encode(), entry)


def value(payload: bytes) -> bytes:
    return b"event: value\ndata: %s\n\n" % payload


def beat(at: str) -> bytes:
    return b"event: beat\ndata: %s\n\n" % to_json({"at": at})


def bye(reason: Bye, retry_after: float | None) -> bytes:
    """The last event. `retry:` says the same to a plain EventSource, which does not read `data`."""
    hint = b"" if retry_after is None else b"retry: %d\n" % round(retry_after * 1000)
    return b"event: bye\n%sdata: %s\n\n" % (hint, to_json({"reason": reason, "retry_after": retry_after}))
