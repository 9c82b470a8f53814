"""The development sign-in over HTTP: a Starlette application.

Guarantees that only requests for the hosts `localhost` and `127.0.0.1` are answered, so that a foreign name which
resolves to this machine reaches nothing (DNS rebinding); that no page of another site can switch a fault or sign
anybody in; that pages run no script and cannot be framed; and bodies of at most 16 KiB. Errors of the endpoints for
programs have the form of RFC 6749 section 5.2.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import pages
from .backchannel import BackchannelLogout
from .faults import FAULTS, FaultPlan, Faults
from .forms import COOKIE, Forms
from .people import PeopleFile
from .provider import Client, OAuthError, Provider, Refused, Untrusted
from .settings import SignInSettings
from .state import State
from .tokens import TokenIssuer

log = logging.getLogger("bff.sign_in")

MOST_BODY = 16 * 1024
NO_STORE = {"cache-control": "no-store"}
_HOST = re.compile(rb"(localhost|127\.0\.0\.1)(:[0-9]{1,5})?", re.I)
_FORM = "application/x-www-form-urlencoded"
_OVERVIEW = "overview"
Endpoint = Callable[[Request], Awaitable[Response]]
Act = Callable[[Client, Mapping[str, str]], "dict[str, Any] | None"]


def build(settings: SignInSettings, *, state: State | None = None) -> ASGIApp:
    """The application. state: None makes one as the settings say. Raises DeclarationError for people that cannot be
    read."""
    known = state or State(settings.state)
    faults = Faults()
    tokens = TokenIssuer(settings, known, faults)
    provider = Provider(settings, known, PeopleFile(settings.people), tokens, faults)
    return OnlyThisMachine(SignInApp(provider, faults).app)


class OnlyThisMachine:
    """Answers 421 to a request for any other host than `localhost` or `127.0.0.1`, on any port."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
                refusal = Response("Only localhost and 127.0.0.1 are answered here.", 421, NO_STORE)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class SignInApp:
    """The endpoints. app: the application that has them."""

    def __init__(self, provider: Provider, faults: Faults) -> None:
        settings = provider.settings
        self._provider, self._faults, self._settings = provider, faults, settings
        self._forms = Forms(provider.tokens.form_secret, settings.choice_seconds)
        self._logout: BackchannelLogout | None = None
        form = ["POST"]
        self.app = Starlette(
            routes=[
                Route("/", self._overview),
                Route("/switch", self._switch, methods=form),
                Route("/end", self._end, methods=form),
                Route("/pages.css", _css),
                Route("/livez", _alive),
                Route("/readyz", _alive),
                Route("/faults", self._plan, methods=["GET", "PUT", "DELETE"]),
                Route("/authorize", self._ask),
                Route("/authorize", self._choose, methods=form),
                Route("/logout", self._logged_out, methods=["GET", "POST"]),
                Route("/.well-known/openid-configuration", self._struck(self._discovery)),
                Route("/.well-known/oauth-authorization-server", self._struck(self._discovery)),
                Route("/jwks.json", self._struck(self._jwks)),
                Route("/par", self._of_client(self._pushed, 201), methods=form),
                Route("/token", self._of_client(self._granted), methods=form),
                Route("/introspect", self._of_client(self._introspected), methods=form),
                Route("/revoke", self._of_client(self._revoked), methods=form),
                Route("/userinfo", self._struck(self._userinfo), methods=["GET", "POST"]),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._logout = BackchannelLogout(self._settings.backchannel_logout_uri, self._provider.tokens)
        try:
            yield
        finally:
            await self._logout.close()
            self._provider.state.close()

    # ---- pages -----------------------------------------------------------------------------------------------

    async def _ask(self, request: Request) -> Response:
        query = request.url.query
        try:
            asked = self._provider.authorization_request(query)
        except Untrusted as error:
            return _failure("This sign-in cannot go on", str(error))
        except Refused as refused:
            return _redirect(refused.location)
        people, active = self._provider.people.now(), self._faults.state()["faults"]

        def page(csrf: str) -> str:
            return pages.who_are_you(
                people, action=f"/authorize?{query}", csrf=csrf, hint=asked.hint, faults=active
            )

        return self._with_form(request, query, page, form_target=self._settings.public_url)

    async def _choose(self, request: Request) -> Response:
        query, form = request.url.query, dict(await _form(request))
        if not self._is_own(request, form, query):
            return _out_of_date()
        chosen = form.get("person")
        person = self._provider.people.now().person(chosen) if chosen else None
        if chosen is None or (chosen and person is None):
            return _failure("Nobody was picked", "There is no such person here.")
        try:
            asked = self._provider.authorization_request(query)
            location = self._provider.sign_in(asked, person)
        except Untrusted as error:
            return _failure("This sign-in cannot go on", str(error))
        except Refused as refused:
            return _redirect(refused.location)
        if person is not None:
            log.info("%s was picked", person.sub)
        return _redirect(location)

    async def _logged_out(self, request: Request) -> Response:
        pairs = request.query_params.multi_items() if request.method == "GET" else await _form(request)
        try:
            back, ended = self._provider.logout(pairs)
        except Untrusted as error:
            return _failure("This sign-out link does not work", str(error))
        if ended is not None and self._logout is not None:
            self._logout.announce(ended)
        return _show(pages.signed_out()) if back is None else _redirect(back)

    async def _overview(self, request: Request) -> Response:
        settings = self._settings
        people, signed_in = self._provider.people.now(), self._provider.state.open()
        file = settings.people.name if settings.people is not None and settings.people.exists() else None

        def page(csrf: str) -> str:
            active = self._faults.state()["faults"]
            return pages.overview(
                people, signed_in, active, csrf=csrf, gateway=settings.public_url, file=file
            )

        return self._with_form(request, _OVERVIEW, page)

    async def _switch(self, request: Request) -> Response:
        form = dict(await _form(request))
        if not self._is_own(request, form, _OVERVIEW):
            return _out_of_date()
        name = form.get("fault", "")
        on = self._faults.state()["faults"]
        changed = [one for one in FAULTS if (one in on) != (one == name)]
        self._faults.set(FaultPlan(faults=tuple(changed)))
        return _redirect("/", 303)

    async def _end(self, request: Request) -> Response:
        form = dict(await _form(request))
        if not self._is_own(request, form, _OVERVIEW):
            return _out_of_date()
        one = self._provider.state.by_sid(form.get("sid", ""))
        if one is not None and self._provider.state.end(one.sid) and self._logout is not None:
            self._logout.announce(one)
        return _redirect("/", 303)

    def _with_form(
        self, request: Request, purpose: str, page: Callable[[str], str], *, form_target: str | None = None
    ) -> Response:
        browser = Forms.browser(request.cookies.get(COOKIE))
        now = self._provider.state.now()
        response = _show(page(self._forms.sign(browser, purpose, now)), form_target=form_target)
        secure = self._settings.issuer.startswith("https://")
        response.set_cookie(
            COOKIE, browser, max_age=self._forms.seconds, secure=secure, httponly=True, samesite="lax"
        )
        return response

    def _is_own(self, request: Request, form: Mapping[str, str], purpose: str) -> bool:
        now = self._provider.state.now()
        return _same_site(request) and self._forms.is_own(
            form.get("csrf", ""), request.cookies.get(COOKIE), purpose, now
        )

    # ---- faults ----------------------------------------------------------------------------------------------

    async def _plan(self, request: Request) -> Response:
        if request.method != "GET" and not _same_site(request):
            return Response("Another site's page may not use this.", 403, NO_STORE)
        if request.method == "DELETE":
            self._faults.set(FaultPlan())
        if request.method == "PUT":
            # No form and no simple request of another site has this type.
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return Response("Send JSON.", 415, NO_STORE)
            try:
                self._faults.set(FaultPlan.model_validate_json(await _body(request)))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                return JSONResponse({"error": first["msg"]}, 422, NO_STORE)
        return JSONResponse(self._faults.state(), headers=NO_STORE)

    def _struck(self, endpoint: Endpoint) -> Endpoint:
        async def struck(request: Request) -> Response:
            if await self._faults.strike():
                return JSONResponse({"error": "server_error"}, 500, NO_STORE)
            return await endpoint(request)

        return struck

    # ---- programs --------------------------------------------------------------------------------------------

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse(self._provider.metadata(), headers=NO_STORE)

    async def _jwks(self, request: Request) -> Response:
        return JSONResponse(self._provider.tokens.jwks, headers=NO_STORE)

    async def _userinfo(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._provider.userinfo(token) if scheme.lower() == "bearer" else None
        if found is None:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"', **NO_STORE}
            return JSONResponse({"error": "invalid_token"}, 401, challenge)
        return JSONResponse(found, headers=NO_STORE)

    def _of_client(self, act: Act, status: int = 200) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            pairs = await _form(request)
            form = dict(pairs)
            try:
                if len(form) != len(pairs):
                    raise OAuthError("invalid_request", "a field is there twice")
                client = self._provider.authenticate(request.headers.get("authorization"), form)
                answer = act(client, form)
            except OAuthError as error:
                challenge = {"www-authenticate": "Basic"} if error.status == 401 else {}
                return JSONResponse(error.fields, error.status, {**NO_STORE, **challenge})
            return Response(headers=NO_STORE) if answer is None else JSONResponse(answer, status, NO_STORE)

        return self._struck(endpoint)

    def _pushed(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        return self._provider.push(client, list(form.items()))

    def _granted(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        return self._provider.grant(client, form)

    def _introspected(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        return self._provider.introspect(form.get("token", ""))

    def _revoked(self, client: Client, form: Mapping[str, str]) -> None:
        self._provider.revoke(client, form.get("token", ""))


async def _css(request: Request) -> Response:
    return Response(pages.CSS, media_type="text/css", headers={"cache-control": "no-cache"})


async def _alive(request: Request) -> Response:
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise HTTPException(413, f"At most {MOST_BODY} bytes are read.")
    return body


async def _form(request: Request) -> list[tuple[str, str]]:
    """The fields of a urlencoded body, in order. Raises HTTPException."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415, "A urlencoded form is expected.")
    try:
        text = (await _body(request)).decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise HTTPException(400, "The form is malformed.") from None


def _same_site(request: Request) -> bool:
    """Whether it comes from a program, or from a page of this origin (Fetch Metadata)."""
    return all(site in ("same-origin", "none") for site in request.headers.getlist("sec-fetch-site"))


def _show(html: str, status: int = 200, *, form_target: str | None = None) -> Response:
    """A page. form_target: where its form may lead after us, because browsers hold redirects to `form-action`, too."""
    target = f" {form_target}" if form_target else ""
    policy = (
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        f"form-action 'self'{target}"
    )
    headers = {
        **NO_STORE,
        "content-security-policy": policy,
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
    }
    return HTMLResponse(html, status, headers)


def _failure(title: str, detail: str, status: int = 400) -> Response:
    return _show(pages.failure(title, detail), status)


def _out_of_date() -> Response:
    return _failure(
        "This page is out of date", "It was opened too long ago, or your browser blocks cookies.", 403
    )


def _redirect(location: str, status: int = 302) -> Response:
    return RedirectResponse(location, status, {**NO_STORE, "referrer-policy": "no-referrer"})
