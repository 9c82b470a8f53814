"""Invalid tokens, made with real keys for a given time, and the key set that they are verified with."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from .issuing import ISSUER, b64, claims, ec_key, jwk, seal, sign

KEY = ec_key()
OTHER = ec_key()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EDWARDS = ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())

KEY_SET: dict[str, Any] = {
    "keys": [
        jwk(KEY, "k1", use="sig", alg="ES256"),
        jwk(RSA, "rsa"),
        jwk(EDWARDS, "ed"),
        jwk(WEAK, "weak"),
        jwk(OTHER, "encrypts", use="enc"),
        jwk(ec_key(), "twice"),
        jwk(OTHER, "twice"),
        jwk(OTHER, "says-384", alg="ES384"),
        jwk(OTHER, "signs-only", key_ops=["sign"]),
        jwk(P384, "p384"),
        {"kty": "oct", "k": b64(b"0" * 32), "kid": "secret", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off-curve"},
    ]
}


def hs256(payload: dict[str, Any], secret: bytes, **header: Any) -> str:
    head = b64(json.dumps({"alg": "HS256", "typ": "at+jwt", **header}).encode())
    signed = f"{head}.{b64(json.dumps(payload).encode())}"
    algorithm: Any = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{signed}.{b64(algorithm.sign(signed.encode(), secret))}"


PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
_NONE = b'{"alg":"none","typ":"at+jwt"}'


def battery(now: float) -> dict[str, str]:
    """Tokens by their fault. Everything else in a token is valid at `now`, so that only the fault can refuse it."""
    at = int(now)
    ends = str(at + 300).encode()

    def good(**changes: Any) -> dict[str, Any]:
        return claims(**({"iat": at, "exp": at + 300} | changes))

    def body(**changes: Any) -> bytes:
        return json.dumps(good(**changes)).encode()

    accepted = sign(KEY, good())
    head, claimed, signature = accepted.split(".")
    der = KEY.sign(f"{head}.{claimed}".encode(), ec.ECDSA(SHA256()))
    loose = signature[:-1] + chr(ord(signature[-1]) + 1)
    return {
        # not a token at all
        "empty": "",
        "one part": "abc",
        "two parts": f"{head}.{claimed}",
        "four parts": f"{accepted}.x",
        "five parts like an encrypted token": "a.b.c.d.e",
        "no signature": f"{head}.{claimed}.",
        "padding": f"{head}=.{claimed}.{signature}",
        "a space inside": f"{head}. {claimed}.{signature}",
        "a line feed at the end": accepted + "\n",
        "not ascii": accepted + "é",
        "plus and slash instead of minus and underscore": f"{head}.{b64(body(name='???>>>'))}+/.{signature}",
        "longer than 8 KB": sign(KEY, good(padding="x" * 8192)),
        "a header that is a list": f"{b64(b'[]')}.{claimed}.{signature}",
        "claims that are text": sign(KEY, b'"hello"'),
        "claims that are not utf-8": sign(KEY, b"\xff\xfe{}"),
        "claims nested ten thousand deep": sign(KEY, b"[" * 5000),
        "a claim named twice": sign(KEY, body()[:-1] + b', "sub": "admin"}'),
        "a header named twice": seal(KEY, b'{"alg":"ES256","typ":"at+jwt","kid":"k1","alg":"none"}', body()),
        "loose last bits of the signature": f"{head}.{claimed}.{loose}",
        # algorithm and key confusion
        "alg none": f"{b64(_NONE)}.{claimed}.",
        "alg none with a signature": f"{b64(_NONE)}.{claimed}.{signature}",
        "alg nOnE": f"{b64(_NONE.replace(b'none', b'nOnE'))}.{claimed}.{signature}",
        "no alg": seal(KEY, b'{"typ":"at+jwt","kid":"k1"}', body()),
        "alg as a list": seal(KEY, b'{"alg":["ES256"],"typ":"at+jwt","kid":"k1"}', body()),
        "hmac with the public key": hs256(good(), PEM, kid="k1"),
        "hmac with a symmetric key of the set": hs256(good(), b"0" * 32, kid="secret"),
        "hmac with an empty secret": hs256(good(), b"", kid="k1"),
        "an algorithm the issuer may not use": sign(P384, good(), alg="ES384", kid="p384"),
        "RS256 named for an EC key": sign(RSA, good(), alg="RS256", kid="k1"),
        "ES256 named for an RSA key": sign(KEY, good(), kid="rsa"),
        "PS256 where only RS256 is allowed": sign(RSA, good(), alg="PS256", kid="rsa"),
        "a weak RSA key": sign(WEAK, good(), alg="RS256", kid="weak"),
        "a key for encryption": sign(OTHER, good(), kid="encrypts"),
        "a key id of two keys": sign(OTHER, good(), kid="twice"),
        "a key meant for another algorithm": sign(OTHER, good(), kid="says-384"),
        "a key not meant to verify": sign(OTHER, good(), kid="signs-only"),
        "a key off its curve": sign(OTHER, good(), kid="off-curve"),
        "an unknown key id": sign(KEY, good(), kid="k2"),
        "no key id where several keys fit nobody's signature": sign(OTHER, good(), kid=None),
        "a key id that is a number": seal(KEY, b'{"alg":"ES256","typ":"at+jwt","kid":1}', body()),
        "an empty key id": sign(KEY, good(), kid=""),
        "a key id with a path": sign(OTHER, good(), kid="../../dev/null"),
        "another key's signature": sign(OTHER, good()),
        "a signature of zeros": f"{head}.{claimed}.{b64(bytes(64))}",
        "a signature in DER": f"{head}.{claimed}.{b64(der)}",
        "a signature cut short": f"{head}.{claimed}.{b64(base64.urlsafe_b64decode(signature + '==')[:32])}",
        "another body under the signature": f"{head}.{b64(body(sub='admin'))}.{signature}",
        "the key brought along": sign(OTHER, good(), kid="mine", jwk=jwk(OTHER, "mine")),
        "the key's address brought along": sign(OTHER, good(), kid="mine", jku="https://evil.test/keys"),
        "a certificate's address brought along": sign(OTHER, good(), kid="mine", x5u="https://evil.test/c"),
        # header extensions and kinds of token
        "a critical extension": sign(KEY, good(), crit=["exp"], exp=1),
        "an empty list of critical extensions": sign(KEY, good(), crit=[]),
        "an unencoded payload": sign(KEY, good(), b64=False, crit=["b64"]),
        "no type": sign(KEY, good(), typ=None),
        "an ID token": sign(KEY, good(), typ="JWT"),
        "a logout token": sign(KEY, good(), typ="logout+jwt"),
        "a type that is a list": seal(KEY, b'{"alg":"ES256","typ":["at+jwt"],"kid":"k1"}', body()),
        # issuer and audience
        "no issuer": sign(KEY, good(iss=...)),
        "another issuer": sign(KEY, good(iss="https://evil.test")),
        "the issuer with a slash": sign(KEY, good(iss=ISSUER + "/")),
        "the issuer in capitals": sign(KEY, good(iss=ISSUER.upper())),
        "a list of issuers": sign(KEY, good(iss=[ISSUER])),
        "no audience": sign(KEY, good(aud=...)),
        "another audience": sign(KEY, good(aud="bank")),
        "an audience that begins alike": sign(KEY, good(aud="shopping")),
        "an empty list of audiences": sign(KEY, good(aud=[])),
        "an audience among numbers": sign(KEY, good(aud=["shop", 1])),
        "an audience as a mapping": sign(KEY, good(aud={"shop": True})),
        # time
        "no expiry": sign(KEY, good(exp=...)),
        "expired": sign(KEY, good(exp=at - 11)),
        "an expiry in text": sign(KEY, good(exp=str(at + 300))),
        "an expiry of 1e300": sign(KEY, body()[:-1].replace(b'"exp": ' + ends, b'"exp": 1e300') + b"}"),
        "an expiry of 1e999": sign(KEY, body().replace(b'"exp": ' + ends, b'"exp": 1e999')),
        "an expiry of Infinity": sign(KEY, good(exp=float("inf"))),
        "an expiry of NaN": sign(KEY, good(exp=float("nan"))),
        "an expiry of four thousand digits": sign(KEY, body().replace(ends, b"9" * 4000)),
        "an expiry of five thousand digits": sign(KEY, body().replace(ends, b"9" * 5000)),
        "an expiry of true": sign(KEY, good(exp=True)),
        "an expiry of null": sign(KEY, good(exp=None)),
        "a negative expiry": sign(KEY, good(exp=-1)),
        "no time of issue": sign(KEY, good(iat=...)),
        "issued in the future": sign(KEY, good(iat=at + 60)),
        "a time of issue in text": sign(KEY, good(iat="now")),
        "not valid yet": sign(KEY, good(nbf=at + 60)),
        "a start in text": sign(KEY, good(nbf="0")),
        # subject and scope
        "no subject": sign(KEY, good(sub=...)),
        "an empty subject": sign(KEY, good(sub="")),
        "a blank subject": sign(KEY, good(sub="  ")),
        "a subject that is a number": sign(KEY, good(sub=7)),
        "a subject with a line feed": sign(KEY, good(sub="ada\r\nX: y")),
        "a subject with a direction mark": sign(KEY, good(sub="\u202eada")),
        "a subject with half a surrogate pair": sign(KEY, good(sub="ada\ud83d")),
        "a subject of 256 letters": sign(KEY, good(sub="a" * 256)),
        "a scope that is a list": sign(KEY, good(scope=["admin"])),
        # bound to a key, without a proof of possession (RFC 7800, 8705 and 9449)
        "bound to a key": sign(KEY, good(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        "bound to a certificate": sign(
            KEY, good(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})
        ),
        "bound to nothing": sign(KEY, good(cnf=None)),
        # expensive to read
        "a thousand claims": sign(KEY, good(**{f"c{number}": 0 for number in range(400)}, aud="bank")),
        "a number of many digits": sign(KEY, body(aud="bank")[:-1] + b', "n": ' + b"7" * 4000 + b"}"),
        "a scope of a thousand words": sign(OTHER, good(scope="a " * 1000)),
        "an unknown key id for each": sign(OTHER, good(), kid="k" * 256),
        "a key id of 257 letters": sign(KEY, good(), kid="k" * 257),
        "eight kilobytes by another key": sign(OTHER, good(padding="x" * 5800)),
        "roles that are an object": sign(KEY, good(roles={"admin": True})),
    }
