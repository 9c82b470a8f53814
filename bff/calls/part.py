"""Parts of a screen: required by default, `optional` where a screen can live without, `together` to run side by side.

`optional` turns an upstream's failure into a value that says what is missing and whom to ask. It catches upstream
errors only: a bug in a view stays a bug.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Annotated, Any, Generic, Literal, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from . import scope as scopes
from .errors import Reason, UpstreamError

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class OwnerInfo(_Part):
    """Who owns what is missing and how to reach them."""

    service: str
    team: str
    contact: str
    docs: str = ""


class Ready(_Part, Generic[T]):
    """The part as its service answered it."""

    state: Literal["ready"] = "ready"
    data: T


class Stale(_Part, Generic[T]):
    """An earlier answer, `age` seconds old, because a new one could not be had."""

    state: Literal["stale"] = "stale"
    data: T
    age: float


class Missing(_Part):
    """No answer: why, when to try again (seconds), and whose it is."""

    state: Literal["missing"] = "missing"
    reason: Reason
    retry_after: float | None = None
    owner: OwnerInfo


Part = TypeAliasType(
    "Part", Annotated[Ready[T] | Stale[T] | Missing, Field(discriminator="state")], type_params=(T,)
)
"""How a screen's model declares a part it can live without: `stock: Part[Stock]`."""


async def optional(part: Awaitable[T], *, within: float | None = None) -> Ready[T] | Stale[T] | Missing:
    """Await a call (or a coroutine of several) and turn an upstream's failure into a Missing part.

    within: seconds this part may take; the request's own deadline still holds.
    """
    with scopes.within(within) as scope:
        try:
            return Ready(data=await part)
        except UpstreamError as error:
            scope.ledger.missing += 1
            return Missing(
                reason=error.reason,
                retry_after=error.retry_after,
                owner=OwnerInfo(**error.owner.as_dict()),
            )


async def _finish(part: Awaitable[T]) -> T:
    return await part


@overload
async def together(a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def together(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
@overload
async def together(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /
) -> tuple[A, B, C, D]: ...
@overload
async def together(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], e: Awaitable[E], /
) -> tuple[A, B, C, D, E]: ...
@overload
async def together(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], e: Awaitable[E], f: Awaitable[F], /
) -> tuple[A, B, C, D, E, F]: ...
@overload
async def together(*parts: Awaitable[T]) -> tuple[T, ...]: ...
async def together(*parts: Awaitable[Any]) -> tuple[Any, ...]:
    """Run parts side by side; the first failure of a required one cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(part if isinstance(part, Coroutine) else _finish(part)) for part in parts
            ]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tuple(task.result() for task in tasks)
