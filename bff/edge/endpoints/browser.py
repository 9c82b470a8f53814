"""What the endpoints of browser sign-in share: their routes, headers and problems."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...stores.redis.client import StoreUnavailable
from ..access.session_cache import sessions_unavailable
from ..access.session_record import SessionKey
from ..problem import Problem
from .guard import Access, Guard

NO_STORE = {"cache-control": "no-store"}
CLEAR_CACHE = {"clear-site-data": '"cache"'}
"""A browser must not show the next person what it cached for this one. Cookies and storage of this site, and of its
sibling sites, are not cleared."""
MAX_COOKIES = 4
"""Session cookies of one request that a logout ends; a browser has one."""


def browser_route(
    guard: Guard,
    path: str,
    handle: Callable[[Request], Awaitable[Response]],
    method: str = "GET",
    limit: str | None = None,
) -> Route:
    """A route that needs no session, with a limit by address; None: the default one. 503 where Redis is away."""
    access = Access(path, anonymous=True, limit=limit)

    async def answer(request: Request) -> Response:
        await guard.admit_limited(request.scope, access)
        try:
            return await handle(request)
        except StoreUnavailable as error:
            raise sessions_unavailable() from error

    return Route(path, answer, methods=[method])


def session_ids(values: Iterable[str]) -> tuple[str, ...]:
    """The hashed ids of the sessions that these cookies name."""
    keys = [SessionKey.read(value) for value in values]
    return tuple(key.id for key in keys if key is not None)[:MAX_COOKIES]


def provider_unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "The identity provider does not answer at the moment. Try to sign in again shortly.",
        retry_after=2.0,
    )


def no_provider() -> Problem:
    """The 404 for a provider that does not exist, or not at this host."""
    return Problem(404, "not-found", "Nobody signs in here with that identity provider.")
