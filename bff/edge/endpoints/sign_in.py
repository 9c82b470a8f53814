"""Browser sign-in and sign-out: `/bff/login`, `/bff/callback`, `/bff/logout`, `/bff/backchannel-logout`, `/bff/user`.

Guarantees that every sign-in makes a new session id and ends the session that it replaces, that a callback is accepted
once, that return addresses are on this site, and that no answer to the page holds a token. When a sign-in fails, the
problem says what to do and the log has the reason. The session cookie is SameSite=Strict, which Chromium does not send
with a redirect after the cross-site callback. The callback therefore answers with a small page of this site that
navigates to the return address by itself: that request is same-site and has the cookie.
"""

from __future__ import annotations

import html
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ...calls import Clock
from ...policies.tokens import TokenRefused
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..access import csrf
from ..access.authenticate import expired, set_cookie, two_cookies
from ..access.fetch import FetchFailed
from ..access.login_state import (
    COOKIE_BYTES,
    FLOWS,
    LIFETIME,
    LoginState,
    LoginStates,
    cookie_name,
    is_cookie_name,
    safe_return,
)
from ..access.provider import Provider, SignInRefused
from ..access.session import Sessions
from ..access.session_cache import sessions_unavailable
from ..access.session_record import SessionKey, SessionRecord
from ..access.token_endpoint import readable
from ..http.public_path import PublicPath
from ..http.request import BodyReader, cookie_values, cookies
from ..problem import TITLES, Problem
from .guard import Access, Guard

log = logging.getLogger("bff.session")

NO_STORE = {"cache-control": "no-store"}
CLEAR_CACHE = {"clear-site-data": '"cache"'}
"""A browser must not show the next person what it cached for this one. Cookies and storage of this site, and of its
sibling sites, are not cleared."""
MAX_COOKIES = 4
"""Session cookies of one request that a logout ends; a browser has one."""

# The body of a back-channel logout: bytes at most, and seconds until all of it must be here.
_read_form = BodyReader(16_384, 10.0)
_PAGE_HEADERS = {
    **NO_STORE,
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    # The address holds the code. It cannot be redeemed again, but must not be sent to other sites either.
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_CANCELLED = "it was cancelled"
_CANCELLED_PAGE = ("The sign-in was cancelled", "Nothing has changed. You can sign in at any time.")
_NOT_HERE = "this sign-in was begun in another browser, took longer than ten minutes, or is already over"


class SignIn:
    """The endpoints; `routes()` lists them. They raise a Problem for every failure.

    login_limit  of login and callback, by address; None: the default
    clock        Unix seconds
    """

    def __init__(
        self,
        guard: Guard,
        provider: Provider,
        sessions: Sessions,
        store: SessionStore,
        *,
        client_secret: str,
        public_url: str,
        login_limit: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._guard = guard
        self._provider = provider
        self._sessions = sessions
        self._store = store
        self._states = LoginStates(client_secret)
        self._public_url = public_url
        self._login_limit = login_limit
        self._path = PublicPath.of(public_url)
        self._clock = clock

    def routes(self) -> list[Route]:
        # Login and callback are requests of one person, so they have a limit of their own. A provider sends the logouts
        # of many people from one address.
        return [
            self._route("/bff/login", self.login, limit=self._login_limit),
            self._route("/bff/callback", self.callback, limit=self._login_limit),
            self._route("/bff/logout", self.logout, "POST"),
            self._route("/bff/logout", self.provider_logout),
            self._route("/bff/backchannel-logout", self.backchannel_logout, "POST"),
            Route("/bff/user", self.user, methods=["GET"]),
        ]

    def _route(
        self,
        path: str,
        handle: Callable[[Request], Awaitable[Response]],
        method: str = "GET",
        limit: str | None = None,
    ) -> Route:
        access = Access(path, anonymous=True, limit=limit)

        async def answer(request: Request) -> Response:
            await self._guard.admit_limited(request.scope, access)
            try:
                return await handle(request)
            except StoreUnavailable as error:
                raise sessions_unavailable() from error

        return Route(path, answer, methods=[method])

    # -- signing in

    async def login(self, request: Request) -> Response:
        """303 to the provider. `?return=` is the path to go to after the sign-in, default `/`."""
        return_to = safe_return(request.query_params.get("return", self._path.home))
        if return_to is None or not self._path.holds(return_to):
            raise Problem(
                400,
                "invalid-request",
                f"`return` must be a path of this site, such as {self._path.home}orders.",
            )
        login = LoginState.new(return_to, self._clock(), _session_ids(self._session_cookies(request)))
        name = cookie_name(login.state, self._path.login_cookies) or self._path.login_cookies
        sealed = self._states.seal(login)
        if len(name) + len(sealed) > COOKIE_BYTES:
            raise Problem(400, "invalid-request", "`return` is longer than a sign-in can remember.")
        try:
            url = await self._provider.authorize_url(
                state=login.state, nonce=login.nonce, verifier=login.verifier
            )
        except FetchFailed as error:
            log.warning("a sign-in cannot begin: %s", error)
            raise _provider_unavailable() from error
        response = RedirectResponse(url, 303, headers=NO_STORE)
        under_way = [name for name, _ in self._login_cookies(request)]
        for oldest in dict.fromkeys(under_way[: max(0, len(under_way) - FLOWS + 1)]):
            response.headers.append("set-cookie", expired(oldest, "Lax"))
        response.headers.append("set-cookie", set_cookie(name, sealed, "Lax", max_age=LIFETIME))
        return response

    async def callback(self, request: Request) -> Response:
        """The provider's answer: 200 with the page that navigates on, and the session's cookie."""
        query = request.query_params
        state = query.get("state", "")
        name = cookie_name(state, self._path.login_cookies)
        if name is None or len(query.multi_items()) != len(query):
            raise self._failed(400, "the answer does not belong to a sign-in begun here")
        values = cookie_values(request.scope["headers"], name)
        login = self._states.open(values[0] if len(values) == 1 else None, state, self._clock())
        clear = expired(name, "Lax")
        if login is None:
            raise self._failed(400, _NOT_HERE, clear=clear if values else None)
        record, began = await self._redeem(request, login, clear)
        value = await self._sessions.start(record, began=began)
        response = HTMLResponse(_redirect_page(login.return_to), headers=_PAGE_HEADERS | CLEAR_CACHE)
        response.headers.append("set-cookie", clear)
        response.headers.append("set-cookie", set_cookie(self._path.session_cookie, value, "Strict"))
        (session,) = _session_ids([value])
        for other, sealed in self._login_cookies(request):
            # A sign-in of another tab that began before this one replaces the session of this one.
            resealed = self._states.replacing(sealed, session, self._clock())
            if resealed is not None and other != name:
                response.headers.append(
                    "set-cookie", set_cookie(other, resealed[0], "Lax", max_age=resealed[1])
                )
        for id in {*login.replaces, *_session_ids(self._session_cookies(request))}:
            try:
                await self._sessions.end_by_id(id)
            except StoreUnavailable:
                # The sessions that are left expire by themselves.
                break
        return response

    async def _redeem(self, request: Request, login: LoginState, clear: str) -> tuple[SessionRecord, float]:
        """Redeem the code; returns the session's record, and when the session began. Where the provider or Redis is
        away, the flow's cookie is not removed, so that the same address can be loaded again; any other failure ends
        the flow."""
        issuer, holder = self._provider.issuer, secrets.token_hex(8)
        try:
            began = await self._store.claim_login(issuer, login.state, holder, keep=LIFETIME + 120)
        except StoreUnavailable as error:
            raise Problem(
                503,
                "unavailable",
                "The sign-in cannot be completed at the moment. Load this address again shortly.",
                retry_after=2.0,
            ) from error
        if began is None:
            raise self._failed(400, _NOT_HERE, login.return_to, clear)
        try:
            await self._check_answer(request)
            code = request.query_params.get("code", "")
            return await self._provider.exchange(code, verifier=login.verifier, nonce=login.nonce), began
        except SignInRefused as refusal:
            level = logging.INFO if refusal.status == 400 else logging.ERROR
            log.log(level, "a sign-in failed at %s: %s", issuer, refusal.reason or refusal)
            raise self._failed(refusal.status, str(refusal), login.return_to, clear) from None
        except FetchFailed as error:
            log.warning("a sign-in failed, the identity provider is away: %s", error)
            await self._release(login, holder)
            raise _provider_unavailable() from error
        except BaseException:
            await self._release(login, holder)
            raise

    async def _release(self, login: LoginState, holder: str) -> None:
        try:
            await self._store.release_login(self._provider.issuer, login.state, holder)
        except StoreUnavailable as error:
            log.warning("a sign-in cannot be retried: %s", error)

    async def _check_answer(self, request: Request) -> None:
        query = request.query_params
        issuer = query.get("iss")
        # RFC 9207 section 2.4: the answer of one provider must not be accepted as another's.
        if issuer is None and await self._provider.names_itself():
            raise SignInRefused("the answer does not say which identity provider it is from")
        if issuer is not None and issuer != self._provider.issuer:
            raise SignInRefused("the answer is from another identity provider")
        if "error" in query:
            error = readable(" ".join(filter(None, (query["error"], query.get("error_description")))))
            raise SignInRefused(
                _CANCELLED
                if query["error"] == "access_denied"
                else "the identity provider reported an error",
                reason=f"the browser brought back: {error}",
            )
        if not 0 < len(query.get("code", "")) <= 4096:
            raise SignInRefused("the answer holds no code")

    def _failed(
        self, status: int, why: str, return_to: str | None = None, clear: str | None = None
    ) -> Problem:
        retry = f"{self._path.prefix}/bff/login"
        if return_to is not None and return_to != self._path.home:
            retry += f"?{urlencode({'return': return_to})}"
        page = (TITLES["sign-in-failed"], f"{why[:1].upper()}{why[1:]}.")
        return Problem(
            status,
            "sign-in-failed",
            f"Sign-in failed: {why}. Start again at {retry}",
            headers={} if clear is None else {"set-cookie": clear},
            for_people=_CANCELLED_PAGE if why == _CANCELLED else page,
            return_to=return_to,
        )

    # -- signing out

    async def logout(self, request: Request) -> Response:
        """200 `{redirect}`: the session here has ended; go there to end it at the provider, too."""
        values = dict.fromkeys(self._session_cookies(request))
        if not values:
            return JSONResponse({"redirect": self._path.home}, headers=NO_STORE)
        csrf.check_request(request.scope, self._public_url)
        redirect = self._path.home
        for value in list(values)[:MAX_COOKIES]:
            record = await self._sessions.end(value)
            if record is not None:
                redirect = await self._after_logout(record.tokens.id_token)
        response = JSONResponse({"redirect": redirect}, headers=NO_STORE | CLEAR_CACHE)
        response.headers.append("set-cookie", expired(self._path.session_cookie, "Strict"))
        return response

    async def _after_logout(self, id_token: str | None) -> str:
        """Where the browser goes next. The provider wants the ID token as a hint; the page gets an address of this site
        instead, which works once."""
        try:
            url = await self._provider.end_session_url(id_token, self._public_url + "/")
            if url is None or id_token is None:
                return url or self._path.home
            key = await self._sessions.keep_logout_url(url)
            return f"{self._path.prefix}/bff/logout?{urlencode({'to': key})}"
        except FetchFailed as error:
            log.warning("the session at the identity provider is not ended: %s", error)
            return self._path.home
        except StoreUnavailable:
            return await self._after_logout(None)

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
            url = await self._after_logout(None)
        return RedirectResponse(
            url or self._path.home, 303, headers=NO_STORE | {"referrer-policy": "no-referrer"}
        )

    async def backchannel_logout(self, request: Request) -> Response:
        """The provider reports that a session or a person has signed out (Back-Channel Logout 1.0 section 2.5)."""
        token = await _logout_token(request)
        try:
            logout = await self._provider.logout_token(token)
        except TokenRefused as refusal:
            raise _invalid_logout(str(refusal)) from None
        except FetchFailed as error:
            raise _provider_unavailable() from error
        issuer = self._provider.issuer
        # Each token is valid once: a repeated one would end sessions that began after it.
        if await self._store.is_logout_token_used(issuer, logout.token_id):
            raise _invalid_logout("this logout_token was carried out before")
        await self._sessions.end_all(issuer, sid=logout.sid, subject=logout.subject)
        # Recorded afterwards, so that the provider can repeat one that failed half-way.
        await self._store.use_logout_token(
            issuer, logout.token_id, keep=max(1.0, logout.until - self._clock())
        )
        return Response(status_code=200, headers=NO_STORE)

    # -- the person

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
            if len(self._session_cookies(request)) > 1:
                raise two_cookies(self._path.session_cookie)
            return JSONResponse(None, headers=headers)
        expires_in = max(0, int(principal.expires_at - self._clock()))
        claims = {"iss": principal.issuer, **principal.claims, "sub": principal.subject}
        return JSONResponse({**claims, "expires_in": expires_in}, headers=headers)

    def _session_cookies(self, request: Request) -> list[str]:
        return cookie_values(request.scope["headers"], self._path.session_cookie)

    def _login_cookies(self, request: Request) -> list[tuple[str, str]]:
        """Names and values of the cookies of sign-ins under way in this browser."""
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in cookies(request.scope["headers"])
        ]
        prefix = self._path.login_cookies
        return [(name, value) for name, value in pairs if is_cookie_name(name, prefix)][: 2 * FLOWS]


def _redirect_page(path: str) -> str:
    address = html.escape(path, quote=True)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Signed in</title>'
        f'<meta http-equiv="refresh" content="0;url={address}"><p>Signed in. <a href="{address}">Go on</a></p></html>'
    )


def _session_ids(values: Iterable[str]) -> tuple[str, ...]:
    """The hashed ids of the sessions that these cookies name."""
    keys = [SessionKey.read(value) for value in values]
    return tuple(key.id for key in keys if key is not None)[:MAX_COOKIES]


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


def _provider_unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "The identity provider does not answer at the moment. Try to sign in again shortly.",
        retry_after=2.0,
    )
