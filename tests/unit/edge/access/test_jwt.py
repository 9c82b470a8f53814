"""The verifier against good tokens and a battery of hostile ones, all with real keys."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bff.calls import DeclarationError
from bff.edge.access.jwks import usable_keys
from bff.edge.access.jwt import TokenVerifier
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings

from .issuing import ISSUER, NOW, Clocks, Served, b64, claims, ec_key, jwk, seal, sign

KEY = ec_key()
OTHER = ec_key()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EDWARDS = ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())
KEYS_URL = "https://issuer.test/keys"
SECOND = "https://second.test"


def settings(**changes: Any) -> IssuerSettings:
    return IssuerSettings(**{"issuer": ISSUER, "audience": "shop", "jwks_uri": KEYS_URL, **changes})


def served() -> Served:
    keys = [
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
    return Served({KEYS_URL: {"keys": keys}, f"{SECOND}/keys": {"keys": [jwk(OTHER, "k1")]}})


def verifier(fetch: Served | None = None, clock: Clocks | None = None, **changes: Any) -> TokenVerifier:
    clock = clock or Clocks()
    return TokenVerifier([settings(**changes)], fetch or served(), clock, clock)


async def refused(token: str, **changes: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await verifier(**changes).verify(token)
    return caught.value


async def test_a_good_token_becomes_its_principal() -> None:
    token = sign(KEY, claims())
    principal = await verifier().verify(token)
    assert principal.id == f"{ISSUER}|ada"
    assert principal.token == token
    assert principal.scopes == {"shop", "read"}
    assert principal.expires_at == NOW + 300
    assert principal.claims == {"sub": "ada", "name": "Ada", "client_id": "bff"}
    assert principal.session is None


@pytest.mark.parametrize(
    ("key", "alg", "kid"), [(RSA, "RS256", "rsa"), (EDWARDS, "EdDSA", "ed")], ids=["rsa", "edwards"]
)
async def test_each_kind_of_key_verifies_its_own_algorithm(key: Any, alg: str, kid: str) -> None:
    assert (await verifier().verify(sign(key, claims(), alg=alg, kid=kid))).subject == "ada"


async def test_the_long_form_of_the_type_and_a_list_of_audiences_are_accepted() -> None:
    token = sign(KEY, claims(aud=["other", "shop"]), typ="application/AT+JWT")
    assert (await verifier().verify(token)).subject == "ada"


def hs256(payload: dict[str, Any], secret: bytes, **header: Any) -> str:
    head = b64(json.dumps({"alg": "HS256", "typ": "at+jwt", **header}).encode())
    signed = f"{head}.{b64(json.dumps(payload).encode())}"
    algorithm: Any = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{signed}.{b64(algorithm.sign(signed.encode(), secret))}"


PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
GOOD = sign(KEY, claims())
HEAD, BODY, SIGNATURE = GOOD.split(".")
GOOD_HEAD = json.dumps({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}).encode()
DER = KEY.sign(f"{HEAD}.{BODY}".encode(), ec.ECDSA(SHA256()))
LOOSE = SIGNATURE[:-1] + chr(ord(SIGNATURE[-1]) + 1)


NONE = b'{"alg":"none","typ":"at+jwt"}'


def body(**changes: Any) -> bytes:
    return json.dumps(claims(**changes)).encode()


HOSTILE: dict[str, str] = {
    # not a token at all
    "empty": "",
    "one part": "abc",
    "two parts": f"{HEAD}.{BODY}",
    "four parts": f"{GOOD}.x",
    "five parts like an encrypted token": "a.b.c.d.e",
    "no signature": f"{HEAD}.{BODY}.",
    "padding": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "a space inside": f"{HEAD}. {BODY}.{SIGNATURE}",
    "a line feed at the end": GOOD + "\n",
    "not ascii": GOOD + "é",
    "plus and slash instead of minus and underscore": f"{HEAD}.{b64(body(name='???>>>'))}+/.{SIGNATURE}",
    "longer than 8 KB": sign(KEY, claims(padding="x" * 8192)),
    "a header that is a list": f"{b64(b'[]')}.{BODY}.{SIGNATURE}",
    "claims that are text": sign(KEY, b'"hello"'),
    "claims that are not utf-8": sign(KEY, b"\xff\xfe{}"),
    "claims nested ten thousand deep": sign(KEY, b"[" * 5000),
    "a claim named twice": sign(KEY, body()[:-1] + b', "sub": "admin"}'),
    "a header named twice": seal(KEY, b'{"alg":"ES256","typ":"at+jwt","kid":"k1","alg":"none"}', body()),
    "loose last bits of the signature": f"{HEAD}.{BODY}.{LOOSE}",
    # algorithm and key confusion
    "alg none": f"{b64(NONE)}.{BODY}.",
    "alg none with a signature": f"{b64(NONE)}.{BODY}.{SIGNATURE}",
    "alg nOnE": f"{b64(NONE.replace(b'none', b'nOnE'))}.{BODY}.{SIGNATURE}",
    "no alg": seal(KEY, b'{"typ":"at+jwt","kid":"k1"}', body()),
    "alg as a list": seal(KEY, b'{"alg":["ES256"],"typ":"at+jwt","kid":"k1"}', body()),
    "hmac with the public key": hs256(claims(), PUBLIC_PEM, kid="k1"),
    "hmac with a symmetric key of the set": hs256(claims(), b"0" * 32, kid="secret"),
    "hmac with an empty secret": hs256(claims(), b"", kid="k1"),
    "an algorithm the issuer may not use": sign(P384, claims(), alg="ES384", kid="p384"),
    "RS256 named for an EC key": sign(RSA, claims(), alg="RS256", kid="k1"),
    "ES256 named for an RSA key": sign(KEY, claims(), kid="rsa"),
    "PS256 where only RS256 is allowed": sign(RSA, claims(), alg="PS256", kid="rsa"),
    "a weak RSA key": sign(WEAK, claims(), alg="RS256", kid="weak"),
    "a key for encryption": sign(OTHER, claims(), kid="encrypts"),
    "a key id of two keys": sign(OTHER, claims(), kid="twice"),
    "a key meant for another algorithm": sign(OTHER, claims(), kid="says-384"),
    "a key not meant to verify": sign(OTHER, claims(), kid="signs-only"),
    "a key off its curve": sign(OTHER, claims(), kid="off-curve"),
    "an unknown key id": sign(KEY, claims(), kid="k2"),
    "no key id where several keys fit nobody's signature": sign(OTHER, claims(), kid=None),
    "a key id that is a number": seal(KEY, b'{"alg":"ES256","typ":"at+jwt","kid":1}', body()),
    "an empty key id": sign(KEY, claims(), kid=""),
    "a key id with a path": sign(OTHER, claims(), kid="../../dev/null"),
    "another key's signature": sign(OTHER, claims()),
    "a signature of zeros": f"{HEAD}.{BODY}.{b64(bytes(64))}",
    "a signature in DER": f"{HEAD}.{BODY}.{b64(DER)}",
    "a signature cut short": f"{HEAD}.{BODY}.{b64(base64.urlsafe_b64decode(SIGNATURE + '==')[:32])}",
    "another body under the signature": f"{HEAD}.{b64(body(sub='admin'))}.{SIGNATURE}",
    "the key brought along": sign(OTHER, claims(), kid="mine", jwk=jwk(OTHER, "mine")),
    "the key's address brought along": sign(OTHER, claims(), kid="mine", jku="https://evil.test/keys"),
    "a certificate's address brought along": sign(OTHER, claims(), kid="mine", x5u="https://evil.test/c"),
    # header extensions and kinds of token
    "a critical extension": sign(KEY, claims(), crit=["exp"], exp=1),
    "an empty list of critical extensions": sign(KEY, claims(), crit=[]),
    "an unencoded payload": sign(KEY, claims(), b64=False, crit=["b64"]),
    "no type": sign(KEY, claims(), typ=None),
    "an ID token": sign(KEY, claims(), typ="JWT"),
    "a logout token": sign(KEY, claims(), typ="logout+jwt"),
    "a type that is a list": seal(KEY, b'{"alg":"ES256","typ":["at+jwt"],"kid":"k1"}', body()),
    # issuer and audience
    "no issuer": sign(KEY, claims(iss=...)),
    "another issuer": sign(KEY, claims(iss="https://evil.test")),
    "the issuer with a slash": sign(KEY, claims(iss=ISSUER + "/")),
    "the issuer in capitals": sign(KEY, claims(iss=ISSUER.upper())),
    "a list of issuers": sign(KEY, claims(iss=[ISSUER])),
    "no audience": sign(KEY, claims(aud=...)),
    "another audience": sign(KEY, claims(aud="bank")),
    "an audience that begins alike": sign(KEY, claims(aud="shopping")),
    "an empty list of audiences": sign(KEY, claims(aud=[])),
    "an audience among numbers": sign(KEY, claims(aud=["shop", 1])),
    "an audience as a mapping": sign(KEY, claims(aud={"shop": True})),
    # time
    "no expiry": sign(KEY, claims(exp=...)),
    "expired": sign(KEY, claims(exp=int(NOW) - 11)),
    "an expiry in text": sign(KEY, claims(exp=str(int(NOW) + 300))),
    "an expiry of 1e300": sign(KEY, body()[:-1].replace(b'"exp": 1800000300', b'"exp": 1e300') + b"}"),
    "an expiry of 1e999": sign(KEY, body().replace(b'"exp": 1800000300', b'"exp": 1e999')),
    "an expiry of Infinity": sign(KEY, claims(exp=float("inf"))),
    "an expiry of NaN": sign(KEY, claims(exp=float("nan"))),
    "an expiry of four thousand digits": sign(KEY, body().replace(b"1800000300", b"9" * 4000)),
    "an expiry of five thousand digits": sign(KEY, body().replace(b"1800000300", b"9" * 5000)),
    "an expiry of true": sign(KEY, claims(exp=True)),
    "an expiry of null": sign(KEY, claims(exp=None)),
    "a negative expiry": sign(KEY, claims(exp=-1)),
    "no time of issue": sign(KEY, claims(iat=...)),
    "issued in the future": sign(KEY, claims(iat=int(NOW) + 60)),
    "a time of issue in text": sign(KEY, claims(iat="now")),
    "not valid yet": sign(KEY, claims(nbf=int(NOW) + 60)),
    "a start in text": sign(KEY, claims(nbf="0")),
    # subject and scope
    "no subject": sign(KEY, claims(sub=...)),
    "an empty subject": sign(KEY, claims(sub="")),
    "a blank subject": sign(KEY, claims(sub="  ")),
    "a subject that is a number": sign(KEY, claims(sub=7)),
    "a subject with a line feed": sign(KEY, claims(sub="ada\r\nX: y")),
    "a subject beyond ascii": sign(KEY, claims(sub="аda")),
    "a subject of 256 letters": sign(KEY, claims(sub="a" * 256)),
    "a scope that is a list": sign(KEY, claims(scope=["admin"])),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused_with_401(name: str) -> None:
    problem = await refused(HOSTILE[name])
    assert (problem.status, problem.code) == (401, "invalid-token")
    assert problem.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not any(part and len(part) > 8 and part in problem.detail for part in HOSTILE[name].split("."))


async def test_the_battery_is_refused_for_its_own_reasons_and_not_for_a_broken_bench() -> None:
    whys = {name: (await refused(token)).detail for name, token in HOSTILE.items()}
    assert len(set(whys.values())) >= 15
    assert "critical" not in whys["expired"] and "expired" in whys["expired"]
    assert "audience" in whys["another audience"]
    assert "signature is wrong" in whys["another key's signature"]
    assert "another kind" in whys["an ID token"]


async def test_no_address_a_token_names_is_ever_asked() -> None:
    fetch = served()
    for name in (
        "the key's address brought along",
        "a certificate's address brought along",
        "another issuer",
    ):
        with pytest.raises(Problem):
            await verifier(fetch).verify(HOSTILE[name])
    assert set(fetch.asked) == {KEYS_URL}


async def test_an_issuers_key_does_not_sign_for_another_issuer() -> None:
    second = IssuerSettings(issuer=SECOND, audience="shop", jwks_uri=f"{SECOND}/keys")
    both = TokenVerifier([settings(), second], served(), Clocks(), Clocks())
    assert (await both.verify(sign(OTHER, claims(iss=SECOND)))).id == f"{SECOND}|ada"
    with pytest.raises(Problem, match="signature"):
        await both.verify(sign(KEY, claims(iss=SECOND)))


async def test_the_clock_difference_allowed_is_used_and_no_more() -> None:
    assert await verifier().verify(sign(KEY, claims(exp=int(NOW) - 9)))
    await refused(sign(KEY, claims(exp=int(NOW) - 9)), leeway=5)


async def test_a_remembered_token_ends_when_it_expires() -> None:
    clock = Clocks()
    checks = verifier(clock=clock)
    token = sign(KEY, claims(exp=int(NOW) + 20))
    assert await checks.verify(token) is await checks.verify(token)
    clock.now += 31
    with pytest.raises(Problem, match="expired"):
        await checks.verify(token)


async def test_a_remembered_token_is_refused_once_its_key_is_withdrawn() -> None:
    clock, fetch = Clocks(), served()
    checks = verifier(fetch, clock)
    token = sign(KEY, claims(exp=int(NOW) + 3600))
    await checks.verify(token)
    fetch.documents[KEYS_URL] = {"keys": [jwk(OTHER, "k9")]}
    clock.now += 301
    await checks.verify(token)  # noticed behind this request's back
    issuer = checks.issuer(ISSUER)
    assert issuer is not None
    await issuer.keys.find("k9", "ES256")
    with pytest.raises(Problem, match="no such key"):
        await checks.verify(token)


def test_keys_that_share_an_id_are_all_left_aside_whatever_their_kind() -> None:
    keys = [jwk(KEY, "twice"), jwk(RSA, "twice"), jwk(EDWARDS, "once"), jwk(OTHER, None), jwk(RSA, None)]
    usable = usable_keys({"keys": keys}, frozenset({"ES256", "RS256", "EdDSA"}))
    assert [key.kid for key in usable] == ["once", None, None]


async def test_no_keys_at_all_is_503_and_not_401() -> None:
    problem = await refused(sign(KEY, claims()), fetch=Served())
    assert (problem.status, problem.code) == (503, "unavailable")
    assert problem.retry_after is not None


@pytest.mark.parametrize("algorithms", [("HS256",), ("none",), ("ES256", "HS512"), ()])
def test_algorithms_that_must_never_be_allowed_stop_the_start(algorithms: tuple[str, ...]) -> None:
    with pytest.raises(DeclarationError, match=ISSUER):
        verifier(algorithms=algorithms)


def test_an_issuer_configured_twice_stops_the_start() -> None:
    with pytest.raises(DeclarationError, match="twice"):
        TokenVerifier([settings(), settings(audience="bank")], served())


async def test_the_memory_of_verified_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.edge.access.jwt.REMEMBERED", 3)
    checks = verifier()
    first = sign(KEY, claims(jti="first"))
    kept = await checks.verify(first)
    for number in range(3):
        await checks.verify(sign(KEY, claims(jti=str(number))))
    assert await checks.verify(first) is not kept
