"""Sign-out: `/bff/logout`, and `/bff/backchannel-logout`, at which providers report theirs.

Guarantees that a session has ended before the answer, that no answer to the page holds a token, and that no provider
holds up a logout: its tokens are revoked afterwards. A logout token works once. Front-channel logout is not offered: it
happens in a frame of the provider's page, to which browsers do not send a SameSite=Strict cookie.
"""

from __future__ import annotations

import logging
import time
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ...calls import Clock
from ...policies.tokens import TokenRefused
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..access import csrf
from ..access.authenticate import expired
from ..access.fetch import FetchFailed
from ..access.providers import ProviderEntry, Providers
from ..access.session import Sessions
from ..access.token_revocation import TokenRevocations
from ..http.public_path import PublicPath
from ..http.request import BodyReader
from ..problem import Problem
from .browser import CLEAR_CACHE, MAX_COOKIES, NO_STORE, browser_route, no_provider, provider_unavailable
from .guard import Guard

log = logging.getLogger("bff.session")

# The body of a back-channel logout: bytes at most, and seconds until all of it must be here.
_read_form = BodyReader(16_384, 10.0)


class SignOut:
    """The endpoints; `routes()` lists them. They raise a Problem for every failure. clock: Unix seconds."""

    def __init__(
        self,
        guard: Guard,
        providers: Providers,
        sessions: Sessions,
        store: SessionStore,
        revocations: TokenRevocations,
        *,
        clock: Clock = time.time,
    ) -> None:
        self._guard = guard
        self._providers = providers
        self._sessions = sessions
        self._store = store
        self._revocations = revocations
        self._path = PublicPath.of(providers.site.public_url)
        self._clock = clock

    def routes(self) -> list[Route]:
        # A provider sends the logouts of many people from one address, so they have the default limit.
        return [
            browser_route(self._guard, "/bff/logout", self.logout, "POST"),
            browser_route(self._guard, "/bff/logout", self.provider_logout),
            *(
                browser_route(self._guard, path, self.backchannel_logout, "POST")
                for path in self._providers.paths("/bff/backchannel-logout")
            ),
        ]

    async def logout(self, request: Request) -> Response:
        """200 `{redirect}`: the session here has ended; go there to end it at the provider, too."""
        values = dict.fromkeys(value for _, value in self._providers.cookies.of(request.scope))
        if not values:
            return JSONResponse({"redirect": self._path.home}, headers=NO_STORE)
        csrf.check_request(request.scope, self._providers.site.url(request.scope))
        redirect = self._path.home
        for value in list(values)[:MAX_COOKIES]:
            record = await self._sessions.end(value)
            entry = None if record is None else self._providers.named(record.provider, request.scope)
            if record is not None and entry is not None:
                self._revocations.start(entry.provider.revoke, record.tokens)
                redirect = await self._after_logout(request, entry, record.tokens.id_token)
        response = JSONResponse({"redirect": redirect}, headers=NO_STORE | CLEAR_CACHE)
        for entry in self._providers.at(request.scope):
            response.headers.append("set-cookie", expired(entry.cookie, "Strict"))
        return response

    async def _after_logout(self, request: Request, entry: ProviderEntry, id_token: str | None) -> str:
        """Where the browser goes next. The provider wants the ID token as a hint; the page gets an address of this site
        instead, which works once."""
        try:
            home = self._providers.site.url(request.scope) + "/"
            url = await entry.provider.end_session_url(id_token, home)
            if url is None or id_token is None:
                return url or self._path.home
            key = await self._sessions.keep_logout_url(url)
            return f"{self._path.prefix}/bff/logout?{urlencode({'to': key})}"
        except FetchFailed as error:
            log.warning("the session at the identity provider is not ended: %s", error)
            return self._path.home
        except StoreUnavailable:
            return await self._after_logout(request, entry, None)

    async def provider_logout(self, request: Request) -> Response:
        """303 to the provider, which ends its own session. `?to=` comes from the answer to the logout and works
        once."""
        csrf.check_navigation(request.scope)
        if request.method != "GET":
            raise Problem(
                405, "method-not-allowed", "Go there with the browser.", headers={"allow": "GET, POST"}
            )
        try:
            url = await self._sessions.take_logout_url(request.query_params.get("to"))
        except StoreUnavailable:
            # The stored address names the provider. With one provider it is known all the same.
            entries = self._providers.at(request.scope)
            url = await self._after_logout(request, entries[0], None) if len(entries) == 1 else None
        return RedirectResponse(
            url or self._path.home, 303, headers=NO_STORE | {"referrer-policy": "no-referrer"}
        )

    async def backchannel_logout(self, request: Request) -> Response:
        """The provider reports that a session or a person has signed out (Back-Channel Logout 1.0 section 2.5)."""
        # A provider sends it to the one address that it knows, whatever the hosts of its sign-ins are.
        entry = self._providers.find(request.path_params.get("provider", ""))
        if entry is None:
            raise no_provider()
        provider = entry.provider
        token = await _logout_token(request)
        try:
            logout = await provider.logout_token(token)
        except TokenRefused as refusal:
            raise _invalid_logout(str(refusal)) from None
        except FetchFailed as error:
            raise provider_unavailable() from error
        issuer = provider.issuer
        # Each token is valid once: a repeated one would end sessions that began after it.
        if await self._store.is_logout_token_used(issuer, logout.token_id):
            raise _invalid_logout("this logout_token was carried out before")
        await self._sessions.end_all(issuer, sid=logout.sid, subject=logout.subject)
        # Recorded afterwards, so that the provider can repeat one that failed half-way.
        await self._store.use_logout_token(
            issuer, logout.token_id, keep=max(1.0, logout.until - self._clock())
        )
        return Response(status_code=200, headers=NO_STORE)


async def _logout_token(request: Request) -> str:
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise _invalid_logout("the body must be application/x-www-form-urlencoded")
    body = await _read_form(request.scope, request.receive)
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=10).get("logout_token", [])
    except ValueError:
        raise _invalid_logout("the body cannot be read") from None
    if len(found) != 1:
        raise _invalid_logout("there must be exactly one logout_token")
    return found[0]


def _invalid_logout(why: str) -> Problem:
    return Problem(400, "invalid-request", f"The logout cannot be carried out: {why}.")
