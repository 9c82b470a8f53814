"""How the gateway proves to the identity provider which client it is: a client secret or a signed assertion.

A secret goes into the Authorization header (`client_secret_basic`), or into the form where the provider takes only that
(`client_secret_post`). Both are read again when their file changes. A key signs a new assertion for each request
(`private_key_jwt`, RFC 7523 and OpenID Connect Core section 9), valid for a minute and once. The assertion names the
issuer as its audience, so that no other provider can use it. Symmetric keys, weak RSA keys and keys for another use are
refused at the start.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ...calls import Clock, DeclarationError
from ...network import FileWatcher, fingerprint
from ..settings import OidcSettings

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 60
"""Seconds for which an assertion is valid."""
MAX_KEY_FILE = 65_536
"""Bytes of a key's file at most."""

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request to the provider needs. sensitive: parts that must not be in any log."""

    headers: Mapping[str, str]
    fields: Mapping[str, str]
    sensitive: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What the file of a client key held. kid: the key's own id, None without one; hash: of the whole content."""

    key: PrivateKey = field(repr=False)
    kid: str | None
    hash: str = field(repr=False)


class ClientKey:
    """The private key in a file, PEM or JWK. now: what the file holds, replaced when it changes while `watch` runs.
    look: seconds between two checks. Raises ValueError that names the file and what is wrong with it."""

    def __init__(self, path: Path, *, look: float = 1.0) -> None:
        self._path = path
        self.watch = FileWatcher("the client key", [path], look, self._read, fingerprint([path]))
        self._read()

    def _read(self) -> None:
        content = _content(self._path)
        key, kid = _key(content, self._path)
        self.now = KeyFile(key, kid, hashlib.sha256(b"bff client key:" + content).hexdigest())


class ClientAuthentication:
    """clock: Unix seconds. Raises DeclarationError for a key that cannot be used."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        try:
            self._key = None if settings.client_key is None else ClientKey(settings.client_key)
        except ValueError as error:
            raise DeclarationError(str(error)) from None

    def start(self) -> None:
        """Follow the file of the key until `close`."""
        if self._key is not None:
            self._key.watch.start()

    async def close(self) -> None:
        """Stop following it."""
        if self._key is not None:
            await self._key.watch.close()

    @property
    def secret(self) -> str:
        """The client secret, or a hash of the key, as it is now, because its file may change."""
        return self._secret if self._key is None else self._key.now.hash

    @property
    def _secret(self) -> str:
        secret = self._settings.client_secret
        return "" if secret is None else secret.get_secret_value()

    def proof(self, document: Mapping[str, Any]) -> Proof:
        """The proof for one request. document: the provider's discovery document."""
        client = self._settings.client_id
        if self._key is not None:
            assertion = self._assertion(self._key.now, document)
            given = {"client_assertion_type": ASSERTION, "client_assertion": assertion}
            return Proof({}, {"client_id": client, **given}, (assertion,))
        methods = document.get("token_endpoint_auth_methods_supported")
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            return Proof({}, {"client_id": client, "client_secret": self._secret}, (self._secret,))
        # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
        pair = f"{quote_plus(client)}:{quote_plus(self._secret)}"
        basic = base64.b64encode(pair.encode()).decode()
        return Proof({"authorization": f"Basic {basic}"}, {}, (self._secret, basic))

    def _assertion(self, held: KeyFile, document: Mapping[str, Any]) -> str:
        now, client, audience = int(self._clock()), self._settings.client_id, self._settings.issuer
        if self._settings.assertion_audience == "token_endpoint":
            audience = str(document.get("token_endpoint"))
        claims: dict[str, Any] = {
            "iss": client,
            "sub": client,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
        }
        claims |= {"iat": now, "exp": now + ASSERTION_LIFETIME}
        taken = document.get("token_endpoint_auth_signing_alg_values_supported")
        kid = self._settings.client_key_id or held.kid
        return jwt.encode(
            claims,
            held.key,
            algorithm=_algorithm(held.key, taken),
            headers=None if kid is None else {"kid": kid},
        )


def _algorithm(key: PrivateKey, taken: object) -> str:
    """The algorithm of this key; for RSA PS256 where the provider says that it takes it, else RS256."""
    if isinstance(key, EllipticCurvePrivateKey):
        return _CURVES[key.curve.name]
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA"
    return "PS256" if isinstance(taken, list) and "PS256" in taken else "RS256"


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_KEY_FILE)
    except OSError as error:
        raise ValueError(f"client_key {file}: it cannot be read: {error.strerror}") from None


def _key(content: bytes, file: Path) -> tuple[PrivateKey, str | None]:
    kid = None
    try:
        if content.lstrip()[:1] == b"{":
            members = json.loads(content)
            key: object = jwt.PyJWK(members).key if members.get("use", "sig") == "sig" else None
            kid = members.get("kid")
        else:
            key = load_pem_private_key(content, None)
    except (ValueError, TypeError, RecursionError, jwt.PyJWTError):
        # The message of the library could repeat a part of the key.
        raise ValueError(f"client_key {file}: it holds no private key as PEM or JWK") from None
    weak = isinstance(key, RSAPrivateKey) and key.key_size < 2048
    odd = isinstance(key, EllipticCurvePrivateKey) and key.curve.name not in _CURVES
    if not isinstance(key, PrivateKey) or weak or odd:
        raise ValueError(
            f"client_key {file}: it must be a private key of RSA (2,048 bits and more), P-256, P-384, P-521 or Ed25519"
        )
    return key, kid if isinstance(kid, str) and kid else None
