"""A call to an upstream as a value: what to send and what to expect back, nothing of how.

A Call is frozen and comparable. Awaiting it runs it in the current scope, and awaiting it again runs it again; its
options are methods that return a changed copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from .context import current_context
from .errors import DeclarationError
from .outcomes import NEVER_PASSED, OUTCOMES, OutcomeTable
from .owner import Owner

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MAX_LIFETIME = 86_400.0
"""Seconds: nothing is kept for longer than a day, however it was declared."""
MAX_TAGS = 16
_TAG_LENGTH = 200


def tag_of(text: str) -> str:
    """The tag as it is compared everywhere. Often part of it is a client's own word: any text will do, a long one is
    hashed."""
    if len(text) <= _TAG_LENGTH:
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to one upstream.

    name      for logs, spans and Server-Timing, for example ``Catalog.product``
    template  the path as declared, for example ``/products/{sku}``
    path      the path with its parameters filled in and percent-encoded
    query     pairs in declared order; a list argument repeats its name
    body      JSON bytes of a write, None otherwise
    model     any type pydantic can validate: a model, a list, a union
    freshness seconds for which the answer may be kept, None for not at all
    swr       seconds beyond those in which it is still served while a new one is fetched; None: as the upstream says
    sie       seconds beyond those in which it stands in for a failure; None: as the upstream says
    tags      what it shows, for invalidation: ``orders``, ``product/mug-01``
    shared    True when the answer is the same for everybody: it may be cached publicly and carries no token
    key       the write's own idempotency key; inside a command one is derived when this is None
    timeout   seconds for one attempt, None for the upstream's setting
    attempts  of this call in all, None for the upstream's setting
    media     media types under which its answer is read as JSON, None for the usual ones
    outcomes  what becomes of each status that is no success
    """

    owner: Owner
    name: str
    method: Method
    template: str
    path: str
    model: Any
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    freshness: float | None = None
    swr: float | None = None
    sie: float | None = None
    tags: tuple[str, ...] = ()
    shared: bool = False
    key: str | None = None
    timeout: float | None = None
    attempts: int | None = None
    media: tuple[str, ...] | None = None
    outcomes: OutcomeTable = field(default=OUTCOMES, repr=False)

    def fresh(
        self,
        seconds: float,
        *,
        stale_while_revalidate: float | None = None,
        stale_if_error: float | None = None,
    ) -> Call[T]:
        """The answer may be served again for this many seconds (above 0, at most a day). Reads only.

        The two others begin when it is no longer fresh (RFC 5861): the old answer is served while a new one is
        fetched, and it stands in for a failure (an optional part then says `stale` and its age). Seconds from 0 to a
        day; default None: what the upstream's Cache-Control grants, else nothing. What the upstream forbids or
        shortens there holds for all three.
        """
        if self.method != "GET":
            raise DeclarationError(f"{self.name}: only a GET can be kept fresh, this is a {self.method}")
        if not 0 < seconds <= MAX_LIFETIME:
            raise DeclarationError(
                f"{self.name}: fresh() takes seconds above 0 and at most {MAX_LIFETIME:g}, not {seconds}"
            )
        for name, value in (
            ("stale_while_revalidate", stale_while_revalidate),
            ("stale_if_error", stale_if_error),
        ):
            if value is not None and not 0 <= value <= MAX_LIFETIME:
                raise DeclarationError(
                    f"{self.name}: {name} is seconds from 0 to {MAX_LIFETIME:g}, not {value}"
                )
        return replace(self, freshness=seconds, swr=stale_while_revalidate, sie=stale_if_error)

    def tagged(self, *tags: str) -> Call[T]:
        """What the answer shows, at most 16 names in all. A kept answer is dropped when one of them is told to have
        changed, and is not served to whoever has just changed one by a command (`invalidates=`). Reads only."""
        if self.method != "GET":
            raise DeclarationError(f"{self.name}: only a GET can be tagged, this is a {self.method}")
        together = tuple(dict.fromkeys((*self.tags, *map(tag_of, tags))))
        if len(together) > MAX_TAGS:
            raise DeclarationError(f"{self.name}: at most {MAX_TAGS} tags, not {len(together)}")
        return replace(self, tags=together)

    def public(self) -> Call[T]:
        """The answer is the same for everybody; the caller's token is not sent with it."""
        if self.method != "GET":
            raise DeclarationError(f"{self.name}: only a GET can be public, this is a {self.method}")
        return replace(self, shared=True)

    def keyed(self, key: str) -> Call[T]:
        """Give a write an idempotency key of your own (1–255 visible ASCII characters)."""
        if self.method == "GET":
            raise DeclarationError(f"{self.name}: a GET needs no idempotency key")
        if not key or len(key) > 255 or not key.isascii() or not key.isprintable():
            raise DeclarationError(f"{self.name}: an idempotency key is 1 to 255 visible ASCII characters")
        return replace(self, key=key)

    def within(self, seconds: float) -> Call[T]:
        """Allow one attempt at most this many seconds; the request's deadline still holds."""
        if seconds <= 0:
            raise DeclarationError(f"{self.name}: within() takes seconds above 0, not {seconds}")
        return replace(self, timeout=seconds)

    def tries(self, times: int) -> Call[T]:
        """Make at most so many attempts in all, from 1 (no retry) to 10. A write is repeated only under an idempotency
        key: its own (`keyed`), or the one derived in a command that is `safe`."""
        if not 1 <= times <= 10:
            raise DeclarationError(f"{self.name}: tries() takes 1 to 10, not {times}")
        return replace(self, attempts=times)

    def media_types(self, *types: str) -> Call[T]:
        """Read its answer as JSON under exactly these media types, for example ``text/plain``; `""` stands for an
        answer that names none. Default: ``application/json``, ``text/json``, every ``…+json``, and none. An answer of
        another type is `invalid`."""
        if not types:
            raise DeclarationError(f"{self.name}: media_types() takes at least one media type")
        return replace(self, media=tuple(one.strip().lower() for one in types))

    def passes(self, *statuses: int, only: bool = False) -> Call[T]:
        """Pass these statuses of the service on as they are, for screens and commands, whoever asked.

        statuses  400 to 499 but 401 and 407 (they speak of the gateway's own credentials) and 429 (it is `overloaded`)
        only      False: besides those that the contract's table passes on; True: instead of them, none when no status
                  is given. What is not passed on is 502.
        """
        for status in statuses:
            if not 400 <= status <= 499 or status in NEVER_PASSED:
                raise DeclarationError(
                    f"{self.name}: passes() takes statuses from 400 to 499 without "
                    f"{', '.join(map(str, sorted(NEVER_PASSED)))}, not {status}"
                )
        if not statuses and not only:
            raise DeclarationError(f"{self.name}: passes() takes statuses; only=True alone passes none on")
        return replace(self, outcomes=self.outcomes.passing(statuses, only=only))

    def __await__(self) -> Generator[Any, None, T]:
        scope = current_context()
        answer: T = yield from scope.runner.run(self, scope).__await__()
        return answer
