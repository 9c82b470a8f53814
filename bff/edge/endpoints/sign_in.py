"""Browser sign-in: `/bff/login` and `/bff/callback`, for one provider or for several.

Guarantees that every sign-in makes a new session id and ends the session that it replaces, that a callback is accepted
once and only from the provider at which the sign-in began, that return addresses are on this site, and that no answer
to the page holds a token. When a sign-in fails, the problem says what to do and the log has the reason. The session
cookie is SameSite=Strict, which Chromium does not send with a redirect after the cross-site callback. The callback
therefore answers with a small page of this site that navigates to the return address by itself: that request is
same-site and has the cookie.
"""

from __future__ import annotations

import html
import logging
import re
import secrets
import time
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ...calls import Clock
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..access.authenticate import expired, set_cookie
from ..access.fetch import FetchFailed
from ..access.login_state import (
    COOKIE_BYTES,
    FLOWS,
    LIFETIME,
    LoginState,
    cookie_name,
    is_cookie_name,
    safe_return,
)
from ..access.provider import Demands, SignInRefused
from ..access.providers import DEFAULT, ProviderEntry, Providers
from ..access.session import Sessions
from ..access.session_record import SessionRecord
from ..access.token_endpoint import readable
from ..http.public_path import PublicPath
from ..http.request import cookie_values, cookies
from ..pages import PLAIN_POLICY, choice
from ..problem import TITLES, Problem
from .browser import CLEAR_CACHE, NO_STORE, browser_route, no_provider, provider_unavailable, session_ids
from .guard import Guard

log = logging.getLogger("bff.session")

PROMPTS = ("login", "select_account", "consent", "create")
"""What `?prompt=` may ask for. `none` is not among them: a provider that may not ask answers with an error."""
MOST_AGE = 30 * 86_400
"""Seconds of `?max_age=` at most."""

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
# RFC 6749 appendix A: what may be in a parameter; several classes are separated by blanks.
_ASKED = {
    "max_age": re.compile(r"[0-9]{1,7}", re.ASCII),
    "acr_values": re.compile(r"[\x21-\x7e]{1,255}( [\x21-\x7e]{1,255}){0,9}", re.ASCII),
    "prompt": re.compile("|".join(PROMPTS)),
    "login_hint": re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,255}"),
}


class SignIn:
    """The endpoints; `routes()` lists them. They raise a Problem for every failure.

    login_limit  of login and callback, by address; None: the default
    clock        Unix seconds
    """

    def __init__(
        self,
        guard: Guard,
        providers: Providers,
        sessions: Sessions,
        store: SessionStore,
        *,
        login_limit: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._guard = guard
        self._providers = providers
        self._site = providers.site
        self._sessions = sessions
        self._store = store
        self._login_limit = login_limit
        self._path = PublicPath.of(providers.site.public_url)
        self._clock = clock

    def routes(self) -> list[Route]:
        # Login and callback are requests of one person, so they have a limit of their own.
        logins = dict.fromkeys(("/bff/login", *self._providers.paths("/bff/login")))
        handlers = [(path, self.login) for path in logins]
        handlers += [(path, self.callback) for path in self._providers.paths("/bff/callback")]
        return [
            browser_route(self._guard, path, handle, limit=self._login_limit) for path, handle in handlers
        ]

    async def login(self, request: Request) -> Response:
        """303 to the provider, or 200 with a page of choice where there are several. `?return=` is the path to go to
        after the sign-in, default `/`; `?max_age=`, `?acr_values=`, `?prompt=` and `?login_hint=` are as OpenID Connect
        Core section 3.1.2.1 has them."""
        return_to = safe_return(request.query_params.get("return", self._path.home))
        if return_to is None or not self._path.holds(return_to):
            raise Problem(
                400,
                "invalid-request",
                f"`return` must be a path of this site, such as {self._path.home}orders.",
            )
        asked = _asked(request)
        entries = self._providers.at(request.scope)
        if (name := request.path_params.get("provider")) is not None:
            entries = [entry for entry in entries if (entry.name or DEFAULT) == name]
        if len(entries) > 1:
            return self._choice(request, entries)
        if not entries:
            raise no_provider()
        return await self._begin(request, entries[0], return_to, asked)

    def _choice(self, request: Request, entries: list[ProviderEntry]) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        links = [
            (f"{self._path.prefix}/bff/login/{entry.name or DEFAULT}{query}", entry.title)
            for entry in entries
        ]
        headers = _PAGE_HEADERS | {"content-security-policy": PLAIN_POLICY}
        return HTMLResponse(choice("Sign in", links), headers=headers)

    async def _begin(
        self, request: Request, entry: ProviderEntry, return_to: str, asked: dict[str, str]
    ) -> Response:
        login = LoginState.new(
            return_to,
            self._clock(),
            session_ids(value for _, value in self._providers.cookies.of(request.scope)),
            max_age=int(asked["max_age"]) if "max_age" in asked else None,
            acr=tuple(asked.get("acr_values", "").split()),
        )
        name = cookie_name(login.state, entry.login_cookies) or entry.login_cookies
        sealed = entry.states.seal(login)
        if len(name) + len(sealed) > COOKIE_BYTES:
            raise Problem(400, "invalid-request", "`return` is longer than a sign-in can remember.")
        try:
            url = await entry.provider.authorize_url(
                state=login.state,
                nonce=login.nonce,
                verifier=login.verifier,
                asked=asked,
                redirect_uri=entry.callback(self._site.url(request.scope)),
            )
        except FetchFailed as error:
            log.warning("a sign-in cannot begin: %s", error)
            raise provider_unavailable() from error
        response = RedirectResponse(url, 303, headers=NO_STORE)
        under_way = [name for each in self._providers for name, _ in _login_cookies(request, each)]
        for oldest in dict.fromkeys(under_way[: max(0, len(under_way) - FLOWS + 1)]):
            response.headers.append("set-cookie", expired(oldest, "Lax"))
        response.headers.append("set-cookie", set_cookie(name, sealed, "Lax", max_age=LIFETIME))
        return response

    async def callback(self, request: Request) -> Response:
        """The provider's answer: 200 with the page that navigates on, and the session's cookie."""
        entry = self._providers.named(request.path_params.get("provider", ""), request.scope)
        if entry is None:
            raise no_provider()
        query = request.query_params
        state = query.get("state", "")
        name = cookie_name(state, entry.login_cookies)
        if name is None or len(query.multi_items()) != len(query):
            raise self._failed(entry, 400, "the answer does not belong to a sign-in begun here")
        values = cookie_values(request.scope["headers"], name)
        login = entry.states.open(values[0] if len(values) == 1 else None, state, self._clock())
        clear = expired(name, "Lax")
        if login is None:
            raise self._failed(entry, 400, _NOT_HERE, clear=clear if values else None)
        record, began = await self._redeem(request, entry, login, clear)
        browser = browser_name(request.headers.get("user-agent", ""))
        value = await self._sessions.start(record, began=began, browser=browser)
        response = HTMLResponse(_redirect_page(login.return_to), headers=_PAGE_HEADERS | CLEAR_CACHE)
        response.headers.append("set-cookie", clear)
        response.headers.append("set-cookie", set_cookie(entry.cookie, value, "Strict"))
        (session,) = session_ids([value])
        for other in self._providers.at(request.scope):
            if other is not entry:
                # One person signs in at one provider at a time.
                response.headers.append("set-cookie", expired(other.cookie, "Strict"))
            for under_way, sealed in _login_cookies(request, other):
                # A sign-in of another tab that began before this one replaces the session of this one.
                resealed = other.states.replacing(sealed, session, self._clock())
                if resealed is not None and under_way != name:
                    response.headers.append(
                        "set-cookie", set_cookie(under_way, resealed[0], "Lax", max_age=resealed[1])
                    )
        before = session_ids(value for _, value in self._providers.cookies.of(request.scope))
        for id in {*login.replaces, *before}:
            try:
                await self._sessions.end_by_id(id)
            except StoreUnavailable:
                # The sessions that are left expire by themselves.
                break
        return response

    async def _redeem(
        self, request: Request, entry: ProviderEntry, login: LoginState, clear: str
    ) -> tuple[SessionRecord, float]:
        """Redeem the code; returns the session's record, and when the session began. Where the provider or Redis is
        away, the flow's cookie is not removed, so that the same address can be loaded again; any other failure ends
        the flow."""
        issuer, holder = entry.provider.issuer, secrets.token_hex(8)
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
            raise self._failed(entry, 400, _NOT_HERE, login.return_to, clear)
        try:
            await _check_answer(request, entry)
            code = request.query_params.get("code", "")
            record = await entry.provider.exchange(
                code,
                verifier=login.verifier,
                nonce=login.nonce,
                demands=Demands(login.max_age, login.acr, login.began),
                redirect_uri=entry.callback(self._site.url(request.scope)),
            )
            return record, began
        except SignInRefused as refusal:
            level = logging.INFO if refusal.status == 400 else logging.ERROR
            log.log(level, "a sign-in failed at %s: %s", issuer, refusal.reason or refusal)
            raise self._failed(entry, refusal.status, str(refusal), login.return_to, clear) from None
        except FetchFailed as error:
            log.warning("a sign-in failed, the identity provider is away: %s", error)
            await self._release(entry, login, holder)
            raise provider_unavailable() from error
        except BaseException:
            await self._release(entry, login, holder)
            raise

    async def _release(self, entry: ProviderEntry, login: LoginState, holder: str) -> None:
        try:
            await self._store.release_login(entry.provider.issuer, login.state, holder)
        except StoreUnavailable as error:
            log.warning("a sign-in cannot be retried: %s", error)

    def _failed(
        self,
        entry: ProviderEntry,
        status: int,
        why: str,
        return_to: str | None = None,
        clear: str | None = None,
    ) -> Problem:
        retry = f"{self._path.prefix}/bff/login{entry.path}"
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


async def _check_answer(request: Request, entry: ProviderEntry) -> None:
    query = request.query_params
    issuer = query.get("iss")
    # RFC 9207 section 2.4: the answer of one provider must not be accepted as another's.
    if issuer is None and await entry.provider.names_itself():
        raise SignInRefused("the answer does not say which identity provider it is from")
    if issuer is not None and issuer != entry.provider.issuer:
        raise SignInRefused("the answer is from another identity provider")
    if "error" in query:
        error = readable(" ".join(filter(None, (query["error"], query.get("error_description")))))
        raise SignInRefused(
            _CANCELLED if query["error"] == "access_denied" else "the identity provider reported an error",
            reason=f"the browser brought back: {error}",
        )
    if not 0 < len(query.get("code", "")) <= 4096:
        raise SignInRefused("the answer holds no code")


def _login_cookies(request: Request, entry: ProviderEntry) -> list[tuple[str, str]]:
    """Names and values of the cookies of this provider's sign-ins under way in this browser."""
    pairs = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in cookies(request.scope["headers"])
    ]
    prefix = entry.login_cookies
    return [(name, value) for name, value in pairs if is_cookie_name(name, prefix)][: 2 * FLOWS]


def _asked(request: Request) -> dict[str, str]:
    """The parameters of this sign-in. Raises Problem 400 for one that is given twice or cannot be read."""
    found: dict[str, str] = {}
    for name, shape in _ASKED.items():
        values = request.query_params.getlist(name)
        if len(values) > 1 or not all(shape.fullmatch(value) for value in values):
            raise Problem(
                400, "invalid-request", f"`{name}` is given twice, or has a value that is not allowed."
            )
        if values:
            found[name] = values[0]
    if int(found.get("max_age", "0")) > MOST_AGE:
        raise Problem(400, "invalid-request", f"`max_age` is seconds, at most {MOST_AGE}.")
    return found


# The first that fits: Edge and Opera also name Chrome, and every one of them names Safari.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(agent: str) -> str:
    """A rough name of a browser, such as `Firefox on Windows`, by which a person recognises a session; "" where it is
    not known. It holds no version and nothing else of the header."""
    named = [next((name for mark, name in table if mark in agent), "") for table in (_BROWSERS, _SYSTEMS)]
    return " on ".join(filter(None, named))


def _redirect_page(path: str) -> str:
    address = html.escape(path, quote=True)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Signed in</title>'
        f'<meta http-equiv="refresh" content="0;url={address}"><p>Signed in. <a href="{address}">Go on</a></p></html>'
    )
