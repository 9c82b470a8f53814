"""Which endpoint an address belongs to. Nothing is answered here: 404 and 405 are raised, and written in one place.

A path that is not written in its one form (http/head.py) is none of ours, whatever it might be decoded to.
`OPTIONS *` asks about the server as a whole (RFC 9110 section 9.3.7) and is the one request without a path.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Receive, Scope, Send

from ..http.head import is_canonical
from ..page import Fallback

# What a router puts into the scope of a request that it has found a route for.
_OF_A_ROUTE = ("endpoint", "path_params", "router")


def in_order(paths: Iterable[str]) -> list[str]:
    """Plain segments before parameters, so that /orders/new is not taken for the order called new."""
    return sorted(paths, key=lambda path: [segment.startswith("{") for segment in path.split("/")])


class Routes:
    """Starlette's router, told to raise instead of answering plain text. fallback: asked where no route answers."""

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
            # As it was before the router looked for a route.
            asked = {name: value for name, value in scope.items() if name not in _OF_A_ROUTE} | {
                "root_path": root
            }
            if self._fallback is not None and self._fallback.takes(asked):
                # Another method's address may be a page of the site for a person who goes there.
                await self._fallback(asked, receive, send)
                return
            # A screen and a command may share an address, and each alone knows only its own method.
            allowed = {name.strip() for name in (error.headers or {}).get("Allow", "").split(",")} - {""}
            for route in self._router.routes:
                if isinstance(route, Route) and route.matches(asked)[0] is not Match.NONE:
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
