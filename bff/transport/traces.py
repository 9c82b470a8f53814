"""The port for traces of calls: which trace a call belongs to, and what is recorded of each attempt.

A call in a trace that is not recorded costs no more than the header that it sends. Nothing is made current, because
nothing of an application runs inside a call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from ..calls import Call

Value = str | int | float | bool


class AttemptRecord(Struct):
    """One attempt that was sent, from which its client span is made.

    address  where it was sent: scheme, host and port, and a path in front
    parent   the span of its request, or the span that the application made current; invalid for a call outside a
             request
    span_id  its own span, which the service got as its parent
    began    nanoseconds since the epoch; ended: the same, after the response or the failure
    resent   attempts of the same call before it
    hedge    True for the second copy of a slow read
    status   of the response, None without one
    outcome  as in the policy event `Attempted`
    """

    call: Call[Any]
    address: str
    parent: SpanContext
    span_id: int
    began: int
    ended: int
    resent: int
    hedge: bool
    status: int | None
    outcome: str


class CallTrace:
    """The trace that calls belong to.

    context  the span that is the parent of their attempts
    record   called with each attempt that has ended; None: attempts are not recorded
    baggage  the header `baggage` of each request, "" for none
    """

    __slots__ = ("baggage", "context", "record")

    def __init__(
        self,
        context: SpanContext,
        record: Callable[[AttemptRecord], None] | None = None,
        baggage: str = "",
    ) -> None:
        self.context = context
        self.record = record
        self.baggage = baggage


NO_TRACE = CallTrace(INVALID_SPAN_CONTEXT)


class CallTraces(Protocol):
    """The traces of calls. What happens to a call without being an attempt is an event of the request's span."""

    def current(self) -> CallTrace:
        """The trace of a call that begins now."""

    def add_event(self, name: str, attributes: Mapping[str, Value], link: SpanContext | None = None) -> None:
        """Add an event to the span of the current request, if that is recorded. link: a span in another trace that has
        to do with it."""


class NoTraces:
    """Knows no trace and records nothing."""

    def current(self) -> CallTrace:
        return NO_TRACE

    def add_event(self, name: str, attributes: Mapping[str, Value], link: SpanContext | None = None) -> None:
        pass


NO_TRACES = NoTraces()


def new_span_id() -> int:
    """A random span id. It is no secret, so that the random generator of the process is good enough."""
    return random.getrandbits(64) or 1
