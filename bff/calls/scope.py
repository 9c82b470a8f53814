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

from .alarm import Alarm
from .deadline import Deadline
from .errors import NoScope
from .principal import Principal


class Runner(Protocol):
    """What turns a Call into its answer: policies around a transport, or a fake in a user's test."""

    async def run(self, call: Any, scope: Scope) -> Any:
        """Return the decoded answer of a `Call` or raise an `UpstreamError`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One finished upstream call: its name, milliseconds, the outcome's word ("ok" or a reason), and how many
    milliseconds after the request's beginning it was begun."""

    name: str
    milliseconds: float
    outcome: str
    start: float = 0.0


@dataclass(slots=True)
class Note:
    """What an optional part learns of itself. age: seconds of the oldest answer it had to make do with, None when all
    are what was asked for."""

    age: float | None = None


@dataclass(slots=True)
class Ledger:
    """What a request learns on its way, shared by all its child scopes. began: monotonic seconds. own: what its
    caller changed lately, tag → stamp, as far as it was looked up."""

    began: float = field(default_factory=time.monotonic)
    timings: list[Timing] = field(default_factory=list)
    missing: int = 0
    stale: int = 0
    max_age: float | None = None
    private: bool = False
    own: dict[str, int] = field(default_factory=dict)

    def took(self, name: str, seconds: float, outcome: str) -> None:
        """Note a call that has just ended, after this many seconds."""
        start = max(0.0, time.monotonic() - seconds - self.began)
        self.timings.append(Timing(name, seconds * 1000, outcome, start * 1000))

    def saw(self, *, fresh: float | None, public: bool) -> None:
        """Note an answer's freshness: the screen is as fresh as its least fresh part."""
        age = fresh or 0.0
        self.max_age = age if self.max_age is None else min(self.max_age, age)
        if not public:
            self.private = True

    def was_stale(self, part: Note | None, age: float) -> None:
        """An answer `age` seconds old stood in for a failure, in this part or in a required one (None)."""
        self.stale += 1
        if part is not None:
            part.age = age if part.age is None else max(part.age, age)


@dataclass(frozen=True, slots=True)
class Scope:
    """The request a Call runs in.

    correlation_id  a UUID
    alarm           the request's one timer
    mutation        the client's Idempotency-Key inside a command, else None
    safe            False where a service does not honour the keys derived from `mutation`: nothing is sent twice
    lean            True while the gateway has too much to do: optional parts are left out without being asked for
    contacts        whether who asks may be shown how to reach the owners of what is missing
    recovery        True where nobody waits for the answer: another breaker decides, one that is content with less
    """

    deadline: Deadline
    runner: Runner
    correlation_id: str
    principal: Principal | None = None
    mutation: str | None = None
    ledger: Ledger = field(default_factory=Ledger)
    alarm: Alarm = field(default_factory=Alarm)
    part: Note | None = None
    safe: bool = True
    lean: bool = False
    contacts: bool = True
    recovery: bool = False


_current: contextvars.ContextVar[Scope] = contextvars.ContextVar("bff_scope")


def current() -> Scope:
    """The scope of the request being answered; raises NoScope outside one."""
    try:
        return _current.get()
    except LookupError:
        raise NoScope("a Call can be awaited only inside a view, a command or bff.testing.scope()") from None


@contextmanager
def opened(scope: Scope) -> Iterator[Scope]:
    """Make `scope` the current one inside the block."""
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


@contextmanager
def within(seconds: float | None) -> Iterator[Scope]:
    """A child of the current scope whose deadline is at most `seconds` away."""
    parent = current()
    with opened(replace(parent, deadline=parent.deadline.within(seconds))) as child:
        yield child
