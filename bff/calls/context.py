"""The context of one request: its principal, deadline and ids, and the runner of its calls.

The edge opens the context and stores it in a context variable, so that `await call` works anywhere below a view or a
command without a further argument. A child context can only have an earlier deadline.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from msgspec import Struct, field, structs

from .deadline import Deadline, RequestTimer
from .errors import NoRequestContext
from .owner import Owner
from .principal import Principal


class Runner(Protocol):
    """Runs a Call: policies around a transport, or a fake in a user's test."""

    async def run(self, call: Any, request: RequestContext) -> Any:
        """Return the decoded answer of a `Call` or raise an `UpstreamError`."""


class CallTiming(Struct, frozen=True):
    """One finished upstream call: its name, its duration in milliseconds, its outcome, and its start in milliseconds
    since the request began.

    outcome   "ok", "hit" or "stale" where the cache answered, or a reason
    attempts  how often it was sent: 0 where the cache or another request's answer was used, or it was rejected
    cache     hit, stale, revalidated, miss or coalesced; "" where neither cache nor coalescing played a part
    """

    name: str
    milliseconds: float
    outcome: str
    start: float = 0.0
    attempts: int = 0
    cache: str = ""


class PartRecord(Struct):
    """What is recorded of an optional part.

    age    age in seconds of the oldest stale answer in the part, None when no answer in it is stale
    owner  owner of the call that it started last, or waits for in a batch; None: it has started none
    call   the name of that call
    """

    age: float | None = None
    owner: Owner | None = None
    call: str = ""


class RequestRecord(Struct):
    """What is recorded during a request; all its child contexts share it.

    began    monotonic seconds
    timings  its finished upstream calls
    missing  number of its missing parts; stale: number of stale answers
    retries  attempts after the first of its calls, second copies of slow reads included
    missing_parts  of each missing part the service, the call ("": none was made) and the reason
    max_age  seconds for which the screen is fresh, None before the first answer
    private  True when an answer is for this user only
    changes  tag → stamp of the user's own last change, for tags that have been looked up
    cut_off  name and owner of the call that was cancelled last: after a timeout, the one that was waited for
    """

    began: float = field(default_factory=time.monotonic)
    timings: list[CallTiming] = field(default_factory=list)
    missing: int = 0
    stale: int = 0
    max_age: float | None = None
    private: bool = False
    changes: dict[str, int] = field(default_factory=dict)
    cut_off: tuple[str, Owner] | None = None
    missing_parts: list[tuple[str, str, str]] = field(default_factory=list)
    retries: int = 0

    def add_call(self, name: str, seconds: float, outcome: str, attempts: int = 0, cache: str = "") -> None:
        """Record a call that has just ended and took this many seconds. The rest as in `CallTiming`."""
        start = max(0.0, time.monotonic() - seconds - self.began)
        self.timings.append(CallTiming(name, seconds * 1000, outcome, start * 1000, attempts, cache))
        if attempts > 1:
            self.retries += attempts - 1

    def add_answer(self, *, fresh: float | None, public: bool) -> None:
        """Record an answer's freshness in seconds (None: 0). The screen is as fresh as its least fresh answer."""
        age = fresh or 0.0
        self.max_age = age if self.max_age is None else min(self.max_age, age)
        if not public:
            self.private = True

    def add_stale(self, part: PartRecord | None, age: float) -> None:
        """Record that an answer `age` seconds old was used in place of a failure. part: None for a required part."""
        self.stale += 1
        if part is not None:
            part.age = age if part.age is None else max(part.age, age)


class RequestContext(Struct, frozen=True):
    """The request that a Call runs in.

    deadline        the time by which the request is answered
    runner          runs its calls
    correlation_id  a UUID
    principal       the verified user, None for an anonymous request
    mutation        the client's Idempotency-Key inside a command, otherwise None
    record          what is recorded during the request
    timer           the one timer for all time limits of the request
    part            age of the optional part that is being read, None outside one
    safe            False when a service does not honour keys derived from `mutation`: no write is then sent twice
    degraded        True while the gateway is overloaded: optional parts are left out and their services not called
    contacts        True when the user may see how to reach the owners of missing parts
    batches         the items that its batches collect in this turn of the loop, see `batch`
    restoring       True when journals are restored and no user waits: breakers with higher thresholds decide
    """

    deadline: Deadline
    runner: Runner
    correlation_id: str
    principal: Principal | None = None
    mutation: str | None = None
    record: RequestRecord = field(default_factory=RequestRecord)
    timer: RequestTimer = field(default_factory=RequestTimer)
    part: PartRecord | None = None
    safe: bool = True
    degraded: bool = False
    contacts: bool = True
    restoring: bool = False
    batches: dict[tuple[int, int], Any] = field(default_factory=dict)


_current: contextvars.ContextVar[RequestContext] = contextvars.ContextVar("bff_scope")


def current_context() -> RequestContext:
    """The context of the current request. Raises NoRequestContext outside one."""
    try:
        return _current.get()
    except LookupError:
        raise NoRequestContext(
            "a Call can be awaited only inside a view, a command or bff.testing.request_context()"
        ) from None


class use_context:
    """Makes `request` the current one inside the block."""

    __slots__ = ("_request", "_token")

    def __init__(self, request: RequestContext) -> None:
        self._request = request

    def __enter__(self) -> RequestContext:
        self._token = _current.set(self._request)
        return self._request

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


@contextmanager
def within(seconds: float | None) -> Iterator[RequestContext]:
    """A child of the current context whose deadline is at most `seconds` from now; None: the same deadline."""
    parent = current_context()
    with use_context(structs.replace(parent, deadline=parent.deadline.within(seconds))) as child:
        yield child
