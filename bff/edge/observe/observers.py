"""Observers: functions that are called with every policy event and the end of each request. Metrics and the event log
are two of them.

An observer runs inside the request or call that it observes. It must be quick and must not wait. What it raises is
logged (at most once a minute for each observer) and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol, TypeAlias

from ...calls import RequestRecord
from ...policies.events import PolicyEvent


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request on the public port was answered, or its client left. A stream's request ends when its head was sent.

    method          HTTP method
    route           the declared path, such as `/api/products/{sku}`; None where no route answered
    status          HTTP status; 499: the client left before there was one
    seconds         from the request's arrival to the end of its answer
    correlation_id  as in the answer's `X-Correlation-ID`
    trace_id        W3C trace id, 32 hex digits
    kind            screen, command, forward, or other
    code            the problem's code, "" for an answer that is no problem
    is_sampled      whether the trace is recorded
    record          what was learned while the function ran, None where none ran
    """

    method: str
    route: str | None
    status: int
    seconds: float
    correlation_id: str = ""
    trace_id: str = ""
    _principal_id: str | None = field(default=None, repr=False)
    kind: str = "other"
    code: str = ""
    is_sampled: bool = False
    record: RequestRecord | None = field(default=None, repr=False)

    @property
    def pseudonym(self) -> str | None:
        """A name for the principal that does not reveal who it is, see `Principal.pseudonym`; None: no principal."""
        return None if self._principal_id is None else sha256(self._principal_id.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ScreenIncomplete:
    """A screen was answered without this many of its optional parts."""

    route: str
    missing: int


Event: TypeAlias = PolicyEvent | RequestEnded | ScreenIncomplete


class Observer(Protocol):
    """A function that is called with each event. Use `match` with the classes of `bff.events`, and ignore other events:
    later versions add some. It is called on the event loop, inside the request or call, and must not wait."""

    def __call__(self, event: Event, /) -> None: ...
