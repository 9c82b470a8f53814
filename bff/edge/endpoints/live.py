"""`GET /bff/live`, `GET /bff/live/snapshot` and `GET /bff/sagas/{type}/{id}`: one stream per browser, the same state
for clients that poll, and the latest status of one saga.

Guarantees that refusals (unknown value, too many) are problems before the stream begins. After that the answer is
always 200, its head is sent at once, and an orderly end sends `bye`. The request's task only waits until the client
leaves, and then frees everything at once; the hub does the writing. HEAD gets the head alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from ...calls import Principal
from ...live import Hub
from ...live.traces import StreamTrace
from ...stores.journal import Journal
from ...stores.redis.client import StoreUnavailable
from ..access.authorization import Requirements
from ..http import sse
from ..http.outlet import Queued, outlet
from ..http.request import header_values
from ..problem import Problem
from ..respond import PERSONAL, send_answer
from ..settings import LiveSettings
from ..state import state_of
from .guard import Access, Guard

# What the inner layers have put into the scope and no code reads any more.
_UNUSED = {"endpoint", "path_params", "router"}
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class LiveEndpoint:
    """GET /bff/live, the stream. It resumes from `Last-Event-ID`, else `?after=`; `?value=` (repeatable) names values.

    A plain EventSource stops for good at a 429, so only very many reconnects get one. Each named value counts as a
    request, because a value that was not published yet is loaded from its service.
    """

    ROUTE = "/bff/live"
    TIMES = 20
    """Multiplies the default limit."""

    def __init__(self, guard: Guard, requirements: Requirements, hub: Hub, settings: LiveSettings) -> None:
        self._guard = guard
        self._access = Access(self.ROUTE, requirements, same_origin=True, times=self.TIMES)
        self._hub = hub
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._guard.admit_authenticated(scope, self._access)
        text = scope.get("query_string", b"").decode("latin-1")
        try:
            query = parse_qsl(text, keep_blank_values=True, max_num_fields=self._settings.values + 20)
        except ValueError:
            raise Problem(400, "invalid-request", "The query has too many parameters.") from None
        names = list(dict.fromkeys(value for name, value in query if name == "value"))
        await self._guard.spend(scope, principal, self._access, cost=1 + len(names))
        self._check(names, principal)
        await self._answer(scope, receive, send, principal, names, _after(scope, query))

    def _check(self, names: list[str], principal: Principal) -> None:
        """Raises Problem 400 or 403 for values that this principal may not ask for."""
        most = self._settings.values
        if len(names) > most:
            raise Problem(400, "invalid-request", f"One stream may ask for {most} values, not {len(names)}.")
        for name in names:
            topic = self._hub.topic(name)
            if topic is None:
                raise Problem(400, "invalid-request", f"There is no value {name[:200]!r}.")
            if not topic.open_to(principal, name):
                raise Problem(403, "forbidden", f"The value {name!r} belongs to another person.")

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        principal: Principal,
        names: list[str],
        after: str | None,
    ) -> None:
        # Names the owner of the journal: a browser that resumes in another session must not mix two persons' events.
        headers = [*_HEADERS, (b"bff-user", principal.pseudonym.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        state = state_of(scope)
        if state.send is not None:
            # All layers have passed the head on. The events do not go through them, and follow when they have returned.
            trace = self._hub.trace(len(names))
            state.stay = partial(self._stay, scope, receive, state.send, principal, names, after, trace)
        else:
            await self._follow(receive, send, principal, names, after, self._hub.trace(len(names)))

    def _stay(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        principal: Principal,
        names: list[str],
        after: str | None,
        trace: StreamTrace | None,
    ) -> Awaitable[None]:
        """`_follow`, after the cookies and tokens of the request are freed: thousands of streams last for minutes."""
        needed = {name: value for name, value in scope.items() if name not in _UNUSED}
        state = state_of(scope)
        state.correlation = state.trace_id = ""
        scope["headers"].clear()
        # Only a cleared dictionary gets smaller.
        scope.clear()
        scope.update(needed)
        return self._follow(receive, send, principal, names, after, trace)

    async def _follow(
        self,
        receive: Receive,
        send: Send,
        principal: Principal,
        names: list[str],
        after: str | None,
        trace: StreamTrace | None,
    ) -> None:
        out = outlet(send, self._settings.queue)
        stream = self._hub.admit(principal, after, names, out, trace)
        try:
            self._hub.join(stream)
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not (isinstance(out, Queued) and out.released):
                raise
            cast("asyncio.Task[Any]", asyncio.current_task()).uncancel()
        finally:
            self._hub.leave(stream)


def _after(scope: Scope, query: list[tuple[str, str]]) -> str | None:
    for value in header_values(scope, b"last-event-id"):
        if value:
            return str(value.decode("latin-1"))
    return next((value for name, value in query if name == "after" and value), None)


class SnapshotEndpoint(LiveEndpoint):
    """GET /bff/live/snapshot: `{cursor, sagas, values}` once, under the default limit. Raises Problem 503 while the
    journal cannot be read."""

    ROUTE = "/bff/live/snapshot"
    TIMES = 1

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        principal: Principal,
        names: list[str],
        after: str | None,
    ) -> None:
        try:
            body = sse.body(await self._hub.snapshot(principal, names))
        except StoreUnavailable:
            raise Problem(
                503, "unavailable", "The journal cannot be read right now.", retry_after=1.0
            ) from None
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        await send_answer(send, 200, headers, body, head=scope["method"] == "HEAD")


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
        headers = {
            "content-type": "application/json",
            "cache-control": "private, no-cache",
            "vary": ", ".join(PERSONAL),
        }
        await send_answer(send, 200, headers | limits, entry, head=scope["method"] == "HEAD")
