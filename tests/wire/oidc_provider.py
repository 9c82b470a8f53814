"""A small OpenID provider for tests: real keys, real code flow with PKCE, and wrong answers of every kind.

It signs in the one person without a question, unless `asks` is set: then it shows a page with a link first. `bend`
changes an ID token's claims, `answers` the redirect back to the client, `refreshed` the answer to a refresh.
`token_answer` gets the form and replaces the token endpoint. `authenticated` are claims of ID tokens about the
authentication; while `hangs` is not set, no token or revocation is answered.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.unit.edge.access.issuing import ec_key, jwk, sign

CLIENT, SECRET = "bff", "se:cret+/%"


class OidcProvider:
    """issuer: set once its address is known; life: seconds an access token is valid; takes: seconds a refresh takes."""

    def __init__(self, redirect_uri: str) -> None:
        self.issuer = ""
        self.redirect_uri = redirect_uri
        self.key = ec_key()
        self.signs_with = self.key
        self.life = 300
        self.takes = 0.05
        self.scope = "openid shop"
        self.subject = "ada"
        self.sid = "provider-session-1"
        self.bend: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.answers: Callable[[dict[str, str]], dict[str, str]] = lambda query: query
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh: set[str] = set()
        self.redeemed: list[str] = []
        self.token_status = 200
        self.token_answer: Callable[[dict[str, str]], Response] | None = None
        self.refreshed: dict[str, Any] = {}
        self.asks = False
        self.extra: dict[str, Any] = {}
        self.revoked: list[tuple[str, str]] = []
        self.authenticated: dict[str, Any] = {}
        self.hangs: asyncio.Event | None = None
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/keys", self.keys),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/revoke", self.revoke, methods=["POST"]),
            ]
        )

    async def discovery(self, request: Request) -> Response:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(
            {name: value for name, value in (document | self.extra).items() if value is not None}
        )

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [jwk(self.key, "p1", use="sig", alg="ES256")]})

    async def authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        good = (
            query.get("response_type") == "code"
            and query.get("client_id") == CLIENT
            and query.get("redirect_uri") == self.redirect_uri
            and query.get("code_challenge_method") == "S256"
            and len(query.get("code_challenge", "")) == 43
            and "openid" in query.get("scope", "").split()
            and query.get("nonce")
        )
        if not good:
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        answer = self.answers({"code": code, "state": query["state"], "iss": self.issuer})
        back = f"{self.redirect_uri}?{urlencode(answer)}"
        if self.asks:
            return HTMLResponse(f'<!doctype html><a href="{html.escape(back)}">Sign in as Ada</a>')
        return RedirectResponse(back, 303)

    async def revoke(self, request: Request) -> Response:
        if self.hangs is not None:
            await self.hangs.wait()
        form = await _form(request)
        self.revoked.append((form["token"], form["token_type_hint"]))
        return Response()

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        if self.hangs is not None:
            await self.hangs.wait()
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        # RFC 6749 section 2.3.1: inside Basic, the secret is form-encoded.
        expected = f"{CLIENT}:se%3Acret%2B%2F%25"
        if scheme != "Basic" or base64.b64decode(pair).decode() != expected:
            return JSONResponse({"error": "invalid_client"}, 401)
        if self.token_answer is not None:
            return self.token_answer(form)
        if self.token_status != 200:
            return JSONResponse({"error": "server_error"}, self.token_status)
        if form["grant_type"] == "refresh_token":
            await asyncio.sleep(self.takes)
            self.redeemed.append(form["refresh_token"])
            if form["refresh_token"] not in self.refresh:
                return JSONResponse({"error": "invalid_grant"}, 400)
            self.refresh.discard(form["refresh_token"])
            return JSONResponse(self._tokens() | self.refreshed)
        begun = self.codes.pop(form["code"], None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            begun is None
            or form.get("redirect_uri") != self.redirect_uri
            or base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != begun["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            self._tokens() | {"id_token": self.id_token(nonce=begun["nonce"], **self.authenticated)}
        )

    def id_token(self, **claims: Any) -> str:
        now = int(time.time())
        good = {"iss": self.issuer, "sub": self.subject, "aud": CLIENT, "iat": now, "exp": now + 60}
        good |= {"sid": self.sid, "name": "Ada", "email": "ada@shop.test", **claims}
        return sign(self.signs_with, self.bend(good), kid="p1", typ="JWT")

    def logout_token(self, *, typ: str | None = "logout+jwt", **changes: Any) -> str:
        now = int(time.time())
        good: dict[str, Any] = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60}
        good |= {"jti": secrets.token_hex(8), "sid": self.sid}
        good |= {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, **changes}
        claims = {name: value for name, value in good.items() if value is not ...}
        return sign(self.signs_with, claims, kid="p1", typ=typ)

    def _tokens(self) -> dict[str, Any]:
        refresh = secrets.token_urlsafe(16)
        self.refresh.add(refresh)
        return {
            "access_token": f"access-{len(self.redeemed)}",
            "token_type": "bearer",
            "expires_in": self.life,
            "refresh_token": refresh,
            "scope": self.scope,
        }


async def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}


def readable(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims
