"""Makes proofs of possession (RFC 9449) for tests, with every header and claim to choose."""

from __future__ import annotations

import base64
import hashlib
import itertools
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from .issuing import PrivateKey, ec_key, jwk, sign

_ids = itertools.count()


def ath(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


class Prover:
    """A client with a key of its own."""

    def __init__(self, key: PrivateKey | None = None, alg: str = "ES256") -> None:
        self.key: PrivateKey = key or ec_key()
        self.alg = alg
        self.jwk = jwk(self.key, None)

    @property
    def thumbprint(self) -> str:
        """By RFC 7638 section 3.1, spelled out for each type."""
        one = self.jwk
        texts = {
            "EC": '{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}',
            "RSA": '{{"e":"{e}","kty":"RSA","n":"{n}"}}',
            "OKP": '{{"crv":"{crv}","kty":"OKP","x":"{x}"}}',
        }
        return ath(texts[one["kty"]].format(**one))

    def proof(
        self,
        token: str,
        method: str,
        url: str,
        now: float,
        *,
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A good proof, with some claims and members of the header changed; `...` leaves one out."""
        claims = {
            "jti": f"p{next(_ids)}",
            "htm": method,
            "htu": url,
            "iat": int(now),
            "ath": ath(token),
            **changes,
        }
        head = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk, "kid": None, **(header or {})}
        head = {name: value for name, value in head.items() if value is not ...}
        head.setdefault("typ", None)
        return sign(self.key, {name: value for name, value in claims.items() if value is not ...}, **head)


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())
