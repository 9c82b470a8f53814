"""The signing keys of a JWK set (RFC 7517) that may verify signatures. Pure.

Refuses keys that are not for signing, that share a key id, are symmetric or private, are of a type that no algorithm of
the issuer uses, or are so weak that others than their owner could sign with them (`is_sound`). PyJWT's own PyJWKSet
accepts all of those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .fetch import FetchFailed

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

KEYS_MOST = 32
"""Keys of a set that are read: providers publish two to twelve, and each costs 12 µs."""

# By `kty` and `crv`, the algorithms that a key may verify (RFC 7518 section 3.1, RFC 8037 section 3.1).
_ALGORITHMS = {
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    "EC P-256": frozenset({"ES256"}),
    "EC P-384": frozenset({"ES384"}),
    "EC P-521": frozenset({"ES512"}),
    "OKP Ed25519": frozenset({"EdDSA"}),
}

_verifiers = jwt.algorithms.get_default_algorithms()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """kid: None when the issuer gave none; algorithms: those this key may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: PublicKey


def usable_keys(document: object, allowed: frozenset[str]) -> tuple[SigningKey, ...]:
    """The keys of a JWK set (RFC 7517) that may verify signatures by one of the `allowed` algorithms."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FetchFailed("the answer is not a JWK set")
    entries = [one for one in entries[:KEYS_MOST] if isinstance(one, dict)]
    found = [key for key in (_usable(one, allowed) for one in entries) if key is not None]
    kids = Counter(key.kid for key in found)
    return tuple(key for key in found if key.kid is None or kids[key.kid] == 1)


def public_key(entry: Mapping[str, Any], algorithm: str) -> PublicKey | None:
    """The key of one JWK, by the rules for the keys of a set; None where it may not verify this algorithm."""
    found = _usable(entry, frozenset({algorithm}))
    return None if found is None else found.key


def is_signed_by(key: PublicKey, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """Whether the signature is by this key, which may verify this algorithm."""
    verifier: Any = _verifiers[algorithm]  # PyJWT types it for the key of each algorithm
    try:
        return bool(verifier.verify(signed, key, signature))
    except (ValueError, TypeError, jwt.PyJWTError):
        return False


def _usable(entry: Mapping[str, Any], allowed: frozenset[str]) -> SigningKey | None:
    kid, kty, operations = entry.get("kid"), entry.get("kty"), entry.get("key_ops", ["verify"])
    if kid is not None and (not isinstance(kid, str) or not kid):
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    kind = "RSA" if kty == "RSA" else f"{kty} {entry.get('crv')}"
    algorithms = allowed & _ALGORITHMS.get(kind, frozenset())
    if "alg" in entry:
        algorithms &= {str(entry["alg"])}
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return SigningKey(kid, algorithms, key) if isinstance(key, PublicKey) and is_sound(key) else None


def is_sound(key: PublicKey) -> bool:
    """Whether a signature by this key proves anything, and does not cost too much to verify.

    RSA: 2,048–8,192 bits; an exponent above 2^16 (FIPS 186-5; with 1 every message is its own signature) and below
    2^32 (one as long as the modulus makes a verification a hundred times as expensive); an odd modulus. Ed25519: no
    point of small order, for which one signature fits every message.
    """
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return 2048 <= key.key_size <= 8192 and 2**16 < numbers.e < 2**32 and numbers.n & numbers.e & 1 == 1
    if isinstance(key, Ed25519PublicKey):
        point = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
        return point % _P not in _SMALL_ORDER
    return True


# RFC 8032: the prime of Ed25519, and the heights y of the points whose order divides 8.
_P = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})
