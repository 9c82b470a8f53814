"""Identity's OpenAPI 3.1 document. OAuth's endpoints take forms and answer redirects, so it is written, not derived; a
test holds it against the routes. The provider's metadata for clients is its discovery document."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_AUTHORIZE = {
    "response_type": "`code`",
    "client_id": "a registered client",
    "redirect_uri": "one of its registered addresses, to the letter",
    "scope": "`openid` and what else is asked for",
    "state": "given back as it came",
    "nonce": "given back in the ID token",
    "code_challenge": "PKCE, required",
    "code_challenge_method": "`S256`",
}
_LOGOUT = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")
_TOKEN = {
    "grant_type": {"enum": ["authorization_code", "refresh_token", "client_credentials"]},
    **{name: {} for name in ("code", "redirect_uri", "code_verifier", "refresh_token", "scope")},
}


def _answer(description: str, media: str | None = "application/json", schema: Schema | None = None) -> Schema:
    content = {} if media is None else {"content": {media: {"schema": schema or _OBJECT}}}
    return {"description": description, **content}


def _form(fields: dict[str, Schema], *required: str) -> Schema:
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {k: _TEXT | v for k, v in fields.items()},
    }
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}


def _query(fields: dict[str, str], *optional: str) -> list[Schema]:
    return [
        {"name": name, "in": "query", "required": name not in optional, "description": why, "schema": _TEXT}
        for name, why in fields.items()
    ]


def _page(summary: str, **more: Any) -> Schema:
    page = _answer("A page, or one that says why not", "text/html", _TEXT)
    back = _answer("Back to the client, with the answer or the error", None)
    return {"summary": summary, "responses": {"200": page, "302": back, "400": page}, **more}


def document(issuer: str) -> Schema:
    """The whole document. issuer: where it is served."""
    problem = _answer("A problem (RFC 9457)", "application/problem+json")
    refused = _answer("An OAuth error (RFC 6749 section 5.2)")
    userinfo = {
        "summary": "Who a live access token is",
        "security": [{"token": []}],
        "responses": {"200": _answer("sub and name"), "401": problem},
    }
    logout = _page("End the sign-in at this provider")
    told = {"responses": {"200": _answer("The document")}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "identity",
            "version": "1.0.0",
            "summary": "Signs people in and gives services their tokens",
            "contact": {"name": "Identity"},
            "x-contact": "#identity",
        },
        "servers": [{"url": issuer}],
        "paths": {
            "/.well-known/openid-configuration": {"get": {"summary": "OpenID Connect discovery", **told}},
            "/.well-known/oauth-authorization-server": {
                "get": {"summary": "The same for OAuth (RFC 8414)", **told}
            },
            "/jwks.json": {"get": {"summary": "The public signing keys", **told}},
            "/authorize": {
                "get": _page("Ask who it is", parameters=_query(_AUTHORIZE, "state", "nonce")),
                "post": _page(
                    "Say who it is", requestBody=_form({"person": {}, "csrf": {}}, "person", "csrf")
                ),
            },
            "/token": {
                "post": {
                    "summary": "Redeem a code or a refresh token, or sign a service in",
                    "security": [{"client": []}],
                    "requestBody": _form(_TOKEN, "grant_type"),
                    "responses": {"200": _answer("Tokens"), "400": refused, "401": refused, "415": problem},
                }
            },
            "/userinfo": {"get": userinfo, "post": userinfo},
            "/logout": {
                "get": {
                    **logout,
                    "parameters": _query(dict.fromkeys(_LOGOUT, "RP-initiated logout"), *_LOGOUT),
                },
                "post": {**logout, "requestBody": _form({name: {} for name in _LOGOUT})},
            },
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "client": {"type": "http", "scheme": "basic"},
            }
        },
    }
