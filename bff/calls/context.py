"""The scope of one request: who asks, until when, under which ids, and what runs its calls.

A scope is opened by the edge and found through a context variable, so that `await call` works anywhere below a
view or a command without handing anything along. Child scopes only shrink the deadline.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .deadline import Deadline, RequestTimer
from .errors import NoRequestContext
from .principal import Principal


class Runner(Protocol):
    """What turns a Call into its answer: policies around a transport, or a fake in a user's test."""

    async def run(self, call: Any, scope: RequestContext) -> Any:
        """Return the decoded answer of a `Call` or raise an `UpstreamError`."""


@dataclass(frozen=True, slots=True)
class CallTiming:
    """One finished upstream call: its name, milliseconds, the outcome's word ("ok" or a reason), and how many
    milliseconds after the request's beginning it was begun."""

    name: str
    milliseconds: float
    outcome: str
    start: float = 0.0


@dataclass(slots=True)
class PartAge:
    """What an optional part learns of itself. age: seconds of the oldest answer it had to make do with, None when all
    are what was asked for."""

    age: float | None = None


@dataclass(slots=True)
class RequestRecord:
    """What a request learns on its way, shared by all its child scopes. began: monotonic seconds. changes: what its
    caller changed lately, tag → stamp, as far as it was looked up."""

    began: float = field(default_factory=time.monotonic)
    timings: list[CallTiming] = field(default_factory=list)
    missing: int = 0
    stale: int = 0
    max_age: float | None = None
    private: bool = False
    changes: dict[str, int] = field(default_factory=dict)

    def add_call(self, name: str, seconds: float, outcome: str) -> None:
        """Record a call that has just ended, after this many seconds."""
        start = max(0.0, time.monotonic() - seconds - self.began)
        self.timings.append(CallTiming(name, seconds * 1000, outcome, start * 1000))

    def add_answer(self, *, fresh: float | None, public: bool) -> None:
        """Record an answer's freshness: the screen is as fresh as its least fresh part."""
        age = fresh or 0.0
        self.max_age = age if self.max_age is None else min(self.max_age, age)
        if not public:
            self.private = True

    def add_stale(self, part: PartAge | None, age: float) -> None:
        """An answer `age` seconds old stood in for a failure, in this part or in a required one (None)."""
        self.stale += 1
        if part is not None:
            part.age = age if part.age is None else max(part.age, age)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request a Call runs in.

    correlation_id  a UUID
    timer           the request's one timer
    mutation        the client's Idempotency-Key inside a command, else None
    safe            False where a service does not honour the keys derived from `mutation`: nothing is sent twice
    degraded            True while the gateway has too much to do: optional parts are left out without being asked for
    contacts        whether who asks may be shown how to reach the owners of what is missing
    restoring       True where nobody waits for the answer: another breaker decides, one that is content with less
    """

    deadline: Deadline
    runner: Runner
    correlation_id: str
    principal: Principal | None = None
    mutation: str | None = None
    record: RequestRecord = field(default_factory=RequestRecord)
    timer: RequestTimer = field(default_factory=RequestTimer)
    part: PartAge | None = None
    safe: bool = True
    degraded: bool = False
    contacts: bool = True
    restoring: bool = False


_current: contextvars.ContextVar[RequestContext] = contextvars.ContextVar("bff_scope")


def current_context() -> RequestContext:
    """The scope of the request being answered; raises NoRequestContext outside one."""
    try:
        return _current.get()
    except LookupError:
        raise NoRequestContext(
            "a Call can be awaited only inside a view, a command or bff.testing.request_context()"
        ) from None


@contextmanager
def use_context(scope: RequestContext) -> Iterator[RequestContext]:
    """Make `scope` the current one inside the block."""
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


@contextmanager
def within(seconds: float | None) -> Iterator[RequestContext]:
    """A child of the current scope whose deadline is at most `seconds` away."""
    parent = current_context()
    with use_context(replace(parent, deadline=parent.deadline.within(seconds))) as child:
        yield child
