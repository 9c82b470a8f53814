"""Identity over HTTP: discovery, keys, tokens, userinfo and health; the pages are in `front.py`.

Promises OpenID Connect discovery that tells the truth about what is here, and OAuth errors as RFC 6749 section
5.2 shapes them. Refuses tokens of people whose sign-in has ended at userinfo, though they are not expired.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from bff_service import Problem, RequestContext
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from upstreams.kit.faults import Faults
from upstreams.kit.switches import Faulty, fault_routes

from .exchange import Answer, WebRequest
from .front import Front
from .http import NO_STORE, http_problem, problem, read_form, sent
from .keys import ALGORITHM, Keys
from .openapi import document
from .people import clients
from .provider import Provider
from .settings import IdentitySettings
from .store import Store


class Identity:
    """The provider behind its endpoints. Owns the store; leaving the app's lifespan closes it."""

    def __init__(self, settings: IdentitySettings) -> None:
        self.settings = settings
        self.store = Store(settings.own_database_url)
        self.keys = Keys(self.store)
        self.provider = Provider(settings, self.store, self.keys, clients(settings))
        self.front = Front(self.provider)
        self.faults = Faults()

    async def discovery(self, request: HttpRequest) -> Response:
        issuer = self.settings.issuer
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "end_session_endpoint": f"{issuer}/logout",
                "jwks_uri": f"{issuer}/jwks.json",
                "scopes_supported": ["openid", "profile", "offline_access", "shop", "saga", "operator"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
                "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "name", "sid"],
                "authorization_response_iss_parameter_supported": True,
            },
            headers={"Cache-Control": "public, max-age=300"},
        )

    async def jwks(self, request: HttpRequest) -> Response:
        return JSONResponse(self.keys.jwks(), headers={"Cache-Control": "public, max-age=300"})

    async def token(self, request: HttpRequest) -> Response:
        form = await read_form(request)
        names = [name for name, _ in form]
        if len(names) != len(set(names)):
            return JSONResponse({"error": "invalid_request"}, 400, NO_STORE)
        headers = {name.title(): value for name, value in request.headers.items()}
        answer = await run_in_threadpool(self._token, WebRequest("POST", headers, form=form))
        return sent(answer)

    def _token(self, request: WebRequest) -> Answer:
        with self.store.transaction():
            try:
                answer: Answer = self.provider.create_token_response(request)
            except ValueError:
                return Answer(
                    400, '{"error": "invalid_request"}', {"Content-Type": "application/json", **NO_STORE}
                )
            return answer

    async def userinfo(self, request: HttpRequest) -> Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        claims = await run_in_threadpool(self._live_claims, token) if scheme.lower() == "bearer" else None
        if claims is None:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return Problem(
                401, "unauthorized", "A live access token is needed.", headers=challenge
            ).response()
        return JSONResponse({"sub": claims["sub"], "name": claims.get("name")}, headers=NO_STORE)

    def _live_claims(self, token: str) -> dict[str, Any] | None:
        claims = self.keys.read(token)
        if claims is None or claims.get("aud") != self.settings.audience:
            return None
        sign_in = self.store.sign_in(str(claims.get("sid")))
        alive = sign_in is not None and not sign_in.ended and claims["exp"] > self.store.now()
        return claims if alive and "openid" in claims["scope"].split() else None

    async def openapi(self, request: HttpRequest) -> Response:
        return JSONResponse(document(self.settings.issuer))

    async def live(self, request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: HttpRequest) -> Response:
        try:
            await run_in_threadpool(self.store.ping)
        except SQLAlchemyError:
            return JSONResponse({"status": "failed", "checks": {"database": "failed"}}, 503)
        return JSONResponse({"status": "ok", "checks": {"database": "ok"}})

    def routes(self) -> list[Route]:
        """Every address there is."""
        return [
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/.well-known/oauth-authorization-server", self.discovery),
            Route("/jwks.json", self.jwks),
            Route("/authorize", self.front.authorize, methods=["GET", "POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/userinfo", self.userinfo, methods=["GET", "POST"]),
            Route("/logout", self.front.logout, methods=["GET", "POST"]),
            Route("/page.css", self.front.css),
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/openapi.json", self.openapi),
            *(fault_routes(self.faults) if self.settings.faults else ()),
        ]

    def app(self) -> ASGIApp:
        """The ASGI application; its lifespan closes the store."""

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            self.store.close()

        starlette = Starlette(
            routes=self.routes(),
            exception_handlers={HTTPException: http_problem, Problem: problem},
            lifespan=lifespan,
        )
        return RequestContext(Faulty(starlette, self.faults) if self.settings.faults else starlette)
