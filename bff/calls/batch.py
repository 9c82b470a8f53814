"""One call for many items that a request asks for one by one (the pattern of DataLoader).

    class People(Upstream, team="People", contact="#people"):
        @Upstream.batch(by=lambda person: person.id)
        def person(self, ids: list[str]) -> Call[list[Person]]:
            return self.get("/people", list[Person], id=ids)

    assignees = await together([people.person(issue.assignee) for issue in issues])

Items that one request asks for in one turn of the event loop become one call; a repeated one is asked for once. Nothing
is shared between requests here: the call itself is cached and coalesced as every other. It has the name of its method,
so it has a breaker of its own. An item that the answer lacks is Refused with 404, alone; of items with the same key the
first one counts; a failure of the call is the failure of all its items. The key of each item is read once, however many
keys were asked for, and is hashable, as those are. Each caller waits until its own deadline, and the call until the
latest of them; it is cancelled when nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from msgspec import structs

from .context import PartRecord, RequestContext, current_context
from .errors import DeclarationError, Refused, Timeout
from .owner import Owner

if TYPE_CHECKING:
    from .call import Call

K = TypeVar("K")
T = TypeVar("T")

MOST = 50
"""Items of one call."""


class Batch(Generic[K, T]):
    """A method of an upstream that takes one item's key. many: makes the call for several keys; by: the key of an item
    of the answer; most: keys of one call, further ones make another call."""

    def __init__(
        self, many: Callable[[Any, list[K]], Call[list[T]]], by: Callable[[T], K], most: int
    ) -> None:
        if not 1 <= most <= 1_000:
            raise DeclarationError(f"batch {many.__name__}: most is 1 to 1,000, not {most}")
        self.__wrapped__ = many
        self.__name__ = many.__name__
        self.__doc__ = many.__doc__
        self._many = many
        self._by = by
        self._most = most

    @overload
    def __get__(self, upstream: None, kind: type[Any]) -> Batch[K, T]: ...
    @overload
    def __get__(self, upstream: object, kind: type[Any]) -> Callable[[K], Awaitable[T]]: ...
    def __get__(self, upstream: Any, kind: type[Any]) -> Batch[K, T] | Callable[[K], Awaitable[T]]:
        if upstream is None:
            return self
        return lambda key: _Item(self, upstream, key)

    async def get(self, upstream: Any, key: K) -> T:
        """The item of this key, in the call of this turn of the loop. Raises an UpstreamError."""
        request = current_context()
        if request.part is not None:
            # The part may end at its own limit, before this caller has raised its Timeout.
            request.part.owner, request.part.call = upstream.owner, self._name(upstream)
        if request.degraded and request.part is not None:
            # The part is left out; its own runner says so.
            return self._found(upstream, self._by_key(await self._many(upstream, [key])), key)
        slot = (id(upstream), id(self))
        turn: _Turn[K, T] | None = request.batches.get(slot)
        if turn is None or turn.has_begun or (len(turn.keys) >= self._most and key not in turn.keys):
            turn = request.batches[slot] = _Turn(lambda keys: self._many(upstream, keys), self._by_key)
        answer = await turn.wait(key, request, upstream.owner, self._name(upstream))
        return self._found(upstream, answer, key)

    def _by_key(self, items: Iterable[T]) -> dict[K, T]:
        found: dict[K, T] = {}
        for item in items:
            found.setdefault(self._by(item), item)
        return found

    def _name(self, upstream: Any) -> str:
        """The name of its calls."""
        return f"{type(upstream).__name__}.{self.__name__}"

    def _found(self, upstream: Any, items: dict[K, T], key: K) -> T:
        if key in items:
            return items[key]
        raise Refused(upstream.owner, self._name(upstream), "The service has no such item.", status=404)


class _Item(Generic[K, T]):
    """One item, as a value that can be awaited several times."""

    def __init__(self, batch: Batch[K, T], upstream: Any, key: K) -> None:
        self._batch = batch
        self._upstream = upstream
        self._key = key

    def __await__(self) -> Generator[Any, None, T]:
        return self._batch.get(self._upstream, self._key).__await__()


class _Turn(Generic[K, T]):
    """The items of one turn of the loop, who waits for them, and the task of their call."""

    def __init__(
        self, many: Callable[[list[K]], Call[list[T]]], by_key: Callable[[Iterable[T]], dict[K, T]]
    ) -> None:
        self.keys: dict[K, None] = {}
        self.has_begun = False
        self._many = many
        self._by_key = by_key
        self._waiting: set[asyncio.Future[dict[K, T]]] = set()
        self._request: RequestContext | None = None
        self._part = PartRecord()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, key: K, request: RequestContext, owner: Owner, name: str) -> dict[K, T]:
        """All items of the answer by their keys. Raises an UpstreamError."""
        loop = asyncio.get_running_loop()
        if not self.keys:
            loop.call_soon(self._begin)
        self.keys[key] = None
        if self._request is None or request.deadline.at > self._request.deadline.at:
            self._request = structs.replace(request, part=self._part)
        answer: asyncio.Future[dict[K, T]] = loop.create_future()
        self._waiting.add(answer)
        limit = request.timer.limit(request.deadline.left())
        try:
            with limit:
                found = await answer
        except TimeoutError:
            if not limit.expired:
                raise
            raise Timeout(owner, name, "did not answer in time.") from None
        finally:
            self._waiting.discard(answer)
            if not self._waiting and self._task is not None:
                self._task.cancel()
        if self._part.age is not None and request.part is not None:
            request.part.age = max(self._part.age, request.part.age or 0.0)
        return found

    def _begin(self) -> None:
        self.has_begun = True
        if self._waiting and self._request is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(self._request))

    async def _run(self, request: RequestContext) -> None:
        try:
            call = self._many(list(self.keys))
            answer = self._by_key(await request.runner.run(call, request))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Each waiting caller raises it: an UpstreamError, or a bug of the method.
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(answer)
