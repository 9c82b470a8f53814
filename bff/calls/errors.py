"""The one error tree of the gateway: everything that can go wrong with a call or a declaration has a type here.

    BffError
    ├── DeclarationError              a mistake in the user's gateway, raised when it is declared
    ├── NoRequestContext                       a call was awaited outside a request
    └── UpstreamError                 an upstream call did not give its answer; names the owner
        ├── Timeout                   the deadline or the attempt timeout passed
        ├── Rejected                  the gateway itself did not send it (never counts as the upstream's failure)
        │   ├── CircuitOpen           the breaker is open
        │   └── Overloaded            bulkhead or budget; also an upstream's 429 or 503
        ├── Unreachable               connect, TLS, reset, truncated answer
        ├── Failed                    another 5xx of the upstream, or a redirect
        ├── Refused                   a 4xx of the upstream
        └── Invalid                   the answer is not what the model says

Nothing here imports a web framework: what an error becomes over HTTP is decided at the edge.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from .outcomes import OUTCOMES, Outcome
from .owner import Owner

Reason = Literal["timeout", "circuit-open", "overloaded", "unreachable", "failed", "refused", "invalid"]


class BffError(Exception):
    """Base of every error this package raises on purpose. `code` is stable across versions."""

    code: ClassVar[str] = "error"


class DeclarationError(BffError):
    """The gateway was declared wrongly. Raised while the module is imported or by `bff check`."""

    code = "declaration"


_collected: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("bff_mistakes", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Inside the block declarations note their mistakes in the list and go on, so that a check can report them all."""
    mistakes: list[str] = []
    token = _collected.set(mistakes)
    try:
        yield mistakes
    finally:
        _collected.reset(token)


@contextmanager
def declaring() -> Iterator[None]:
    """A declaration: its mistake is raised, or noted where mistakes are being collected."""
    try:
        yield
    except DeclarationError as error:
        mistakes = _collected.get()
        if mistakes is None:
            raise
        mistakes.append(str(error))


class NoRequestContext(BffError):
    """A Call was awaited outside a view, a command or `bff.testing.request_context()`."""

    code = "no-scope"


class UpstreamError(BffError):
    """An upstream call gave no usable answer.

    reason       one of the contract's seven words, also the problem's `code`
    owner        the service, its team and how to reach it
    call         the call's name, for example ``Catalog.product``
    detail       one sentence for a person; holds no secret and no upstream body
    retry_after  seconds until trying again makes sense, when that is known
    """

    reason: ClassVar[Reason] = "failed"
    code = "failed"

    def __init__(self, owner: Owner, call: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{call}: {detail}")
        self.owner = owner
        self.call = call
        self.detail = detail
        self.retry_after = retry_after


class Timeout(UpstreamError):
    """The request's deadline or the attempt's timeout passed before the answer was whole."""

    reason = "timeout"
    code = "timeout"


class Rejected(UpstreamError):
    """Not sent at all, by the gateway's own decision."""

    reason: ClassVar[Reason] = "overloaded"
    code = "overloaded"


class CircuitOpen(Rejected):
    """The breaker is open; `retry_after` is the time until it lets a probe through."""

    reason = "circuit-open"
    code = "circuit-open"


class Overloaded(Rejected):
    """No permit, no budget, or the upstream said 429 or 503 (`retry_after` is then its own word)."""

    reason = "overloaded"
    code = "overloaded"


class Unreachable(UpstreamError):
    """No connection, a broken one, or an answer that stopped in the middle."""

    reason = "unreachable"
    code = "unreachable"


class Failed(UpstreamError):
    """The upstream answered 5xx (503 is Overloaded) or 3xx: no redirect is followed. `status` is its status code."""

    reason = "failed"
    code = "failed"

    def __init__(self, owner: Owner, call: str, detail: str, *, status: int) -> None:
        super().__init__(owner, call, detail)
        self.status = status


class Refused(UpstreamError):
    """The upstream said no: it answered 4xx (429 is Overloaded).

    status       its status code
    problem      what of its body may be passed on, as far as it sent that: `detail` and `code` (texts) and `errors` (a
                 list of `{"pointer", "detail"}`); see `transport.problem_details`
    outcome      the row of the call's outcome table for this status
    identified   whether the call told the service who asks; default False
    retry_after  seconds from its Retry-After, None when it sent none
    """

    reason = "refused"
    code = "refused"

    def __init__(
        self,
        owner: Owner,
        call: str,
        detail: str,
        *,
        status: int,
        problem: Mapping[str, Any] | None = None,
        outcome: Outcome | None = None,
        identified: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(owner, call, detail, retry_after=retry_after)
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}
        self.outcome = outcome or OUTCOMES.of(status)
        self.identified = identified


class Invalid(UpstreamError):
    """The answer is not JSON, is too large, or does not fit the declared model."""

    reason = "invalid"
    code = "invalid"
