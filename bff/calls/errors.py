"""The error tree of the gateway: a type for every failure of a call or a declaration.

    BffError
    ├── DeclarationError              a mistake in the user's gateway, raised when it is declared
    ├── NoRequestContext              a call was awaited outside a request
    └── UpstreamError                 an upstream call gave no usable answer; names the owner
        ├── Timeout                   the deadline or the attempt timeout passed
        ├── Rejected                  the gateway did not send the call (never counts as the upstream's failure)
        │   ├── CircuitOpen           the breaker is open
        │   └── Overloaded            bulkhead or budget; also an upstream's 429 or 503
        ├── Unreachable               connect, TLS, reset, truncated answer
        ├── Failed                    another 5xx of the upstream, or a redirect
        ├── Refused                   a 4xx of the upstream
        └── Invalid                   the answer does not fit the model

This module imports no web framework: the edge decides which HTTP response an error becomes.
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
    """Base of all errors of this package. `code` does not change between versions."""

    code: ClassVar[str] = "error"


class DeclarationError(BffError):
    """A mistake in the declaration of the gateway. Raised while its module is imported, or by `bff check`."""

    code = "declaration"


_collected: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("bff_mistakes", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Inside the block a mistake in a declaration is added to the list and not raised, so that a check can report all
    of them."""
    mistakes: list[str] = []
    token = _collected.set(mistakes)
    try:
        yield mistakes
    finally:
        _collected.reset(token)


@contextmanager
def declaring() -> Iterator[None]:
    """Wraps a declaration: its DeclarationError is raised, or added to the list of `collecting`."""
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

    reason       one of the seven reasons of docs/contract.md, also the problem's `code`
    owner        the service, its team and how to reach it
    call         the call's name, for example ``Catalog.product``
    detail       one sentence for a person; contains no secret and no body of the upstream
    retry_after  seconds after which a retry makes sense, None when that is unknown
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
    """The request's deadline or the attempt's timeout passed before the whole answer had arrived."""

    reason = "timeout"
    code = "timeout"


class Rejected(UpstreamError):
    """The gateway decided not to send the call."""

    reason: ClassVar[Reason] = "overloaded"
    code = "overloaded"


class CircuitOpen(Rejected):
    """The breaker is open; `retry_after` is the number of seconds until it admits a probe."""

    reason = "circuit-open"
    code = "circuit-open"


class Overloaded(Rejected):
    """No permit, no budget, or the upstream answered 429 or 503 (`retry_after` is then from its Retry-After)."""

    reason = "overloaded"
    code = "overloaded"


class Unreachable(UpstreamError):
    """No connection, a lost connection, or an incomplete answer."""

    reason = "unreachable"
    code = "unreachable"


class Failed(UpstreamError):
    """The upstream answered 5xx (503 is Overloaded) or 3xx: redirects are not followed. `status` is its status code."""

    reason = "failed"
    code = "failed"

    def __init__(self, owner: Owner, call: str, detail: str, *, status: int) -> None:
        super().__init__(owner, call, detail)
        self.status = status


class Refused(UpstreamError):
    """The upstream answered 4xx (429 is Overloaded).

    status       its status code
    problem      the part of its body that may be passed on: `detail` and `code` (texts) and `errors` (a list of
                 `{"pointer", "detail"}`), each only where there is one; see `transport.problem_details`
    outcome      the row of the call's outcome table for this status
    identified   whether the request identified the user to the service; default False
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
