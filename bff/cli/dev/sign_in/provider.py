"""What the development sign-in decides: who may have which token. No HTTP: `app.py` has the endpoints.

Guarantees the code flow with PKCE S256 (RFC 6749, RFC 7636), single-use codes and rotating refresh tokens whose reuse
ends the sign-in (RFC 9700 section 4.14), client credentials, and redirect addresses compared to the letter. Refuses
plain or missing PKCE, parameters that are there twice, and scopes that a client or a person does not have.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

from .faults import Faults
from .people import PeopleFile, Person
from .settings import CLIENT_ID, SignInSettings
from .state import SignIn, State, digest
from .tokens import TokenIssuer

Pairs = Sequence[tuple[str, str]]
MOST_QUERY = 4 * 1024
"""Bytes of the query of an authorization request."""
PUSHED_SECONDS = 90
PUSHED = "urn:ietf:params:oauth:request_uri:"
# What everybody is granted who asks for it.
_COMMON = ("openid", "profile", "email", "offline_access")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Untrusted(Exception):
    """An authorization or logout request that is answered with a page and never with a redirect. The text is for the
    person."""


class OAuthError(Exception):
    """An error of RFC 6749 section 5.2. status: of the HTTP answer."""

    def __init__(self, error: str, description: str = "", *, status: int = 400) -> None:
        super().__init__(description or error)
        self.error, self.description, self.status = error, description, status

    @property
    def fields(self) -> dict[str, str]:
        """`error` and, where there is one, `error_description`."""
        return {"error": self.error} | ({"error_description": self.description} if self.description else {})


class Refused(Exception):
    """An authorization request that is refused at the client. location: where the browser is sent."""

    def __init__(self, location: str) -> None:
        super().__init__("the request is refused")
        self.location = location


@dataclass(frozen=True, slots=True)
class Client:
    """A program that authenticates. own: it may get tokens for itself, with these scopes; else people sign in to it."""

    id: str
    secret: str
    own: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A checked authorization request. pushed: its request_uri (RFC 9126), where it came by one."""

    redirect_uri: str
    scope: str
    challenge: str
    state: str | None = None
    nonce: str | None = None
    acr: str | None = None
    hint: str | None = None
    pushed: str | None = None


class Provider:
    """The decisions; the state, the people and the tokens are handed in."""

    def __init__(
        self, settings: SignInSettings, state: State, people: PeopleFile, tokens: TokenIssuer, faults: Faults
    ) -> None:
        self.settings, self.state, self.people, self.tokens = settings, state, people, tokens
        self._faults = faults
        self._redirect_uri = f"{settings.public_url}/bff/callback"
        self._return_uris = (f"{settings.public_url}/", settings.public_url)

    def metadata(self) -> dict[str, Any]:
        """The discovery document (OpenID Connect Discovery 1.0, RFC 8414)."""
        issuer = self.settings.issuer
        methods = ["client_secret_basic", "client_secret_post"]
        scopes = self.people.now().scopes
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "pushed_authorization_request_endpoint": f"{issuer}/par",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "introspection_endpoint": f"{issuer}/introspect",
            "revocation_endpoint": f"{issuer}/revoke",
            "end_session_endpoint": f"{issuer}/logout",
            "jwks_uri": f"{issuer}/jwks.json",
            "scopes_supported": list(dict.fromkeys((*_COMMON, *(scopes or ())))),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["login", "select_account"],
            "claims_supported": [
                "iss",
                "sub",
                "aud",
                "exp",
                "iat",
                "auth_time",
                "nonce",
                "acr",
                "name",
                "roles",
                "sid",
            ],
            "authorization_response_iss_parameter_supported": True,
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
        }

    # ---- the front channel -------------------------------------------------------------------------------------

    def authorization_request(self, query: str) -> AuthorizationRequest:
        """Check a request of a browser. Raises Untrusted or Refused."""
        pairs = _pairs(query)
        given = dict(pairs)
        uri = given.get("request_uri")
        if uri is not None:
            pushed = self.state.pushed(uri) if uri.startswith(PUSHED) else None
            if pushed is None or given.get("client_id") != CLIENT_ID:
                raise Untrusted("This sign-in was used already, or it was begun too long ago.")
            pairs = _pairs(pushed)
            given = dict(pairs)
        self._check_client(pairs)
        redirect_uri, state = given["redirect_uri"], given.get("state")
        try:
            return self._checked(pairs, redirect_uri, state, uri)
        except OAuthError as error:
            raise Refused(self._back(redirect_uri, state, error.fields)) from None

    def _check_client(self, pairs: Pairs) -> None:
        given = dict(pairs)
        names = [name for name, _ in pairs]
        known = given.get("client_id") == CLIENT_ID and given.get("redirect_uri") == self._redirect_uri
        if not known or names.count("client_id") > 1 or names.count("redirect_uri") > 1:
            # Nothing of the request is shown: a link could bring any text.
            raise Untrusted(
                "The program that sent you here is unknown, or the address it gave is not registered."
            )

    def _checked(
        self, pairs: Pairs, redirect_uri: str, state: str | None, uri: str | None
    ) -> AuthorizationRequest:
        given = dict(pairs)
        if len(given) != len(pairs):
            raise OAuthError("invalid_request", "a parameter is there twice")
        if given.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", "response_type must be code")
        if given.get("response_mode", "query") != "query":
            raise OAuthError("invalid_request", "response_mode must be query")
        challenge = given.get("code_challenge", "")
        if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
            raise OAuthError(
                "invalid_request", "PKCE is required: code_challenge with code_challenge_method S256"
            )
        scope = _scopes(given.get("scope", ""))
        allowed = self.people.now().scopes
        if allowed is not None and not set(scope) <= {*allowed, *_COMMON}:
            raise OAuthError("invalid_scope", "this client may not ask for one of these scopes")
        if "none" in given.get("prompt", "").split():
            raise OAuthError("login_required", "a person must be picked")
        acr = given.get("acr_values", "").split()
        return AuthorizationRequest(
            redirect_uri=redirect_uri,
            scope=" ".join(scope),
            challenge=challenge,
            state=state,
            nonce=given.get("nonce"),
            acr=acr[0] if acr else None,
            hint=given.get("login_hint"),
            pushed=uri,
        )

    def sign_in(self, request: AuthorizationRequest, person: Person | None) -> str:
        """Where to send the browser once a person was picked; None: they cancelled. Raises Untrusted."""
        if request.pushed is not None and not self.state.use_pushed(request.pushed):
            raise Untrusted("This sign-in was used already, or it was begun too long ago.")
        if person is None:
            refusal = {"error": "access_denied", "error_description": "the person cancelled"}
            return self._back(request.redirect_uri, request.state, refusal)
        now, code = self.state.now(), secrets.token_urlsafe(32)
        granted = [
            scope
            for scope in request.scope.split()
            if person.scopes is None or scope in _COMMON or scope in person.scopes
        ]
        self.state.add(
            SignIn(
                sid=secrets.token_urlsafe(18),
                sub=person.sub,
                scope=" ".join(granted),
                nonce=request.nonce,
                acr=request.acr,
                auth_time=now,
                expires=now + self.settings.refresh_seconds,
                code=digest(code),
                code_expires=now + self.settings.code_seconds,
                redirect_uri=request.redirect_uri,
                challenge=request.challenge,
            )
        )
        return self._back(request.redirect_uri, request.state, {"code": code})

    def _back(self, redirect_uri: str, state: str | None, fields: Mapping[str, str]) -> str:
        answer = {**fields, **({} if state is None else {"state": state}), "iss": self.settings.issuer}
        return f"{redirect_uri}?{urlencode(answer)}"

    def logout(self, pairs: Pairs) -> tuple[str | None, SignIn | None]:
        """RP-initiated logout: where to send the browser (None: nowhere), and the sign-in that ended. Raises
        Untrusted for a hint that was not issued here."""
        given = dict(pairs)
        client, ended = given.get("client_id"), None
        if (hint := given.get("id_token_hint")) is not None:
            claims = self.tokens.read(hint, "JWT")
            if claims is None or client not in (None, claims.get("aud")):
                raise Untrusted("It was not issued here.")
            client = str(claims.get("aud"))
            one = self.state.by_sid(str(claims.get("sid")))
            ended = one if one is not None and self.state.end(one.sid) else None
        back = given.get("post_logout_redirect_uri")
        if client != CLIENT_ID or back is None or back not in self._return_uris:
            return None, ended
        state = given.get("state")
        return back if state is None else f"{back}?{urlencode({'state': state})}", ended

    # ---- programs ------------------------------------------------------------------------------------------------

    def authenticate(self, header: str | None, form: Mapping[str, str]) -> Client:
        """The client of a request, by `client_secret_basic` or `client_secret_post` (RFC 6749 section 2.3.1). Raises
        OAuthError."""
        if header is not None:
            if "client_secret" in form:
                raise OAuthError("invalid_request", "the client authenticates in two ways")
            client_id, secret = _basic(header)
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        client = self._client(client_id)
        expected = client.secret if client is not None else secrets.token_hex()
        if client is None or not hmac.compare_digest(expected.encode(), secret.encode(errors="replace")):
            raise OAuthError("invalid_client", "the client is unknown or its secret is wrong", status=401)
        return client

    def _client(self, client_id: str) -> Client | None:
        if client_id == CLIENT_ID:
            return Client(CLIENT_ID, self.settings.client_secret)
        for one in self.people.now().clients:
            if one.id == client_id:
                return Client(one.id, os.environ.get(one.secret_env) or secrets.token_hex(), one.scopes)
        return None

    def push(self, client: Client, pairs: Pairs) -> dict[str, Any]:
        """A pushed authorization request (RFC 9126 section 2). Raises OAuthError."""
        sent = [(name, value) for name, value in pairs if name != "client_secret"]
        given = {"client_id": client.id, **dict(sent)}
        if client.id != CLIENT_ID or given["client_id"] != CLIENT_ID or "request_uri" in given:
            raise OAuthError("invalid_request", "this client may not push this request")
        if given.get("redirect_uri") != self._redirect_uri:
            raise OAuthError("invalid_request", "redirect_uri is not registered")
        self._checked(sent, self._redirect_uri, None, None)
        uri = PUSHED + secrets.token_urlsafe(32)
        self.state.push(uri, urlencode(given), PUSHED_SECONDS)
        return {"request_uri": uri, "expires_in": PUSHED_SECONDS}

    def grant(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer of the token endpoint. Raises OAuthError."""
        kind = form.get("grant_type")
        if kind not in ("authorization_code", "refresh_token", "client_credentials"):
            raise OAuthError("unsupported_grant_type" if kind else "invalid_request")
        if (kind == "client_credentials") != (client.own is not None):
            raise OAuthError("unauthorized_client", f"this client may not use {kind}")
        if kind == "authorization_code":
            return self._by_code(form)
        if kind == "refresh_token":
            return self._by_refresh_token(form)
        asked = _scopes(form.get("scope") or " ".join(client.own or ()))
        if not set(asked) <= set(client.own or ()):
            raise OAuthError("invalid_scope", "this client does not have one of these scopes")
        return self.tokens.of_client(client.id, " ".join(asked))

    def _by_code(self, form: Mapping[str, str]) -> dict[str, Any]:
        verifier = form.get("code_verifier")
        if not form.get("code") or not verifier:
            raise OAuthError("invalid_request", "code and code_verifier are needed")
        one = self.state.by_code(form["code"])
        if one is None or one.ended or one.code_expires < self.state.now():
            raise OAuthError("invalid_grant", "the code is unknown or has expired")
        if one.code_used:
            self.state.end(one.sid)
            raise OAuthError("invalid_grant", "the code was used before")
        made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not hmac.compare_digest(made, one.challenge) or form.get("redirect_uri") != one.redirect_uri:
            raise OAuthError("invalid_grant", "the code belongs to another request")
        person = self.people.now().person(one.sub)
        if person is None or not self.state.use_code(one.sid):
            raise OAuthError("invalid_grant", "the code was used before")
        return self.tokens.of_person(one, person, nonce=True)

    def _by_refresh_token(self, form: Mapping[str, str]) -> dict[str, Any]:
        read = self.tokens.read_refresh_token(form.get("refresh_token", ""))
        one = self.state.by_sid(read[0]) if read is not None else None
        if read is None or one is None or one.ended or one.expires < self.state.now():
            raise OAuthError("invalid_grant", "the refresh token is unknown or has ended")
        if self._faults.strikes("revoked"):
            raise OAuthError("invalid_grant", "the fault `revoked` is switched on")
        scope = form.get("scope")
        if scope is not None and not set(_scopes(scope)) <= set(one.scope.split()):
            raise OAuthError("invalid_scope", "this was not granted")
        if read[1] != one.generation or not self.state.rotate(
            one.sid, one.generation, self.state.now() + self.settings.refresh_seconds
        ):
            self.state.end(one.sid)
            raise OAuthError("invalid_grant", "the refresh token was used before")
        person, rotated = self.people.now().person(one.sub), self.state.by_sid(one.sid)
        if person is None or rotated is None:
            raise OAuthError("invalid_grant", "this person is not there any more")
        return self.tokens.of_person(rotated, person, nonce=False, scope=scope)

    def live_claims(self, access_token: str) -> dict[str, Any] | None:
        """The claims of an access token that has neither expired nor been revoked."""
        claims = self.tokens.read(access_token, "at+jwt")
        if claims is None or claims["exp"] <= self.state.now() or self._faults.strikes("revoked"):
            return None
        if "sid" not in claims:
            return claims
        one = self.state.by_sid(claims["sid"])
        return claims if one is not None and not one.ended else None

    def userinfo(self, access_token: str) -> dict[str, Any] | None:
        """The claims of the person whose token this is; None without a live token for `openid`."""
        claims = self.live_claims(access_token)
        person = self.people.now().person(claims["sub"]) if claims is not None else None
        if claims is None or person is None or "sid" not in claims or "openid" not in claims["scope"].split():
            return None
        roles = {"roles": list(person.roles)} if person.roles else {}
        return {**person.claims, **roles, "sub": person.sub, "name": person.name}

    def introspect(self, token: str) -> dict[str, Any]:
        """What RFC 7662 section 2.2 says of a token."""
        claims = self.live_claims(token)
        if claims is not None:
            return {"active": True, "token_type": "Bearer", **claims}
        read = self.tokens.read_refresh_token(token)
        one = self.state.by_sid(read[0]) if read is not None else None
        if (
            read is None
            or one is None
            or one.ended
            or read[1] != one.generation
            or one.expires < self.state.now()
        ):
            return {"active": False}
        return {
            "active": True,
            "client_id": CLIENT_ID,
            "sub": one.sub,
            "scope": one.scope,
            "exp": one.expires,
        }

    def revoke(self, client: Client, token: str) -> None:
        """End the sign-in that a token of this client belongs to (RFC 7009 section 2.1); nothing for any other text."""
        claims = self.tokens.read(token, "at+jwt")
        if claims is not None and claims.get("client_id") == client.id and "sid" in claims:
            self.state.end(claims["sid"])
        read = self.tokens.read_refresh_token(token)
        if read is not None and client.id == CLIENT_ID:
            self.state.end(read[0])


def _pairs(query: str) -> Pairs:
    if len(query) > MOST_QUERY:
        raise Untrusted("The address is too long.")
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise Untrusted("The address is malformed.") from None


def _scopes(text: str) -> list[str]:
    """The scopes of a text, each once. Raises OAuthError for one that RFC 6749 section 3.3 does not allow."""
    scopes = list(dict.fromkeys(text.split(" "))) if text else []
    if not all(_SCOPE.fullmatch(scope) for scope in scopes):
        raise OAuthError("invalid_scope", "a scope is malformed")
    return scopes


def _basic(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    try:
        pair = base64.b64decode(value, validate=True).decode()
    except ValueError:
        pair = ""
    if scheme.lower() != "basic" or ":" not in pair:
        raise OAuthError("invalid_client", "the client's authentication cannot be read", status=401)
    client_id, _, secret = pair.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)
