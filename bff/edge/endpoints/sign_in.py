"""Signing in and out with a browser: `/bff/login`, `/bff/callback`, `/bff/logout`, `/bff/backchannel-logout`,
`/bff/user`.

Promises a new session id at every sign-in, and the end of the session it takes the place of; that the answer to a
sign-in is taken up once; return addresses on this site only; no token in an answer to the page; and a problem that says
what to do when a sign-in does not work out, of which the log has the reason. The session cookie is SameSite=Strict,
which Chromium does not send on a redirect that follows the cross-site callback: the callback therefore answers with a
tiny page of this site's own that moves on, and that next request is same-site and carries the cookie.
"""

from __future__ import annotations

import html
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import parse_qs, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ...calls import Clock
from ...policies.tokens import TokenRefused
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..access import csrf
from ..access.authenticate import Authenticator, cookie_values, cookies, expired, one_cookie, set_cookie
from ..access.fetch import FetchFailed
from ..access.jwks import KeysUnavailable
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
from ..access.provider import Provider, SignInRefused, readable
from ..access.session import Sessions
from ..access.session_cache import sessions_unavailable
from ..access.session_record import SessionKey, SessionRecord
from ..http.public_path import PublicPath
from ..problem import TITLES, Problem

log = logging.getLogger("bff.session")

NO_STORE = {"cache-control": "no-store"}
CLEAR_CACHE = {"clear-site-data": '"cache"'}
"""What a browser kept of one person's screens is not for the next one. Cookies and storage of this site's own, and of
its siblings, are left alone."""
COOKIES_MOST = 4
"""Session cookies of one request that a logout looks at; a browser has one."""
MAX_FORM = 16_384
"""Bytes of a back-channel logout's body."""

Endpoint = Callable[[Request], Awaitable[Response]]


class SignIn:
    """The endpoints; `routes()` lists them. They raise Problem for whatever does not work out."""

    def __init__(
        self,
        provider: Provider,
        sessions: Sessions,
        store: SessionStore,
        authenticator: Authenticator,
        *,
        client_secret: str,
        public_url: str,
        clock: Clock = time.time,
    ) -> None:
        self._provider = provider
        self._sessions = sessions
        self._store = store
        self._authenticator = authenticator
        self._states = LoginStates(client_secret)
        self._public_url = public_url
        self._path = PublicPath.of(public_url)
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/bff/login", self.login, methods=["GET"]),
            Route("/bff/callback", self.callback, methods=["GET"]),
            Route("/bff/logout", self.logout, methods=["POST"]),
            Route("/bff/logout", self.leave, methods=["GET"]),
            Route("/bff/backchannel-logout", self.backchannel_logout, methods=["POST"]),
            Route("/bff/user", self.user, methods=["GET"]),
        ]

    async def login(self, request: Request) -> Response:
        """303 to the provider; `?return=` is where to end up afterwards, default `/`."""
        return_to = safe_return(request.query_params.get("return", self._path.home))
        if return_to is None or not self._path.holds(return_to):
            raise Problem(
                400,
                "invalid-request",
                f"`return` must be a path of this site, such as {self._path.home}orders.",
            )
        headers = request.scope["headers"]
        login = LoginState.new(
            return_to, self._clock(), _sessions_of(cookie_values(headers, self._path.session_cookie))
        )
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
            raise _provider_away() from error
        response = RedirectResponse(url, 303, headers=NO_STORE)
        under_way = [name for name, _ in self._flows(request)]
        for oldest in dict.fromkeys(under_way[: max(0, len(under_way) - FLOWS + 1)]):
            response.headers.append("set-cookie", expired(oldest, "Lax"))
        response.headers.append("set-cookie", set_cookie(name, sealed, "Lax", max_age=LIFETIME))
        return response

    async def callback(self, request: Request) -> Response:
        """The provider's answer: 200 with the page that moves on, and the session's cookie."""
        query = request.query_params
        state = query.get("state", "")
        name = cookie_name(state, self._path.login_cookies)
        if name is None or len(query.multi_items()) != len(query):
            raise self._failed(400, "the answer does not belong to a sign-in begun here")
        values = cookie_values(request.scope["headers"], name)
        login = self._states.open(values[0] if len(values) == 1 else None, state, self._clock())
        over = expired(name, "Lax")
        if login is None:
            raise self._failed(400, _NOT_HERE, clear=over if values else None)
        record, began = await self._redeem(request, login, over)
        value = await self._sessions.start(record, began=began)
        response = HTMLResponse(_moving_on(login.return_to), headers=_PAGE_HEADERS | CLEAR_CACHE)
        response.headers.append("set-cookie", over)
        response.headers.append("set-cookie", set_cookie(self._path.session_cookie, value, "Strict"))
        (session,) = _sessions_of([value])
        for other, sealed in self._flows(request):
            # A sign-in of another tab began before this one: what it takes the place of is this session by now.
            left = self._states.leaving(sealed, session, self._clock()) if other != name else None
            if left is not None:
                age = max(1, int(left[1].left - self._clock()))
                response.headers.append("set-cookie", set_cookie(other, left[0], "Lax", max_age=age))
        await self._leave_old(
            {*login.leaves, *_sessions_of(cookie_values(request.scope["headers"], self._path.session_cookie))}
        )
        return response

    async def _redeem(self, request: Request, login: LoginState, over: str) -> tuple[SessionRecord, float]:
        """What the code is worth, and when it was taken up. The flow's cookie survives a provider or a store that is
        away, so that the same address may be tried again; whatever else comes of it ends the flow."""
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
            raise self._failed(400, _NOT_HERE, login.return_to, over)
        try:
            await self._judge_answer(request)
            code = request.query_params.get("code", "")
            return await self._provider.exchange(code, verifier=login.verifier, nonce=login.nonce), began
        except SignInRefused as refusal:
            level = logging.INFO if refusal.status == 400 else logging.ERROR
            log.log(level, "a sign-in failed at %s: %s", issuer, refusal.reason or refusal)
            raise self._failed(refusal.status, str(refusal), login.return_to, over) from None
        except FetchFailed as error:
            log.warning("a sign-in failed, for the identity provider is away: %s", error)
            await self._release(login, holder)
            raise _provider_away() from error
        except BaseException:
            await self._release(login, holder)
            raise

    async def _release(self, login: LoginState, holder: str) -> None:
        try:
            await self._store.release_login(self._provider.issuer, login.state, holder)
        except StoreUnavailable as error:
            log.warning("a sign-in cannot be tried again: %s", error)

    async def logout(self, request: Request) -> Response:
        """200 `{redirect}`: the session here is over; go there to end it at the provider, too."""
        values = dict.fromkeys(cookie_values(request.scope["headers"], self._path.session_cookie))
        if not values:
            return JSONResponse({"redirect": self._path.home}, headers=NO_STORE)
        csrf.check_request(request.scope, self._public_url)
        redirect = self._path.home
        for value in list(values)[:COOKIES_MOST]:
            record = await self._sessions.end(value)
            if record is not None:
                redirect = await self._after(record.tokens.id_token)
        response = JSONResponse({"redirect": redirect}, headers=NO_STORE | CLEAR_CACHE)
        response.headers.append("set-cookie", expired(self._path.session_cookie, "Strict"))
        return response

    async def _after(self, id_token: str | None) -> str:
        """Where the browser goes now. The provider wants the ID token as a hint; the page is given an address of ours
        in its place, which can be gone to once."""
        try:
            url = await self._provider.end_session_url(id_token, self._public_url + "/")
            if url is None or id_token is None:
                return url or self._path.home
            return (
                f"{self._path.prefix}/bff/logout?{urlencode({'to': await self._sessions.keep_address(url)})}"
            )
        except FetchFailed as error:
            log.warning("nobody is signed out at the identity provider: %s", error)
            return self._path.home
        except StoreUnavailable:
            return await self._after(None)

    async def leave(self, request: Request) -> Response:
        """303 to the provider, which ends its session, too; `?to=` is from the answer to the logout, and good once."""
        csrf.check_navigation(request.scope)
        if request.method != "GET":
            raise Problem(
                405, "method-not-allowed", "Go there with the browser.", headers={"allow": "GET, POST"}
            )
        try:
            url = await self._sessions.take_address(request.query_params.get("to"))
        except StoreUnavailable:
            url = await self._after(None)
        return RedirectResponse(
            url or self._path.home, 303, headers=NO_STORE | {"referrer-policy": "no-referrer"}
        )

    async def backchannel_logout(self, request: Request) -> Response:
        """The provider says that a session or a person is signed out (Back-Channel Logout 1.0 section 2.5)."""
        form = await _form(request)
        tokens = form.get("logout_token", [])
        if len(tokens) != 1:
            raise _no_logout("there must be exactly one logout_token")
        try:
            told = await self._provider.logout_token(tokens[0])
        except TokenRefused as refusal:
            raise _no_logout(str(refusal)) from None
        except KeysUnavailable as error:
            raise _provider_away() from error
        issuer = self._provider.issuer
        try:
            # A token replayed later would end sessions begun since, so each counts once.
            if await self._store.is_logout_token_used(issuer, told.token_id):
                raise _no_logout("this logout_token was carried out before")
            await self._sessions.end_all(issuer, sid=told.sid, subject=told.subject)
            # Noted when it is done: one that failed half-way may be sent again.
            await self._store.use_logout_token(
                issuer, told.token_id, keep=max(1.0, told.until - self._clock())
            )
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        return Response(status_code=200, headers=NO_STORE)

    async def user(self, request: Request) -> Response:
        """200 with what is known about the person and `expires_in`, seconds. Nobody is 401, or 200 `null` with
        `?anonymous=1`: a page that asks for every visitor need not see a failure. A token that is no good is 401
        either way."""
        anonymous = request.query_params.getlist("anonymous")
        if anonymous not in ([], ["1"]):
            raise Problem(400, "invalid-request", "`anonymous` is 1, once, or left out.")
        principal = await self._authenticator(request.scope, optional=bool(anonymous))
        headers = {**NO_STORE, "vary": "Cookie, Authorization"}
        if principal is None:
            # A page asks this first: a person with two cookies hears of it here, also where nobody is an answer.
            one_cookie(request.scope["headers"], self._path.session_cookie)
            if anonymous:
                return JSONResponse(None, headers=headers)
            raise Problem(
                401, "unauthenticated", f"Nobody is signed in. Go to {self._path.prefix}/bff/login."
            )
        left = max(0, int(principal.expires_at - self._clock()))
        claims = {"iss": principal.issuer, **principal.claims, "sub": principal.subject}
        return JSONResponse({**claims, "expires_in": left}, headers=headers)

    async def _judge_answer(self, request: Request) -> None:
        query = request.query_params
        issuer = query.get("iss")
        # RFC 9207 section 2.4: the answer of one provider must not be taken to another.
        if issuer is None and await self._provider.names_itself():
            raise SignInRefused("the answer does not say which identity provider it is from")
        if issuer is not None and issuer != self._provider.issuer:
            raise SignInRefused("the answer is from another identity provider")
        if "error" in query:
            cancelled = query["error"] == "access_denied"
            said = readable(" ".join(filter(None, (query["error"], query.get("error_description")))))
            raise SignInRefused(
                _WAS_CANCELLED if cancelled else "the identity provider reported an error",
                reason=f"the browser brought back: {said}",
            )
        if not 0 < len(query.get("code", "")) <= 4096:
            raise SignInRefused("the answer holds no code")

    def _flows(self, request: Request) -> list[tuple[str, str]]:
        """The cookies of sign-ins that are under way in this browser: names and values."""
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in cookies(request.scope["headers"])
        ]
        own = self._path.login_cookies
        return [(name, value) for name, value in pairs if is_cookie_name(name, own)][: 2 * FLOWS]

    def _failed(
        self, status: int, why: str, return_to: str | None = None, clear: str | None = None
    ) -> Problem:
        again = f"{self._path.prefix}/bff/login"
        if return_to is not None and return_to != self._path.home:
            again += f"?{urlencode({'return': return_to})}"
        said = _CANCELLED if why == _WAS_CANCELLED else (_DID_NOT, f"{why[:1].upper()}{why[1:]}.")
        return Problem(
            status,
            "sign-in-failed",
            f"Sign-in failed: {why}. Start again at {again}",
            headers={} if clear is None else {"set-cookie": clear},
            for_people=said,
            return_to=return_to,
        )

    async def _leave_old(self, sessions: Iterable[str]) -> None:
        # Whoever signs in again leaves the old session behind; when it cannot be ended now it ends by itself.
        for id in sessions:
            try:
                await self._sessions.leave(id)
            except Problem:
                return


_WAS_CANCELLED = "it was cancelled"
_DID_NOT = TITLES["sign-in-failed"]
_CANCELLED = ("The sign-in was cancelled", "Nothing has changed. You can sign in at any time.")
_NOT_HERE = "this sign-in was begun in another browser, took longer than ten minutes, or is already over"


_PAGE_HEADERS = {
    **NO_STORE,
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    # The address holds the code; it is of no use any more, and still nobody's business.
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def _moving_on(path: str) -> str:
    address = html.escape(path, quote=True)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Signed in</title>'
        f'<meta http-equiv="refresh" content="0;url={address}"><p>Signed in. <a href="{address}">Go on</a></p></html>'
    )


def _sessions_of(values: Iterable[str]) -> tuple[str, ...]:
    """The hashed ids of the sessions that these cookies name."""
    keys = [SessionKey.read(value) for value in values]
    return tuple(key.id for key in keys if key is not None)[:COOKIES_MOST]


async def _form(request: Request) -> dict[str, list[str]]:
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise _no_logout("the body must be application/x-www-form-urlencoded")
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                raise Problem(413, "body-too-large", f"A logout's body is at most {MAX_FORM} bytes.")
    except ClientDisconnect:
        raise _no_logout("the body did not arrive whole") from None
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError:
        raise _no_logout("the body cannot be read") from None


def _no_logout(why: str) -> Problem:
    return Problem(400, "invalid-request", f"The logout cannot be carried out: {why}.")


def _provider_away() -> Problem:
    return Problem(
        503,
        "unavailable",
        "The identity provider does not answer at the moment. Try to sign in again shortly.",
        retry_after=2.0,
    )
