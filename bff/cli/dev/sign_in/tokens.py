"""The tokens that the development sign-in issues, and the key that signs them.

Guarantees access tokens as RFC 9068 `at+jwt`, ID tokens (OpenID Connect Core section 2) and logout tokens (Back-Channel
Logout 1.0 section 2.4), all ES256 with one key; the same key after a restart where the state is in a file. Refuses any
other algorithm. Faults change what is issued, as `faults.py` says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from .faults import GROUPS, Faults
from .people import Person
from .settings import CLIENT_ID, SignInSettings
from .state import SignIn, State

ALGORITHM = "ES256"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_SECONDS = 120
"""Lifetime of a logout token (Back-Channel Logout 1.0 section 2.4)."""
# A token that is issued under the fault `expired` expired so many seconds ago: more than clocks may differ.
_AGO = 60


class TokenIssuer:
    """Issues and reads tokens."""

    def __init__(self, settings: SignInSettings, state: State, faults: Faults) -> None:
        self._settings, self._state, self._faults = settings, state, faults
        pem = state.secret("signing-key", _new_pem)
        self._key = cast(ec.EllipticCurvePrivateKey, load_pem_private_key(pem.encode(), None))
        self._unpublished = ec.generate_private_key(ec.SECP256R1())
        self._secret = state.secret("secret", lambda: secrets.token_hex(32)).encode()
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.kid = _thumbprint(public)
        self.jwks: Mapping[str, Any] = {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}]}
        """The published keys (RFC 7517)."""

    @property
    def form_secret(self) -> bytes:
        """Signs the forms of pages."""
        return hashlib.sha256(b"forms" + self._secret).digest()

    # ---- issuing ---------------------------------------------------------------------------------------------

    def of_person(
        self, one: SignIn, person: Person, *, nonce: bool, scope: str | None = None
    ) -> dict[str, Any]:
        """What the token endpoint answers for a sign-in. nonce: whether this is its first answer; scope: a part of what
        was granted."""
        granted = scope or one.scope
        about = {"name": person.name, "sid": one.sid, "auth_time": one.auth_time}
        if one.acr is not None:
            about["acr"] = one.acr
        if person.roles:
            about["roles"] = list(person.roles)
        if self._faults.strikes("huge-groups"):
            about["groups"] = [str(uuid.UUID(int=number)) for number in range(GROUPS)]
        access, lifetime = self._access(one.sub, CLIENT_ID, granted, about)
        answer = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "refresh_token": self.refresh_token(one.sid, one.generation),
            "scope": granted,
        }
        if "openid" in one.scope.split():
            half = hashlib.sha256(access.encode()).digest()[:16]
            claims = {**person.claims, **about, "sub": one.sub, "aud": CLIENT_ID, "at_hash": _base64url(half)}
            if nonce and one.nonce is not None:
                claims["nonce"] = one.nonce
            answer["id_token"] = self._sign("JWT", claims, self._settings.access_seconds)
        return answer

    def of_client(self, client_id: str, scope: str) -> dict[str, Any]:
        """What the token endpoint answers to a program that acts for itself."""
        access, lifetime = self._access(client_id, client_id, scope, {})
        return {"access_token": access, "token_type": "Bearer", "expires_in": lifetime, "scope": scope}

    def logout_token(self, one: SignIn) -> str:
        """Says to the gateway that this sign-in has ended."""
        claims = {"sub": one.sub, "sid": one.sid, "aud": CLIENT_ID, "jti": secrets.token_urlsafe(12)}
        return self._sign("logout+jwt", {**claims, "events": {LOGOUT_EVENT: {}}}, LOGOUT_SECONDS)

    def refresh_token(self, sid: str, generation: int) -> str:
        """The refresh token of this generation."""
        named = f"{sid}.{generation}"
        return f"{named}.{_base64url(hmac.digest(self._secret, named.encode(), 'sha256'))}"

    def _access(self, sub: str, client_id: str, scope: str, about: Mapping[str, Any]) -> tuple[str, int]:
        claims = {"sub": sub, "aud": self._settings.audience, "client_id": client_id, "scope": scope}
        lifetime = self._settings.access_seconds
        return self._sign("at+jwt", {**claims, "jti": secrets.token_urlsafe(12), **about}, lifetime), lifetime

    def _sign(self, kind: str, claims: Mapping[str, Any], seconds: int) -> str:
        now = self._state.now()
        issued = now - seconds - _AGO if self._faults.strikes("expired") else now
        key = self._unpublished if self._faults.strikes("wrong-key") else self._key
        payload = {"iss": self._settings.issuer, **claims, "iat": issued, "exp": issued + seconds}
        return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": self.kid, "typ": kind})

    # ---- reading ---------------------------------------------------------------------------------------------

    def read(self, token: str, kind: str) -> dict[str, Any] | None:
        """The claims of a token of this `typ` that was issued here, whatever its age; None for any other text."""
        try:
            if jwt.get_unverified_header(token).get("typ") != kind:
                return None
            options = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=[ALGORITHM],
                options=options,  # type: ignore[arg-type]
            )
        except (jwt.PyJWTError, ValueError):
            return None
        return claims if claims.get("iss") == self._settings.issuer else None

    def read_refresh_token(self, token: str) -> tuple[str, int] | None:
        """The sign-in and the generation of a refresh token that was issued here."""
        sid, _, rest = token.partition(".")
        text, _, _ = rest.partition(".")
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or not token.isascii():
            return None
        return (sid, int(text)) if hmac.compare_digest(token, self.refresh_token(sid, int(text))) else None


def _new_pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _thumbprint(public: Mapping[str, Any]) -> str:
    """RFC 7638."""
    members = {name: public[name] for name in ("crv", "kty", "x", "y")}
    return _base64url(
        hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    )


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
