"""Parts of a screen: required by default, `optional` where the screen can do without, `together` to run concurrently.

`optional` turns an upstream's failure into a value that says what is missing and who owns it. It catches upstream
errors only: a bug in a view is still raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, overload

from msgspec import structs
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from .context import PartRecord, RequestContext, Runner, current_context, use_context
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
G = TypeVar("G")
H = TypeVar("H")
J = TypeVar("J")
K = TypeVar("K")


# `retry_after`, in seconds, of a part that was left out under load. Admission checks the load at every request.
LEFT_OUT_FOR = 1.0
PART_GRACE = 0.02
"""Seconds that a part may take beyond its limit: its calls end at the limit, and their errors still have to arrive."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class OwnerInfo(_Part):
    """The owner of a missing part and how to reach it; `contact` and `docs` are empty where they must not be shown."""

    service: str
    team: str
    contact: str
    docs: str = ""


_GATEWAY = Owner("gateway", "", "")


class Ready(_Part, Generic[T]):
    """The part with the answer of its service."""

    state: Literal["ready"] = "ready"
    data: T


class Stale(_Part, Generic[T]):
    """An earlier answer, `age` seconds old, because a new call failed."""

    state: Literal["stale"] = "stale"
    data: T
    age: float


class Missing(_Part):
    """No answer: the reason, the seconds until a retry makes sense (None: unknown), and the owner."""

    state: Literal["missing"] = "missing"
    reason: Reason
    retry_after: float | None = None
    owner: OwnerInfo


Part = TypeAliasType(
    "Part", Annotated[Ready[T] | Stale[T] | Missing, Field(discriminator="state")], type_params=(T,)
)
"""Declares an optional part in a screen's model: `stock: Part[Stock]`."""


async def optional(part: Awaitable[T], *, within: float | None = None) -> Ready[T] | Stale[T] | Missing:
    """Await a call (or a coroutine with several calls) and turn an upstream's failure into a Missing part.

    within: seconds that this part may take, whatever it awaits (None: no limit of its own); the request's deadline
    still applies. A part that has not ended by then is cancelled and missing with the reason `timeout`. Its owner is
    the owner of the call that it started last, or the gateway when it has started none. While the gateway is overloaded
    the part is missing with the reason `overloaded`, and its service is not called.
    """
    parent = current_context()
    record = PartRecord()
    runner: Runner = _LEFT_OUT if parent.degraded else parent.runner
    request = structs.replace(parent, part=record, runner=runner)
    try:
        if within is None:
            with use_context(request):
                data = await part
        else:
            data = await _limited(part, request, record, within)
    except UpstreamError as error:
        return _missing(parent, error.reason, error.owner, error.call, error.retry_after)
    except _OutOfTime:
        return _missing(parent, "timeout", record.owner or _GATEWAY, record.call)
    return Ready(data=data) if record.age is None else Stale(data=data, age=record.age)


class _OutOfTime(Exception):
    """A part has used up its own time."""


async def _limited(part: Awaitable[T], parent: RequestContext, record: PartRecord, seconds: float) -> T:
    """What the part gives. Raises _OutOfTime."""
    deadline = parent.deadline.within(seconds)
    limit = parent.timer.limit(deadline.left() + PART_GRACE)
    request = structs.replace(parent, deadline=deadline, runner=_LastCall(parent.runner, record))
    try:
        with use_context(request), limit:
            return await part
    except TimeoutError:
        if not limit.expired:
            raise
        raise _OutOfTime from None


def _missing(
    request: RequestContext, reason: Reason, owner: Owner, call: str, retry_after: float | None = None
) -> Missing:
    request.record.missing += 1
    request.record.missing_parts.append((owner.service, call, reason))
    return Missing(
        reason=reason,
        retry_after=retry_after,
        owner=OwnerInfo(**owner.as_dict(contacts=request.contacts)),
    )


class _LastCall:
    """Runs calls with `runner` and records the owner of the call that was started last."""

    def __init__(self, runner: Runner, record: PartRecord) -> None:
        self._runner = runner
        self._record = record

    async def run(self, call: Call[Any], request: RequestContext) -> Any:
        """The decoded answer, or an UpstreamError."""
        self._record.owner, self._record.call = call.owner, call.name
        return await self._runner.run(call, request)


class _LeftOut:
    """Rejects every call: the runner of optional parts while the gateway is overloaded."""

    async def run(self, call: Call[Any], request: RequestContext) -> Any:
        raise Overloaded(
            call.owner,
            call.name,
            "was not called: the gateway itself is overloaded.",
            retry_after=LEFT_OUT_FOR,
        )


_LEFT_OUT = _LeftOut()


async def _finish(part: Awaitable[T]) -> T:
    return await part


@overload
async def together(parts: Sequence[Awaitable[T]], /) -> list[T]: ...
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
async def together(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    f: Awaitable[F],
    g: Awaitable[G],
    /,
) -> tuple[A, B, C, D, E, F, G]: ...
@overload
async def together(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    f: Awaitable[F],
    g: Awaitable[G],
    h: Awaitable[H],
    /,
) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
async def together(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    f: Awaitable[F],
    g: Awaitable[G],
    h: Awaitable[H],
    j: Awaitable[J],
    /,
) -> tuple[A, B, C, D, E, F, G, H, J]: ...
@overload
async def together(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    f: Awaitable[F],
    g: Awaitable[G],
    h: Awaitable[H],
    j: Awaitable[J],
    k: Awaitable[K],
    /,
) -> tuple[A, B, C, D, E, F, G, H, J, K]: ...
@overload
async def together(*parts: Awaitable[T]) -> tuple[T, ...]: ...
async def together(*given: Any) -> Any:
    """Run parts concurrently: several arguments give a tuple, one list gives a list.

    The first failure of a required part cancels the others and is raised unchanged. When a service's failure and a bug
    of the view occur together, the bug is raised, because it would stay hidden otherwise. The first part runs in the
    caller's task, so that n parts need n - 1 tasks.
    """
    if len(given) == 1 and isinstance(given[0], Sequence):
        return list(await _all(given[0]))
    return await _all(given)


async def _all(parts: Sequence[Awaitable[Any]]) -> tuple[Any, ...]:
    if not parts:
        return ()
    first, *rest = parts
    if not rest:
        return (await first,)
    first_error: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(part if isinstance(part, CoroutineType) else _finish(part)) for part in rest
            ]
            try:
                found = await first
            except Exception as error:
                first_error = error
                raise
    except BaseExceptionGroup as failures:
        bug = next((error for error in failures.exceptions if not isinstance(error, UpstreamError)), None)
        raise bug or first_error or failures.exceptions[0] from None
    return (found, *(task.result() for task in tasks))
