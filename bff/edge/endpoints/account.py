"""The signed-in person: `/bff/user`, who they are, and `/bff/sessions`, where they are signed in.

Guarantees that no answer holds a token, that a person sees and ends only their own sessions, and that the streams of a
session end with it. Sessions are for people at a browser: a bearer token can neither list nor end them.
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...calls import Clock, Principal
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..access.authenticate import expired, two_cookies
from ..access.providers import Providers
from ..access.session import Sessions
from ..access.session_cache import sessions_unavailable
from ..problem import Problem
from .browser import CLEAR_CACHE, NO_STORE
from .guard import Access, Guard

MOST_LISTED = 100
"""Sessions that are listed; of more, those that end last."""
HANDLE = 32
"""Characters of a session's id in an address: enough to be unique, and not the whole name under which it is stored."""


class Account:
    """The endpoints; `routes()` lists them. They raise a Problem for every failure. clock: Unix seconds."""

    def __init__(
        self,
        guard: Guard,
        providers: Providers,
        sessions: Sessions,
        store: SessionStore,
        *,
        clock: Clock = time.time,
    ) -> None:
        self._guard = guard
        self._providers = providers
        self._sessions = sessions
        self._store = store
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/bff/user", self.user, methods=["GET"]),
            Route("/bff/sessions", self.list, methods=["GET"]),
            Route("/bff/sessions", self.end_all, methods=["DELETE"]),
            Route("/bff/sessions/{id}", self.end, methods=["DELETE"]),
        ]

    async def user(self, request: Request) -> Response:
        """200 with the person's claims and `expires_in`, seconds. Without credentials 401, or 200 `null` with
        `?anonymous=1`, for a page that asks for every visitor and must not cause failed requests. Invalid credentials
        are answered 401 in both cases."""
        anonymous = request.query_params.getlist("anonymous")
        if anonymous not in ([], ["1"]):
            raise Problem(400, "invalid-request", "`anonymous` is 1, once, or left out.")
        access = Access("/bff/user", public=bool(anonymous))
        principal, _ = await self._guard.admit_limited(request.scope, access)
        headers = {**NO_STORE, "vary": "Cookie, Authorization"}
        if principal is None:
            # A page requests this path first, so the answer to two session cookies is given here.
            found = self._providers.cookies.of(request.scope)
            if len(found) > 1:
                raise two_cookies(self._providers.cookies.names[found[-1][0]])
            return JSONResponse(None, headers=headers)
        expires_in = max(0, int(principal.expires_at - self._clock()))
        claims = {"iss": principal.issuer, **principal.claims, "sub": principal.subject}
        return JSONResponse({**claims, "expires_in": expires_in}, headers=headers)

    async def list(self, request: Request) -> Response:
        """200 `{sessions}`: the person's sessions, the one used last first, each with `id`, `began` and `used` (Unix
        seconds), `browser` (a rough name, may be empty) and `current`."""
        person = await self._person(request)
        try:
            found = await self._store.of_subject(person.issuer, person.subject, most=MOST_LISTED)
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        sessions = [
            {
                "id": one.id[:HANDLE],
                "began": round(one.began, 3),
                "used": round(one.used, 3),
                "browser": one.browser,
                "current": one.id == person.session,
            }
            for one in sorted(found, key=lambda one: -one.used)
        ]
        return JSONResponse({"sessions": sessions}, headers={**NO_STORE, "vary": "Cookie"})

    async def end(self, request: Request) -> Response:
        """204: this session of the person has ended, and its streams end. 404 where they have no such session."""
        person = await self._person(request, "/bff/sessions/{id}")
        handle = request.path_params["id"]
        try:
            found = await self._store.of_subject(person.issuer, person.subject, most=None)
            ids = [one.id for one in found if one.id[:HANDLE] == handle]
            if not ids:
                raise Problem(404, "not-found", "You have no such session; it may have ended meanwhile.")
            for id in ids:
                await self._sessions.end_by_id(id)
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        return self._ended(request, current=person.session in ids)

    async def end_all(self, request: Request) -> Response:
        """204: every session of the person has ended, this one included, and their streams end."""
        person = await self._person(request)
        try:
            await self._sessions.end_all(person.issuer, sid=None, subject=person.subject)
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        return self._ended(request, current=True)

    async def _person(self, request: Request, path: str = "/bff/sessions") -> Principal:
        access = Access(path, counted_as=f"{request.method} {path}", same_origin=True)
        person = await self._guard.admit_authenticated(request.scope, access)
        await self._guard.spend(request.scope, person, access)
        if person.session is None:
            raise Problem(
                403, "forbidden", "Sessions are for people at a browser: sign in instead of sending a token."
            )
        return person

    def _ended(self, request: Request, *, current: bool) -> Response:
        response = Response(status_code=204, headers=NO_STORE | (CLEAR_CACHE if current else {}))
        if current:
            for entry in self._providers.at(request.scope):
                response.headers.append("set-cookie", expired(entry.cookie, "Strict"))
        return response
