"""Identity over HTTP: discovery, keys, tokens and userinfo; the pages are in `front.py`.

Promises OpenID Connect discovery that tells the truth about what is here, and OAuth errors as RFC 6749 section
5.2 shapes them. Refuses tokens of people whose sign-in has ended at userinfo, though they are not expired.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bff_service import Database
from bff_service.tokens import unauthorized
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from sqlalchemy import make_url
from starlette.responses import JSONResponse, Response

from upstreams.kit import shop_service

from . import exchange
from .exchange import NO_STORE, Answer
from .front import add_pages
from .http import form_of, read_form
from .keys import ALGORITHM, Keys
from .models import Base
from .people import clients
from .provider import Provider
from .settings import IdentitySettings
from .store import Store

_CACHED = {"Cache-Control": "public, max-age=300"}
_TOKEN = ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope")
_BEARER = HTTPBearer(bearerFormat="JWT", scheme_name="token", auto_error=False)


def build(settings: IdentitySettings) -> FastAPI:
    """The identity service on its own database."""
    _keep_private(settings.own_database_url)
    database = Database(settings.own_database_url, Base.metadata)
    store, keys = Store(database), Keys()
    provider = Provider(settings, store, keys, clients(settings))

    async def load_keys() -> None:
        await store.run(lambda: keys.load(store))

    app = shop_service(
        settings,
        database,
        prepare=load_keys,
        summary="Signs people in and gives services their tokens.",
    )

    @app.get("/.well-known/openid-configuration", summary="OpenID Connect discovery")
    @app.get(
        "/.well-known/oauth-authorization-server",
        name="oauth_discovery",
        summary="The same for OAuth (RFC 8414)",
    )
    async def discovery() -> JSONResponse:
        return JSONResponse(_metadata(settings.issuer), headers=_CACHED)

    @app.get("/jwks.json", summary="The public signing keys")
    async def jwks() -> JSONResponse:
        return JSONResponse(keys.jwks(), headers=_CACHED)

    def token_response(request: exchange.Request) -> Answer:
        answer: Answer = provider.create_token_response(request)
        return answer

    @app.post(
        "/token",
        summary="Redeem a code or a refresh token, or sign a service in",
        description="The client says who it is by `client_secret_basic` or `client_secret_post`.",
        responses={400: {"description": "An OAuth error (RFC 6749 section 5.2)"}},
        openapi_extra=form_of(*_TOKEN),
    )
    async def token(request: Request) -> Response:
        form = await read_form(request)
        names = [name for name, _ in form]
        headers = {name.title(): value for name, value in request.headers.items()}
        try:
            if len(names) != len(set(names)):
                raise ValueError("a field is there twice")
            return await store.run(lambda: token_response(exchange.Request("POST", headers, form=form)))
        except ValueError:
            return JSONResponse({"error": "invalid_request"}, 400, NO_STORE)

    def live_claims(access_token: str) -> dict[str, Any] | None:
        claims = keys.read(access_token)
        if claims is None or claims.get("aud") != settings.audience:
            return None
        sign_in = store.sign_in(str(claims.get("sid")))
        alive = sign_in is not None and not sign_in.ended and claims["exp"] > store.now()
        return claims if alive and "openid" in claims["scope"].split() else None

    @app.get("/userinfo", summary="Who a live access token is")
    @app.post("/userinfo", name="userinfo_by_post", summary="The same by POST")
    async def userinfo(request: Request, _described: Annotated[object, Depends(_BEARER)]) -> JSONResponse:
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        claims = await store.run(lambda: live_claims(access_token)) if scheme.lower() == "bearer" else None
        if claims is None:
            raise unauthorized("A live access token is needed.")
        return JSONResponse({"sub": claims["sub"], "name": claims.get("name")}, headers=NO_STORE)

    add_pages(app, provider)
    return app


def _keep_private(database_url: str) -> None:
    """The signing key is in a SQLite file: nobody else may read it."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        file = Path(url.database)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)


def _metadata(issuer: str) -> dict[str, Any]:
    return {
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
    }
