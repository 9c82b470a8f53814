"""The port for traces of live updates: the event that is read from a broker, its delivery to streams, and each stream.

An event belongs to the trace that its `traceparent` names (the distributed-tracing extension of CloudEvents). It is
recorded when that trace is: services are trusted. A journal's entry carries the trace on, also to the process that
delivers it and to the browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ..stores.events import BrokerEvent

Value = str | int | float | bool


class StreamTrace(Protocol):
    """The span of one stream, from its opening to its end."""

    def add_event(self, name: str, attributes: Mapping[str, Value] = ...) -> None:
        """Something happened to the stream: a join, a reset, its end."""

    def end(self) -> None:
        """The stream's client has left."""


class ReceivedEvent(Protocol):
    """The consumer span of one event."""

    def follow(self, type: str, source: str, id: str, traceparent: str | None) -> str | None:
        """The event is valid, and has these attributes. Returns the traceparent for what follows from it: of this span,
        or the event's own where it is not recorded; None where it is malformed or missing."""

    def end(self, outcome: str, *, failed: bool = False) -> None:
        """The event was dispatched. outcome: what became of it."""


class LiveTraces(Protocol):
    def stream(self, values: int) -> StreamTrace | None:
        """The trace of a stream that the current request opens; None: it is not recorded. values: that it asks for."""

    def receive(self, event: BrokerEvent) -> ReceivedEvent:
        """An event was read from a broker."""

    def begin_delivery(self) -> int:
        """Nanoseconds since the epoch, for `delivered`."""

    def delivered(self, entry: bytes, began: int, streams: Iterable[StreamTrace | None]) -> None:
        """A journal's entry whose trace is sampled was given to these streams of this process."""


# The last digit of the flags of a sampled trace is odd.
_ODD = frozenset(b"13579bdf")


def is_sampled(entry: bytes) -> bool:
    """Whether the trace of a journal's entry is sampled: an entry ends with its traceparent, or with `null}`."""
    return entry[-3:-2] != b"" and entry[-3] in _ODD and entry[-2:] == b'"}'


def traceparent_of(entry: bytes) -> str:
    """The traceparent of an entry that `is_sampled`."""
    return entry[-57:-2].decode("ascii", "replace")
