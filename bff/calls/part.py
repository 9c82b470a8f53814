"""Parts of a screen: required by default, `optional` where a screen can live without, `together` to run side by side.

`optional` turns an upstream's failure into a value that says what is missing and whom to ask. It catches upstream
errors only: a bug in a view stays a bug.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from .context import PartAge, RequestContext, Runner, current_context, use_context
from .errors import Overloaded, Reason, UpstreamError
from .owner import Owner

if TYPE_CHECKING:
    from .call import Call

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


# Seconds told for a part that was left out under load: admission looks at the load anew with every request.
LEFT_OUT_FOR = 1.0
PART_GRACE = 0.02
"""Seconds a part may take beyond its time: its calls are cut at the time itself, and still have to say so."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class OwnerInfo(_Part):
    """Who owns what is missing and how to reach them; `contact` and `docs` are empty where they are not to be shown."""

    service: str
    team: str
    contact: str
    docs: str = ""


_OURS = Owner("gateway", "", "")


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

    within: seconds this part may take, whatever it awaits; the request's own deadline still holds. A part that is not
    done by then is cancelled, and missing because of `timeout`; its owner is that of the call it began last, or the
    gateway where it has begun none. While the gateway has too much to do the part is `overloaded` without its service
    being asked.
    """
    parent = current_context()
    note = PartAge()
    runner: Runner = _LEFT_OUT if parent.degraded else parent.runner
    asked = _Asked(runner) if within is not None else None
    deadline = parent.deadline.within(within)
    limit = parent.timer.limit(None if within is None else deadline.left() + PART_GRACE)
    scope = replace(parent, deadline=deadline, part=note, runner=asked or runner)
    try:
        with use_context(scope), limit:
            data = await part
    except UpstreamError as error:
        parent.record.missing += 1
        return Missing(
            reason=error.reason,
            retry_after=error.retry_after,
            owner=OwnerInfo(**error.owner.as_dict(contacts=parent.contacts)),
        )
    except TimeoutError:
        if not limit.expired:
            raise
        parent.record.missing += 1
        owner = _OURS if asked is None or asked.owner is None else asked.owner
        return Missing(reason="timeout", owner=OwnerInfo(**owner.as_dict(contacts=parent.contacts)))
    return Ready(data=data) if note.age is None else Stale(data=data, age=note.age)


class _Asked:
    """Runs calls as `runner` does, and knows whose was begun last."""

    def __init__(self, runner: Runner) -> None:
        self.owner: Owner | None = None
        self._runner = runner

    async def run(self, call: Call[Any], scope: RequestContext) -> Any:
        """The decoded answer, or an UpstreamError."""
        self.owner = call.owner
        return await self._runner.run(call, scope)


class _LeftOut:
    """Runs no call at all."""

    async def run(self, call: Call[Any], scope: RequestContext) -> Any:
        raise Overloaded(
            call.owner,
            call.name,
            "was not asked: the gateway itself has too much to do.",
            retry_after=LEFT_OUT_FOR,
        )


_LEFT_OUT = _LeftOut()


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
    """Run parts side by side; the first failure of a required one cancels the rest and is raised as it is.

    Where a service's failure and a mistake of the view come together, the mistake is raised: it would stay hidden.
    The first part runs in the caller's own task, so that n parts cost n - 1 tasks.
    """
    if not parts:
        return ()
    first, *rest = parts
    if not rest:
        return (await first,)
    own: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(part if isinstance(part, Coroutine) else _finish(part)) for part in rest
            ]
            try:
                found = await first
            except Exception as error:
                own = error
                raise
    except BaseExceptionGroup as failures:
        mistake = next((one for one in failures.exceptions if not isinstance(one, UpstreamError)), None)
        raise mistake or own or failures.exceptions[0] from None
    return (found, *(task.result() for task in tasks))
