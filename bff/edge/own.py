"""The gateway's own endpoints: the live stream, one saga, fixed documents; and limits before endpoints that have none
of their own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from .access import csrf
from .access.permit import permit
from .problem import Problem
from .respond import PERSONAL, send_json
from .screens import unauthenticated
from .stream import live, snapshot, values_asked

if TYPE_CHECKING:
    from ..calls import Principal
    from .runtime import Runtime


class _Private(ABC):
    """An endpoint for whoever is signed in."""

    route = ""
    times = 1
    """Multiplies the default limit."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def cost(self, scope: Scope) -> int:
        """How many requests one counts for."""
        return 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["bff.route"] = self.route
        principal = await self._runtime.authenticate(scope)
        if principal is None:
            raise unauthenticated()
        permit(principal, self._runtime.gateway.needs)
        csrf.check_read(scope, principal)
        who = self._runtime.limits.caller(scope, principal)
        limits = await self._runtime.limits.spend(
            self.route, None, who, times=self.times, cost=self.cost(scope)
        )
        await self.answer(scope, receive, send, principal, limits)

    @abstractmethod
    async def answer(
        self, scope: Scope, receive: Receive, send: Send, principal: Principal, limits: dict[str, str]
    ) -> None:
        """Answer this principal. limits: the RateLimit headers of having asked."""


class _Values(_Private):
    """Each value that is asked for counts as a request: one that nobody has published yet is asked of its service."""

    def cost(self, scope: Scope) -> int:
        return 1 + values_asked(scope, self._runtime.settings.live)


class LiveRoute(_Values):
    """GET /bff/live. A plain EventSource gives up for good on a 429, so only a storm of reconnects meets one."""

    route = "/bff/live"
    times = 20

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, principal: Principal, limits: dict[str, str]
    ) -> None:
        runtime = self._runtime
        await live(scope, receive, send, principal=principal, hub=runtime.hub, settings=runtime.settings.live)


class SnapshotRoute(_Values):
    """GET /bff/live/snapshot"""

    route = "/bff/live/snapshot"

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, principal: Principal, limits: dict[str, str]
    ) -> None:
        runtime = self._runtime
        await snapshot(
            scope, receive, send, principal=principal, hub=runtime.hub, settings=runtime.settings.live
        )


class SagaRoute(_Private):
    """GET /bff/sagas/{type}/{id}: the newest word on one of the caller's own sagas."""

    route = "/bff/sagas/{type}/{id}"

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, principal: Principal, limits: dict[str, str]
    ) -> None:
        kind, id = scope["path_params"]["type"], scope["path_params"]["id"]
        journal = self._runtime.journal
        entry = await journal.saga(principal.id, kind, id)
        if entry is None and kind in self._runtime.gateway.sagas:
            # A lost journal is rebuilt by whoever asks for all of it.
            await self._runtime.hub.snapshot(principal)
            entry = await journal.saga(principal.id, kind, id)
        if entry is None:
            raise Problem(404, "not-found", "You have no such saga, or it ended long ago.")
        headers = {"cache-control": "private, no-cache", "vary": PERSONAL} | limits
        await send_json(send, 200, entry, headers, head=scope["method"] == "HEAD")


class Bytes:
    """A fixed document."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self._body = body
        self._headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'"),
        ]

    @classmethod
    def json(cls, document: Any) -> Self:
        return cls(json.dumps(document, ensure_ascii=False).encode(), "application/json")

    @classmethod
    def html(cls, body: bytes) -> Self:
        return cls(body, "text/html; charset=utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b"" if scope["method"] == "HEAD" else self._body
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Limited:
    """`app` behind a limit by address: for sign-in, where there is no principal yet."""

    def __init__(self, runtime: Runtime, route: str, app: ASGIApp, limit: str | None) -> None:
        self._runtime = runtime
        self._route = route
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["bff.route"] = self._route
        limits = self._runtime.limits
        await limits.spend(self._route, self._limit, limits.caller(scope, None))
        await self._app(scope, receive, send)
