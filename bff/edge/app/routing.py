"""Finds the endpoint of a request. 404 and 405 are raised here; the envelope answers them.

A path that is not in canonical form (http/head.py) gets 404. `OPTIONS *` is about the server as a whole (RFC 9110
section 9.3.7) and is the only request without a path.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Receive, Scope, Send

from ..http.head import is_canonical
from ..page import Fallback

# The keys that Starlette's router adds to the scope when it has found a route.
_OF_A_ROUTE = ("endpoint", "path_params", "router")


def in_order(paths: Iterable[str]) -> list[str]:
    """Plain segments before parameters, so that /orders/new is not the order with the id `new`."""
    return sorted(paths, key=lambda path: [segment.startswith("{") for segment in path.split("/")])


class Routes:
    """Starlette's router, which raises here instead of answering in plain text. fallback: for no match."""

    def __init__(self, routes: list[BaseRoute], fallback: Fallback | None = None) -> None:
        self._router = Router(routes, redirect_slashes=False, default=fallback)
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and scope["path"] == "*":
            await self._options(send)
            return
        if not is_canonical(scope.get("raw_path") or quote(scope["path"]).encode()):
            raise HTTPException(404)
        # Starlette raises 404 and 405 where there is an application to handle them.
        scope["app"] = self
        root = scope.get("root_path", "")
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            if error.status_code != 405:
                raise
            # The scope as it was before the router changed it.
            before = {name: value for name, value in scope.items() if name not in _OF_A_ROUTE} | {
                "root_path": root
            }
            if self._fallback is not None and self._fallback.takes(before):
                # For a person who navigates there, the address may be a page of the site.
                await self._fallback(before, receive, send)
                return
            # A screen and a command may share an address, and each route knows only its own method.
            allowed = {name.strip() for name in (error.headers or {}).get("Allow", "").split(",")} - {""}
            for route in self._router.routes:
                if isinstance(route, Route) and route.matches(before)[0] is not Match.NONE:
                    allowed |= route.methods or set()
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))}) from None

    async def _options(self, send: Send) -> None:
        methods = {"OPTIONS"}
        for route in self._router.routes:
            if isinstance(route, Route):
                methods |= route.methods or set()
        headers = [(b"allow", ", ".join(sorted(methods)).encode())]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
