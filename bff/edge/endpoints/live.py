"""`GET /bff/live`, `GET /bff/live/snapshot` and `GET /bff/sagas/{type}/{id}`: one stream per browser, the same state
for clients that poll, and the latest status of one saga.

Promises: refusals (unknown value, too many) come before the stream as problems; after that the answer is always 200,
its head is sent at once, and an orderly end sends `bye`. The request's task only waits until the client leaves, and
then frees everything at once; the hub does the writing. Refuses to stream for HEAD.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from ...calls import Principal
from ...live import Hub
from ...stores.journal import Journal
from ...stores.redis.client import StoreUnavailable
from ..access.authorization import Requirements
from ..http import sse
from ..http.outlet import Queued, outlet
from ..problem import Problem
from ..respond import PERSONAL, send_json
from ..settings import LiveSettings
from ..state import state_of
from .guard import Access, Guard

# What the inner layers have put into the scope and nobody reads any more.
_UNUSED = {"endpoint", "path_params", "router"}
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


async def live(
    scope: Scope, receive: Receive, send: Send, *, principal: Principal, hub: Hub, settings: LiveSettings
) -> None:
    """The stream. Resumes from `Last-Event-ID`, else `?after=`; `?value=` (repeatable) asks for values.

    Raises Problem 400 or 403 before anything is sent.
    """
    query = _query(scope, settings)
    names = _names(query, principal, hub, settings)
    # The owner of the journal: a browser that resumes under another session must not mix two people's.
    headers = [*_HEADERS, (b"bff-user", principal.pseudonym.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        return
    after = _after(scope, query)
    state = state_of(scope)
    follow = partial(_follow, receive, state.send or send, principal, after, names, hub, settings.queue)
    if state.send is not None:
        # All layers have seen the head. What follows does not go through them, and goes on when they have returned.
        state.stay = partial(_shrunk, scope, follow)
    else:
        await follow()


def _shrunk(scope: Scope, follow: Callable[[], Awaitable[None]]) -> Awaitable[None]:
    """`follow()`, after the cookies and tokens of the request are freed: thousands of streams last for minutes."""
    needed = {name: value for name, value in scope.items() if name not in _UNUSED}
    state = state_of(scope)
    state.correlation = state.trace_id = ""
    scope["headers"].clear()
    # Only a cleared dictionary gets smaller.
    scope.clear()
    scope.update(needed)
    return follow()


async def _follow(
    receive: Receive,
    send: Send,
    principal: Principal,
    after: str | None,
    names: list[str],
    hub: Hub,
    queue: int,
) -> None:
    out = outlet(send, queue)
    stream = hub.admit(principal, after, names, out)
    try:
        hub.join(stream)
        while (await receive())["type"] != "http.disconnect":
            pass
    except asyncio.CancelledError:
        if not (isinstance(out, Queued) and out.released):
            raise
        cast("asyncio.Task[Any]", asyncio.current_task()).uncancel()
    finally:
        hub.leave(stream)


async def snapshot(
    scope: Scope, receive: Receive, send: Send, *, principal: Principal, hub: Hub, settings: LiveSettings
) -> None:
    """`{cursor, sagas, values}` once. Raises Problem 400, 403, or 503 while the journal cannot be read."""
    names = _names(_query(scope, settings), principal, hub, settings)
    try:
        body = sse.body(await hub.snapshot(principal, names))
    except StoreUnavailable:
        raise Problem(503, "unavailable", "The journal cannot be read right now.", retry_after=1.0) from None
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _query(scope: Scope, settings: LiveSettings) -> list[tuple[str, str]]:
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=settings.values + 20)
    except ValueError:
        raise Problem(400, "invalid-request", "The query has too many parameters.") from None


def values_asked(scope: Scope, settings: LiveSettings) -> int:
    """How many values a request asks for, before it is checked whether it may. Raises Problem 400."""
    return len({value for name, value in _query(scope, settings) if name == "value"})


def _after(scope: Scope, query: list[tuple[str, str]]) -> str | None:
    for name, value in scope["headers"]:
        if name == b"last-event-id" and value:
            return str(value.decode("latin-1"))
    return next((value for name, value in query if name == "after" and value), None)


def _names(query: list[tuple[str, str]], principal: Principal, hub: Hub, settings: LiveSettings) -> list[str]:
    names = list(dict.fromkeys(value for name, value in query if name == "value"))
    if len(names) > settings.values:
        raise Problem(
            400, "invalid-request", f"One stream may ask for {settings.values} values, not {len(names)}."
        )
    for name in names:
        topic = hub.topic(name)
        if topic is None:
            raise Problem(400, "invalid-request", f"There is no value {name[:200]!r}.")
        if not topic.open_to(principal, name):
            raise Problem(403, "forbidden", f"The value {name!r} is somebody else's.")
    return names


class LiveEndpoint:
    """GET /bff/live. A plain EventSource stops for good at a 429, so only very many reconnects get one. Each value that
    is asked for counts as a request, because one that nobody has published yet is loaded from its service."""

    ROUTE = "/bff/live"
    TIMES = 20
    """Multiplies the default limit."""
    answer = staticmethod(live)

    def __init__(self, guard: Guard, requirements: Requirements, hub: Hub, settings: LiveSettings) -> None:
        self._guard = guard
        self._access = Access(self.ROUTE, requirements, same_origin=True, times=self.TIMES)
        self._hub = hub
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._guard.admit_authenticated(scope, self._access)
        cost = 1 + values_asked(scope, self._settings)
        await self._guard.spend(scope, principal, self._access, cost=cost)
        await self.answer(scope, receive, send, principal=principal, hub=self._hub, settings=self._settings)


class SnapshotEndpoint(LiveEndpoint):
    """GET /bff/live/snapshot: the same state once, under the default limit."""

    ROUTE = "/bff/live/snapshot"
    TIMES = 1
    answer = staticmethod(snapshot)


class SagaEndpoint:
    """GET /bff/sagas/{type}/{id}: the latest status of one of the caller's sagas. kinds: the declared sagas."""

    ROUTE = "/bff/sagas/{type}/{id}"

    def __init__(
        self, guard: Guard, requirements: Requirements, hub: Hub, journal: Journal, kinds: Collection[str]
    ) -> None:
        self._guard = guard
        self._access = Access(self.ROUTE, requirements, same_origin=True)
        self._hub = hub
        self._journal = journal
        self._kinds = kinds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._guard.admit_authenticated(scope, self._access)
        limits = await self._guard.spend(scope, principal, self._access)
        kind, id = scope["path_params"]["type"], scope["path_params"]["id"]
        entry = await self._journal.saga(principal.id, kind, id)
        if entry is None and kind in self._kinds:
            # Reading the whole journal restores it if it is lost.
            await self._hub.snapshot(principal)
            entry = await self._journal.saga(principal.id, kind, id)
        if entry is None:
            raise Problem(404, "not-found", "You have no such saga, or it ended long ago.")
        headers = {"cache-control": "private, no-cache", "vary": PERSONAL} | limits
        await send_json(send, 200, entry, headers, head=scope["method"] == "HEAD")
