"""The OpenID provider: Authlib's server core, told what this house allows.

Promises the code flow with PKCE S256 (OpenID Connect Core 3.1, RFC 7636), client credentials, refresh tokens
that rotate, access tokens as RFC 9068 `at+jwt`, and `iss` in every authorization response (RFC 9207). Refuses
plain or missing PKCE, a code or refresh token used twice (which also ends everything issued from it, RFC 9700
section 4.14), and redirect addresses that are not registered to the letter. What reads or writes the store is called
inside `store.run`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode, OpenIDToken
from authlib.oidc.rpinitiated import EndSessionEndpoint
from joserfc.jwk import KeySet

from .exchange import Answer, Request
from .keys import ALGORITHM, Keys
from .models import AuthorizationCode, RefreshToken, SignIn, digest
from .people import Client
from .settings import IdentitySettings
from .store import Store

# Authlib is untyped: its base classes and hooks are Any for mypy, hence the `misc` ignores below.


class _CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    server: Provider

    def save_authorization_code(self, code: str, request: Request) -> None:
        store, settings = self.server.store, self.server.settings
        data, now = request.payload.data, store.now()
        sign_in: SignIn = request.user
        sign_in.client_id = request.client.client_id
        sign_in.scope, sign_in.nonce = request.scope, data.get("nonce")
        sign_in.expires = now + settings.code_seconds + settings.access_token_seconds
        kept = AuthorizationCode(
            digest=digest(code),
            sign_in=sign_in,
            redirect_uri=data["redirect_uri"],
            code_challenge=data["code_challenge"],
            expires=now + settings.code_seconds,
        )
        store.sweep()
        store.add(sign_in, kept)

    def query_authorization_code(self, code: str, client: Client) -> AuthorizationCode | None:
        store = self.server.store
        found = store.find(AuthorizationCode, code)
        if found is None or found.sign_in.client_id != client.client_id:
            return None
        if found.used:
            found.sign_in.ended = True
            return None
        return None if found.sign_in.ended or found.expires < store.now() else found

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        authorization_code.used = True

    def authenticate_user(self, authorization_code: AuthorizationCode) -> SignIn:
        return authorization_code.sign_in


class _RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    server: Provider
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        store = self.server.store
        found = store.find(RefreshToken, refresh_token)
        if found is None:
            return None
        if found.used and found.check_client(self.request.client):
            found.sign_in.ended = True
        return None if found.used or found.sign_in.ended or found.expires < store.now() else found

    def authenticate_user(self, refresh_token: RefreshToken) -> SignIn:
        return refresh_token.sign_in

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        refresh_token.used = True


class _ClientGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


class _Pkce(CodeChallenge):  # type: ignore[misc]
    def validate_code_challenge(self, grant: Any, redirect_uri: str | None) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge'")
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("'code_challenge_method' must be S256")
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDToken):  # type: ignore[misc]
    def __init__(self, settings: IdentitySettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys

    def resolve_client_private_key(self, client: Client) -> KeySet:
        return self._keys.private

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": ALGORITHM, "typ": "JWT", "kid": self._keys.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self._settings.issuer, "aud": client.client_id}

    def generate_user_info(self, user: SignIn, scope: str) -> dict[str, Any]:
        return {
            "sub": user.sub,
            "name": user.person.name,
            "sid": user.sid,
            "auth_time": user.auth_time,
        }


class _IdTokenWithCode(_IdToken, OpenIDCode):  # type: ignore[misc]
    require_nonce = False

    def exists_nonce(self, nonce: str, request: Request) -> bool:
        # Seeing a nonce twice is the client's to judge; refusing it here would break the Back button.
        return False


class _AccessTokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    def __init__(self, settings: IdentitySettings, keys: Keys) -> None:
        super().__init__(
            settings.issuer,
            alg=ALGORITHM,
            refresh_token_generator=lambda **_: secrets.token_urlsafe(32),
            expires_generator=settings.access_token_seconds,
        )
        self._settings = settings
        self._keys = keys

    def get_jwks(self) -> KeySet:
        return self._keys.private

    def get_audiences(self, client: Client, user: SignIn | None, scope: str) -> str:
        return self._settings.audience

    def get_extra_claims(
        self, client: Client, grant_type: str, user: SignIn | None, scope: str
    ) -> dict[str, Any]:
        return {} if user is None else {"name": user.person.name, "sid": user.sid}


class _Issuer(IssuerParameter):  # type: ignore[misc]
    def __init__(self, server: Provider) -> None:
        self._server = server
        super().__call__(server)

    def get_issuer(self) -> str:
        return self._server.settings.issuer


class _EndSession(EndSessionEndpoint):  # type: ignore[misc]
    server: Provider

    def get_server_jwks(self) -> KeySet:
        return self.server.keys.private

    def get_algorithms(self) -> list[str]:
        return [ALGORITHM]

    def is_post_logout_redirect_uri_legitimate(self, *_: object) -> bool:
        # No session lives here, so a forged request ends nothing; the address is registered to the letter.
        return True

    def end_session(self, end_session_request: Any) -> None:
        claims = end_session_request.id_token_claims or {}
        if sid := claims.get("sid"):
            self.server.store.end(str(sid))


class Provider(AuthorizationServer):  # type: ignore[misc]
    """Authlib's core with this house's grants."""

    def __init__(
        self, settings: IdentitySettings, store: Store, keys: Keys, known: Mapping[str, Client]
    ) -> None:
        super().__init__()
        self.settings = settings
        self.store = store
        self.keys = keys
        self._known = known
        self.register_token_generator("default", _AccessTokens(settings, keys))
        self.register_grant(_CodeGrant, [_IdTokenWithCode(settings, keys), _Pkce(required=True)])
        self.register_grant(_RefreshGrant, [_IdToken(settings, keys)])
        self.register_grant(_ClientGrant)
        self.register_extension(_Issuer)
        self.register_endpoint(_EndSession)

    def query_client(self, client_id: str) -> Client | None:
        return self._known.get(client_id)

    def save_token(self, token: dict[str, Any], request: Request) -> None:
        if refresh := token.get("refresh_token"):
            sign_in: SignIn = request.user
            expires = self.store.now() + self.settings.refresh_token_seconds
            scope = token["scope"]
            self.store.add(
                RefreshToken(digest=digest(refresh), sign_in=sign_in, scope=scope, expires=expires)
            )
            sign_in.expires = max(sign_in.expires, expires)

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """The core tells of what it did; nobody here listens."""

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def handle_response(
        self, status: int, body: str | dict[str, Any], headers: Sequence[tuple[str, str]]
    ) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body)
        return Answer(status, text, dict(headers))
