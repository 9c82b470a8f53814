"""Unsafe key sets, as a broken, compromised or careless issuer may publish them, and for each the tokens of an attacker
who makes use of it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from .hostile import P384, RSA, WEAK, hs256
from .issuing import b64, claims, ec_key, jwk, sign

EC = ec_key()
EDWARDS = ed25519.Ed25519PrivateKey.generate()
KOBLITZ = ec.generate_private_key(ec.SECP256K1())
CUBIC = rsa.generate_private_key(public_exponent=3, key_size=2048)

TokenSet = Callable[[dict[str, Any]], list[str]]


@dataclass(frozen=True)
class Trap:
    """body, status, headers: of the issuer's answer; tokens: makes the attacker's tokens from valid claims."""

    body: bytes
    tokens: TokenSet
    status: int = 200
    headers: str = "content-type: application/json\r\n"


def keys(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def by(key: Any, alg: str = "ES256", kid: str | None = "k1") -> TokenSet:
    return lambda good: [sign(key, good, alg=alg, kid=kid)]


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _rsa(n: int, e: int) -> dict[str, Any]:
    return {"kty": "RSA", "n": _number(n), "e": _number(e), "kid": "k1"}


def _raw(make: Callable[[bytes], bytes], alg: str) -> TokenSet:
    """A token that `make` signs."""

    def tokens(good: dict[str, Any]) -> list[str]:
        head = b64(json.dumps({"alg": alg, "typ": "at+jwt", "kid": "k1"}).encode())
        signed = f"{head}.{b64(json.dumps(good).encode())}"
        return [f"{signed}.{b64(make(signed.encode()))}"]

    return tokens


def _padded(signed: bytes, length: int) -> int:
    """PKCS #1 v1.5 over SHA-256, as a number (RFC 8017 section 9.2)."""
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed).digest()
    return int.from_bytes(b"\0\1" + b"\xff" * (length - 3 - len(info)) + b"\0" + info, "big")


def _powers(n: int, d: int) -> TokenSet:
    length = (n.bit_length() + 7) // 8
    return _raw(lambda signed: pow(_padded(signed, length), d, n).to_bytes(length, "big"), "RS256")


def _koblitz(signed: bytes) -> bytes:
    r, s = decode_dss_signature(KOBLITZ.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


_numbers = RSA.private_numbers()
_N, _PHI = _numbers.public_numbers.n, (_numbers.p - 1) * (_numbers.q - 1)
_LONG = next(e for e in range(2**2000 + 1, 2**2000 + 9999, 2) if math.gcd(e, _PHI) == 1)
_IDENTITY = (1).to_bytes(32, "little")
_CONTROL = jwk(EC, "k1", use="sig", alg="ES256")
_EC_NUMBERS = EC.private_numbers().private_value


def _okp(curve: str, raw: bytes) -> dict[str, Any]:
    return {"kty": "OKP", "crv": curve, "x": b64(raw), "kid": "k1"}


CONTROL = Trap(keys(_CONTROL), by(EC))

TRAPS: dict[str, Trap] = {
    "not JSON": Trap(b"<html>", by(EC)),
    "a list": Trap(json.dumps([_CONTROL]).encode(), by(EC)),
    "no keys at all": Trap(b"{}", by(EC)),
    "keys that are an object": Trap(json.dumps({"keys": {"k1": _CONTROL}}).encode(), by(EC)),
    "an empty set": Trap(keys(), by(EC)),
    "keys named twice": Trap(b'{"keys": [], "keys": [' + json.dumps(_CONTROL).encode() + b"]}", by(EC)),
    "nested a hundred thousand deep": Trap(b'{"keys": ' + b"[" * 100_000, by(EC)),
    "larger than is read": Trap(keys(_CONTROL)[:-1] + b" " * 300_000 + b"}", by(EC)),
    "a good set under 500": Trap(keys(_CONTROL), by(EC), status=500),
    "a good set under 203": Trap(keys(_CONTROL), by(EC), status=203),
    "somewhere else": Trap(b"", by(EC), status=302, headers="location: /keys\r\n"),
    "said to be packed": Trap(keys(_CONTROL), by(EC), headers="content-encoding: gzip\r\n"),
    "a shared secret": Trap(
        keys({"kty": "oct", "k": b64(b"0" * 32), "kid": "k1"}),
        lambda good: [hs256(good, b"0" * 32, kid="k1"), hs256(good, b"0" * 32)],
    ),
    "a private key": Trap(keys({**_CONTROL, "d": _number(_EC_NUMBERS)}), by(EC)),
    "for encryption": Trap(keys({**_CONTROL, "use": "enc"}), by(EC)),
    "for signing only": Trap(keys({**_CONTROL, "key_ops": ["sign"]}), by(EC)),
    "a use that is a list": Trap(keys({**_CONTROL, "use": ["sig"]}), by(EC)),
    "a key id of two keys": Trap(keys(_CONTROL, jwk(ec_key(), "k1")), by(EC)),
    "a key id that is a number": Trap(keys({**_CONTROL, "kid": 1}), by(EC)),
    "meant for another algorithm": Trap(keys({**_CONTROL, "alg": "ES384"}), by(EC)),
    "a curve that is not allowed": Trap(
        keys(jwk(P384, "k1")), lambda good: [sign(P384, good, alg="ES384"), sign(EC, good)]
    ),
    "a curve that it is not on": Trap(keys({**jwk(P384, "k1"), "crv": "P-256"}), by(EC)),
    "a point off its curve": Trap(keys({**_CONTROL, "y": _CONTROL["x"]}), by(EC)),
    "Bitcoin's curve": Trap(keys({**_CONTROL, "crv": "secp256k1"}), _raw(_koblitz, "ES256")),
    "an RSA key of 1,024 bits": Trap(keys(jwk(WEAK, "k1")), by(WEAK, "RS256")),
    "an exponent of 1": Trap(keys(_rsa(_N, 1)), _powers(_N, 1)),
    "an exponent of 3": Trap(keys(jwk(CUBIC, "k1")), by(CUBIC, "RS256")),
    "an exponent of two thousand bits": Trap(keys(_rsa(_N, _LONG)), _powers(_N, pow(_LONG, -1, _PHI))),
    "an even modulus": Trap(keys(_rsa(2 * _N, 65537)), _powers(2 * _N, pow(65537, -1, _PHI))),
    "a modulus of zero": Trap(keys(_rsa(_N, 65537) | {"n": "AA"}), by(RSA, "RS256")),
    "an Edwards point of small order": Trap(
        keys(_okp("Ed25519", _IDENTITY)), _raw(lambda signed: _IDENTITY + bytes(32), "EdDSA")
    ),
    "Ed448": Trap(
        keys(_okp("Ed448", ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw())),
        by(EDWARDS, "EdDSA"),
    ),
    "a key for agreement": Trap(
        keys(_okp("X25519", x25519.X25519PrivateKey.generate().public_key().public_bytes_raw())),
        by(EDWARDS, "EdDSA"),
    ),
    "only a certificate": Trap(
        keys({"kty": "EC", "kid": "k1", "x5c": [base64.b64encode(b"certificate").decode()]}), by(EC)
    ),
    "fourteen hundred keys, the right one last": Trap(
        keys(*({**_CONTROL, "kid": f"k{number}"} for number in range(1400))),
        lambda good: [sign(EC, good, kid="k1399")],
    ),
    "a crowd of broken keys": Trap(
        keys(
            *(
                {"kty": kind, "crv": 7, "n": [], "e": {}, "x": None, "kid": f"k{kind}"}
                for kind in ("EC", "RSA", "OKP", 7, None)
            )
        ),
        by(EC),
    ),
}
"""By their fault."""


def good_claims(issuer: str, now: float) -> dict[str, Any]:
    return claims(iss=issuer, iat=int(now), exp=int(now) + 300)
