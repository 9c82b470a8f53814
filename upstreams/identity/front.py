"""What people's browsers see of identity: authorize with its page, and logout.

Promises that a request which cannot be trusted (unknown client, unregistered address, a form from elsewhere) gets
a page and never a redirect; every other refusal goes back to the client with `error`, `state` and `iss`. Refuses
queries over 4 KiB.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from . import page
from .exchange import Answer, Consent, WebRequest
from .forms import COOKIE, FormTokens, browser_id
from .http import error_page, read_form, sent, show
from .people import Person, person
from .provider import Provider

MAX_QUERY = 4 * 1024

Pairs = Sequence[tuple[str, str]]


class Front:
    """The front channel over one provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.settings = provider.settings
        self.store = provider.store
        self.forms = FormTokens(provider.keys.form_secret, seconds=self.settings.choice_seconds)

    async def authorize(self, request: HttpRequest) -> Response:
        query = request.url.query
        if len(query) > MAX_QUERY:
            return error_page("This link does not work", "The address is too long.")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50, errors="strict")
        except ValueError:
            pairs = None
        if pairs is None or any("\0" in name + value for name, value in pairs):
            # PostgreSQL keeps no U+0000, and no honest client sends one.
            return error_page("This link does not work", "The address is malformed.")
        if request.method == "POST":
            return await self._chosen(request, query, pairs)
        return await self._ask(request, query, pairs)

    async def _ask(self, request: HttpRequest, query: str, pairs: Pairs) -> Response:
        try:
            grant = await run_in_threadpool(self._consent_grant, pairs)
        except OAuth2Error as error:
            return self._refused(error)
        browser = browser_id(request.cookies.get(COOKIE))
        html = page.who_are_you(
            action=f"/authorize?{query}",
            csrf=self.forms.sign(browser, query),
            client_name=grant.request.client.name,
        )
        response = show(html, form_target=grant.redirect_uri)
        response.set_cookie(
            COOKIE,
            browser,
            max_age=self.settings.choice_seconds,
            path="/authorize",
            secure=self.settings.issuer.startswith("https://"),
            httponly=True,
            samesite="lax",
        )
        return response

    async def _chosen(self, request: HttpRequest, query: str, pairs: Pairs) -> Response:
        form = dict(await read_form(request))
        if not self.forms.check(form.get("csrf", ""), request.cookies.get(COOKIE), query):
            return error_page(
                "This page is out of date", "It was opened too long ago, or your browser blocks cookies.", 403
            )
        chosen = form.get("person")
        who = person(chosen) if chosen else None
        if chosen is None or (chosen and who is None):
            return error_page("Nobody was chosen", "There is no such person here.")
        try:
            answer = await run_in_threadpool(self._authorize, pairs, who)
        except OAuth2Error as error:
            return self._refused(error)
        return sent(answer)

    def _consent_grant(self, pairs: Pairs) -> Any:  # Authlib's grant
        try:
            return self.provider.get_consent_grant(WebRequest("GET", query=pairs))
        except ValueError:
            # The core quotes the request in its errors and refuses characters that may not stand there.
            raise OAuth2Error(description="The request is malformed.", error="invalid_request") from None

    def _authorize(self, pairs: Pairs, who: Person | None) -> Answer:
        grant = self._consent_grant(pairs)
        with self.store.transaction():
            consent = None if who is None else Consent(who, secrets.token_urlsafe(18), self.store.now())
            answer: Answer = self.provider.create_authorization_response(grant.request, consent, grant)
            return answer

    def _refused(self, error: OAuth2Error) -> Response:
        if not error.redirect_uri:
            # Our words, not the core's: they quote the request, and the page would show any text a link brings.
            return error_page(
                "This sign-in cannot go on",
                "The program that sent you here is unknown, or the address it gave is not registered.",
            )
        answer: Answer = self.provider.handle_error_response(None, error)
        self.provider.execute_hook("after_create_authorization_response", answer)  # adds `iss`
        return sent(answer)

    async def logout(self, request: HttpRequest) -> Response:
        pairs = await read_form(request) if request.method == "POST" else request.query_params.multi_items()
        answer = await run_in_threadpool(self._logout, WebRequest(request.method, query=pairs))
        if answer is None:
            return show(page.signed_out())
        if answer.location is None:
            return error_page("This sign-out link does not work", "It was not issued here.")
        return sent(answer)

    def _logout(self, request: WebRequest) -> Answer | None:
        with self.store.transaction():
            try:
                answer: Answer | None = self.provider.create_endpoint_response("end_session", request)
            except ValueError:
                return Answer(400, "", {})
            return answer

    async def css(self, request: HttpRequest) -> Response:
        return Response(page.CSS, media_type="text/css", headers={"Cache-Control": "public, max-age=300"})
