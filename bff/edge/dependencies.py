"""What a view or command is given beside its request: results of functions, and resources of the lifespan.

    async def desk_of(who: Principal, desks: Annotated[Desks, Resource()]) -> Desk: ...

    @router.view("/tickets")
    async def tickets(desk: Annotated[Desk, Depends(desk_of)]) -> Tickets: ...

A dependency takes parameters as a view does, and further dependencies. Everything is resolved when the view is
declared; for each request every dependency runs once, before the function and in the same context, so it may await
calls and raise problems. An async generator yields its value once and goes on when the function has ended, also after
an exception.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..calls import DeclarationError

ARGUMENTS = ""
"""The name under which the arguments of dependencies are among those of a function; no parameter can have it."""


@dataclass(frozen=True, slots=True)
class Depends:
    """The result of a function: a coroutine function, a plain one, or an async generator function that yields once."""

    function: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """An object that `Gateway(lifespan=…)` yields: the one of the annotated type, itself or in a tuple, a mapping or
    the attributes of a dataclass."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """One function that others depend on. uses: parameter → position of the dependency that it gets, which comes
    earlier; resources: parameter → type."""

    function: Callable[..., Any]
    uses: Mapping[str, int]
    resources: Mapping[str, type[Any]]


class Resources:
    """What the lifespan has yielded; empty before the start."""

    def __init__(self) -> None:
        self._found: list[Any] = []

    def fill(self, yielded: Any) -> None:
        """Called once, at the start."""
        self._found = [] if yielded is None else [yielded, *_inside(yielded)]

    def get(self, kind: type[Any]) -> Any:
        """The one object of this type. Raises DeclarationError for none or several."""
        found = [one for one in self._found if isinstance(one, kind)]
        if len(found) != 1:
            raise DeclarationError(
                f"the lifespan yields {len(found) or 'no'} {kind.__name__}, and a function takes one: "
                "yield exactly one, itself or in a tuple"
            )
        return found[0]


def _inside(yielded: Any) -> Iterable[Any]:
    if isinstance(yielded, Mapping):
        return yielded.values()
    if isinstance(yielded, tuple | list):
        return yielded
    return [getattr(yielded, name) for name in getattr(yielded, "__dataclass_fields__", ())]


def is_dependency(function: Any) -> bool:
    """Whether it is a function of a kind that can be depended on."""
    return callable(function) and not isinstance(function, type) and not inspect.isgeneratorfunction(function)


async def call(
    function: Callable[..., Awaitable[Any]],
    arguments: dict[str, Any],
    uses: Mapping[str, int],
    wanted: Mapping[str, type[Any]],
    dependencies: tuple[Dependency, ...],
    resources: Resources,
) -> Any:
    """The function's result, with its dependencies around it.

    arguments     of the function, and under `ARGUMENTS` those of each dependency
    uses, wanted  what the function gets of the dependencies and resources
    """
    given = dict(arguments)
    theirs: list[dict[str, Any]] = given.pop(ARGUMENTS)
    values: list[Any] = []
    async with AsyncExitStack() as stack:
        for dependency, own in zip(dependencies, theirs, strict=True):
            filled = own | _filled(dependency.uses, values, dependency.resources, resources)
            values.append(await _value(dependency.function, filled, stack))
        return await function(**given, **_filled(uses, values, wanted, resources))


def _filled(
    uses: Mapping[str, int], values: list[Any], wanted: Mapping[str, type[Any]], resources: Resources
) -> dict[str, Any]:
    found = {name: values[position] for name, position in uses.items()}
    return found | {name: resources.get(kind) for name, kind in wanted.items()}


async def _value(function: Callable[..., Any], arguments: dict[str, Any], stack: AsyncExitStack) -> Any:
    if inspect.isasyncgenfunction(function):
        return await stack.enter_async_context(_once(function, arguments))
    value = function(**arguments)
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def _once(function: Callable[..., AsyncIterator[Any]], arguments: dict[str, Any]) -> AsyncIterator[Any]:
    async with asynccontextmanager(function)(**arguments) as value:
        yield value
