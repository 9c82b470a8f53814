"""What live updates report of themselves: joins, resets and ends of streams, their lag, ends of sagas.

The edge counts it (`edge/observe/metrics.py`). A method is called on the event loop, must be quick and must not raise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Protocol

ResetReason = Literal["cursor", "journal", "slow"]
"""Why a stream could not continue. cursor: what the client sent is none; journal: it is trimmed, lost or of another
epoch; slow: the client did not read, and its buffer was full."""

_AT = b'"at":"'


class LiveObserver(Protocol):
    """Receives what live updates did."""

    def on_joined(self) -> None:
        """A stream got its state or its history."""

    def on_reset(self, reason: ResetReason) -> None:
        """A stream's client got the state, because it could not continue from its position."""

    def on_stream_ended(self, reason: str) -> None:
        """A stream has ended. reason: of its `bye`, `client` (it left), or `stalled` (it did not read)."""

    def on_written(self, seconds: float, streams: int) -> None:
        """So many streams' connections took a saga's event this long after the event's own time."""

    def on_saga_ended(self, saga: str, outcome: str, seconds: float | None) -> None:
        """A saga has ended. seconds: since its first event, None where that was not seen."""


class Unobserved:
    """A LiveObserver that does nothing."""

    def on_joined(self) -> None:
        pass

    def on_reset(self, reason: ResetReason) -> None:
        pass

    def on_stream_ended(self, reason: str) -> None:
        pass

    def on_written(self, seconds: float, streams: int) -> None:
        pass

    def on_saga_ended(self, saga: str, outcome: str, seconds: float | None) -> None:
        pass


UNOBSERVED = Unobserved()


def event_time(entry: bytes) -> float:
    """Unix seconds of a journal's entry, 0 where it names no time. `at` comes before `data` there, and quotes inside
    texts are escaped."""
    begin = entry.find(_AT) + len(_AT)
    if begin < len(_AT):
        return 0.0
    try:
        at = datetime.fromisoformat(entry[begin : entry.find(b'"', begin)].decode())
    except ValueError:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
