"""A call to an upstream as a value: what to send and what to expect back, nothing of how.

A Call is frozen and comparable. Awaiting it runs it in the current scope, and awaiting it again runs it again; its
options are methods that return a changed copy.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from . import scope as scopes
from .errors import DeclarationError
from .owner import Owner

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


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
    shared    True when the answer is the same for everybody: it may be cached publicly and carries no token
    key       the write's own idempotency key; inside a command one is derived when this is None
    timeout   seconds for one attempt, None for the upstream's setting
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
    shared: bool = False
    key: str | None = None
    timeout: float | None = None

    def fresh(self, seconds: float) -> Call[T]:
        """The answer may be served again for this many seconds. Reads only."""
        if self.method != "GET":
            raise DeclarationError(f"{self.name}: only a GET can be kept fresh, this is a {self.method}")
        if seconds <= 0:
            raise DeclarationError(f"{self.name}: fresh() takes seconds above 0, not {seconds}")
        return replace(self, freshness=seconds)

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

    def __await__(self) -> Generator[Any, None, T]:
        scope = scopes.current()
        answer: T = yield from scope.runner.run(self, scope).__await__()
        return answer
