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
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response

from . import exchange, page
from .exchange import Answer
from .forms import COOKIE, browser_id, is_own_form, sign_form
from .http import error_page, form_of, query_of, read_form, show
from .models import SignIn
from .people import Person, person
from .provider import Provider

MAX_QUERY = 4 * 1024
AUTHORIZE = query_of(
    response_type="`code`",
    client_id="a registered client",
    redirect_uri="one of its registered addresses, to the letter",
    scope="`openid` and what else is asked for",
    state="given back as it came",
    nonce="given back in the ID token",
    code_challenge="PKCE, required",
    code_challenge_method="`S256`",
)
LOGOUT = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")
# FastAPI's own type of what an endpoint may answer.
ANSWERS: dict[int | str, dict[str, Any]] = {
    302: {"description": "Back to the client, with the answer or the error"},
    400: {
        "description": "A page that says why not",
        "content": {"text/html": {"schema": {"type": "string"}}},
    },
}

Pairs = Sequence[tuple[str, str]]


class _Malformed(Exception):
    """The query cannot be read; the text says why."""


def add_pages(app: FastAPI, provider: Provider) -> None:
    """Add the front channel of the provider."""
    settings, store, keys = provider.settings, provider.store, provider.keys

    def consent_grant(pairs: Pairs) -> Any:  # Authlib's grant
        try:
            return provider.get_consent_grant(exchange.Request("GET", query=pairs))
        except ValueError:
            # The core quotes the request in its errors and refuses characters that may not stand there.
            raise OAuth2Error(description="The request is malformed.", error="invalid_request") from None

    def authorized(pairs: Pairs, who: Person | None) -> Answer:
        grant = consent_grant(pairs)
        user = None
        if who is not None:
            user = SignIn(sid=secrets.token_urlsafe(18), sub=who.sub, auth_time=store.now())
        answer: Answer = provider.create_authorization_response(grant.request, user, grant)
        return answer

    def refused(error: OAuth2Error) -> Response:
        if not error.redirect_uri:
            # Our words, not the core's: they quote the request, and the page would show any text a link brings.
            return error_page(
                "This sign-in cannot go on",
                "The program that sent you here is unknown, or the address it gave is not registered.",
            )
        answer: Answer = provider.handle_error_response(None, error)
        provider.execute_hook("after_create_authorization_response", answer)  # adds `iss`
        return answer

    @app.get(
        "/authorize",
        summary="Ask who it is",
        response_class=HTMLResponse,
        responses=ANSWERS,
        openapi_extra=AUTHORIZE,
    )
    async def ask(request: Request) -> Response:
        query = request.url.query
        try:
            grant = consent_grant(_pairs(query))
        except _Malformed as error:
            return error_page("This link does not work", str(error))
        except OAuth2Error as error:
            return refused(error)
        browser = browser_id(request.cookies.get(COOKIE))
        html = page.who_are_you(
            action=f"/authorize?{query}",
            csrf=sign_form(keys.form_secret, browser, query, seconds=settings.choice_seconds),
            client_name=grant.request.client.name,
        )
        response = show(html, form_target=grant.redirect_uri)
        response.set_cookie(
            COOKIE,
            browser,
            max_age=settings.choice_seconds,
            path="/authorize",
            secure=settings.issuer.startswith("https://"),
            httponly=True,
            samesite="lax",
        )
        return response

    @app.post(
        "/authorize",
        summary="Say who it is",
        response_class=HTMLResponse,
        responses=ANSWERS,
        openapi_extra=form_of("person", "csrf"),
    )
    async def choose(request: Request) -> Response:
        query = request.url.query
        try:
            pairs = _pairs(query)
        except _Malformed as error:
            return error_page("This link does not work", str(error))
        form = dict(await read_form(request))
        if not is_own_form(keys.form_secret, form.get("csrf", ""), request.cookies.get(COOKIE), query):
            return error_page(
                "This page is out of date", "It was opened too long ago, or your browser blocks cookies.", 403
            )
        chosen = form.get("person")
        who = person(chosen) if chosen else None
        if chosen is None or (chosen and who is None):
            return error_page("Nobody was chosen", "There is no such person here.")
        try:
            return await store.run(lambda: authorized(pairs, who))
        except OAuth2Error as error:
            return refused(error)

    async def logged_out(request: exchange.Request) -> Response:
        try:
            answer: Answer | None = await store.run(
                lambda: provider.create_endpoint_response("end_session", request)
            )
        except ValueError:
            answer = Answer(400, "", {})
        if answer is None:
            return show(page.signed_out())
        if answer.location is None:
            return error_page("This sign-out link does not work", "It was not issued here.")
        return answer

    @app.get(
        "/logout",
        summary="End the sign-in at this provider",
        response_class=HTMLResponse,
        responses=ANSWERS,
        openapi_extra=query_of(**dict.fromkeys(LOGOUT, "RP-initiated logout")),
    )
    async def logout(request: Request) -> Response:
        return await logged_out(exchange.Request("GET", query=request.query_params.multi_items()))

    @app.post(
        "/logout",
        summary="The same by a form",
        response_class=HTMLResponse,
        responses=ANSWERS,
        openapi_extra=form_of(*LOGOUT),
    )
    async def logout_by_form(request: Request) -> Response:
        return await logged_out(exchange.Request("POST", query=await read_form(request)))

    @app.get("/page.css", include_in_schema=False)
    async def css() -> Response:
        headers = {"Cache-Control": "public, max-age=300"}
        return Response(page.CSS, media_type="text/css", headers=headers)


def _pairs(query: str) -> Pairs:
    if len(query) > MAX_QUERY:
        raise _Malformed("The address is too long.")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise _Malformed("The address is malformed.") from None
    if any("\0" in name + value for name, value in pairs):
        # PostgreSQL keeps no U+0000, and no honest client sends one.
        raise _Malformed("The address is malformed.")
    return pairs
