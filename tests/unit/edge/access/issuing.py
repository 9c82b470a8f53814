"""A token issuer for tests: real keys, every header and claim to choose, and a fetch that serves its documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bff.edge.access.fetch import FetchFailed, FetchResponse

ISSUER = "https://issuer.test"
NOW = 1_800_000_000.0

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: PrivateKey, kid: str | None, **members: Any) -> dict[str, Any]:
    algorithms: dict[type, Any] = {
        rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
    }
    public = key.public_key()
    algorithm = next(one for kind, one in algorithms.items() if isinstance(public, kind))
    entry: dict[str, Any] = {**algorithm.to_jwk(public, as_dict=True), **members}
    if kid is not None:
        entry["kid"] = kid
    return entry


def claims(**changes: Any) -> dict[str, Any]:
    """A good access token's claims; a change to `...` leaves the claim out."""
    good: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "ada",
        "aud": "shop",
        "client_id": "bff",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
        "jti": "1",
        "scope": "shop read",
        "name": "Ada",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def sign(
    key: PrivateKey,
    payload: Mapping[str, Any] | bytes,
    *,
    alg: str = "ES256",
    kid: str | None = "k1",
    typ: str | None = "at+jwt",
    **header: Any,
) -> str:
    """A compact JWS over exactly these bytes, made without a JWT library's checks."""
    head: dict[str, Any] = {"alg": alg, **header}
    if kid is not None:
        head["kid"] = kid
    if typ is not None:
        head["typ"] = typ
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return seal(key, json.dumps(head).encode(), body, alg)


def seal(key: PrivateKey, head: bytes, body: bytes, alg: str = "ES256") -> str:
    signed = f"{b64(head)}.{b64(body)}"
    algorithm: Any = jwt.algorithms.get_default_algorithms()[alg]
    return f"{signed}.{b64(algorithm.sign(signed.encode(), key))}"


@dataclass
class Clocks:
    """One clock for wall and monotonic time."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """A fetch that answers from a table and lists the requested addresses; an address with None cannot be reached."""

    documents: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        self.asked.append(url)
        document = self.documents.get(url)
        if document is None:
            raise FetchFailed(f"{url} is away")
        if isinstance(document, bytes):
            return 200, {}, document
        if isinstance(document, int):
            return document, {}, b""
        return 200, {}, json.dumps(document).encode()
