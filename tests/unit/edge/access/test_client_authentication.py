"""The gateway's own proof to the identity provider: what each way sends, and which keys are refused at the start."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bff.calls import DeclarationError
from bff.edge.access.client_authentication import (
    ASSERTION,
    MAX_KEY_FILE,
    ClientAuthentication,
    ClientKey,
)
from bff.edge.settings import OidcSettings

from ....waiting import until
from .hostile import RSA, WEAK
from .issuing import ISSUER, NOW, PrivateKey, jwk

TOKEN_URL = f"{ISSUER}/token"
CURVES = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
}
ED = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, tuple[PrivateKey, str]] = {
    "RSA": (RSA, "RS256"),
    "P-256": (CURVES["P-256"], "ES256"),
    "P-384": (CURVES["P-384"], "ES384"),
    "P-521": (CURVES["P-521"], "ES512"),
    "Ed25519": (ED, "EdDSA"),
}


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def private_jwk(key: PrivateKey, **members: Any) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        made = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        made = jwt.algorithms.OKPAlgorithm.to_jwk(key, as_dict=True)
    return json.dumps({**made, **members}).encode()


def client(**changes: Any) -> ClientAuthentication:
    given = {"issuer": ISSUER, "client_id": "desk", "client_secret": "the-secret", **changes}
    given = {name: value for name, value in given.items() if value is not ...}
    return ClientAuthentication(OidcSettings.model_validate(given), lambda: NOW + 0.9)


def keyed(file: Path, content: bytes, **changes: Any) -> ClientAuthentication:
    file.write_bytes(content)
    return client(client_secret=..., client_key=file, **changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "client.key"


# ---- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"]},
        {"token_endpoint_auth_methods_supported": "client_secret_post"},
    ],
    ids=str,
)
def test_a_secret_goes_into_the_header_form_encoded(document: dict[str, Any]) -> None:
    proof = client(client_id="desk one:é", client_secret="a/b c%+:é").proof(document)
    basic = base64.b64encode(b"desk+one%3A%C3%A9:a%2Fb+c%25%2B%3A%C3%A9").decode()
    assert proof.headers == {"authorization": f"Basic {basic}"}
    assert proof.fields == {}
    assert proof.sensitive == ("a/b c%+:é", basic)


def test_a_secret_goes_into_the_form_where_the_provider_takes_only_that() -> None:
    one = client(client_secret="a b")
    proof = one.proof({"token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"]})
    assert proof.fields == {"client_id": "desk", "client_secret": "a b"}
    assert proof.headers == {}
    assert proof.sensitive == ("a b",)
    assert one.secret == "a b"


async def test_without_a_key_there_is_no_file_to_follow() -> None:
    one = client()
    one.start()
    await one.close()
    assert one.secret == "the-secret"


# ---- keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PEM", "JWK"])
@pytest.mark.parametrize("name", KEYS)
def test_each_kind_of_key_signs_an_assertion_for_this_provider(file: Path, name: str, form: str) -> None:
    key, algorithm = KEYS[name]
    content = pem(key) if form == "PEM" else private_jwk(key)
    one = keyed(file, content)
    proof = one.proof({"token_endpoint": TOKEN_URL})
    assertion = proof.fields["client_assertion"]
    assert proof.headers == {}
    assert proof.fields == {
        "client_id": "desk",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    assert proof.fields["client_assertion_type"] == ASSERTION
    assert proof.sensitive == (assertion,)
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "typ": "JWT"}
    claims = _claims(assertion, key, algorithm)
    assert len(claims.pop("jti")) == 22
    assert claims == {"iss": "desk", "sub": "desk", "aud": ISSUER, "iat": int(NOW), "exp": int(NOW) + 60}
    assert one.secret == hashlib.sha256(b"bff client key:" + content).hexdigest()


def _claims(assertion: str, key: PrivateKey, algorithm: str) -> dict[str, Any]:
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    public: Any = key.public_key()
    made: dict[str, Any] = jwt.decode(assertion, public, algorithms=[algorithm], options=options)
    return made


def test_each_request_has_an_assertion_of_its_own(file: Path) -> None:
    one = keyed(file, pem(CURVES["P-256"]))
    made = {one.proof({}).fields["client_assertion"] for _ in range(3)}
    ids = {_claims(each, CURVES["P-256"], "ES256")["jti"] for each in made}
    assert len(ids) == 3


def test_the_audience_is_the_token_endpoint_where_the_settings_say_so(file: Path) -> None:
    one = keyed(file, pem(ED), assertion_audience="token_endpoint")
    assertion = one.proof({"token_endpoint": TOKEN_URL}).fields["client_assertion"]
    assert _claims(assertion, ED, "EdDSA")["aud"] == TOKEN_URL


@pytest.mark.parametrize(
    ("taken", "algorithm"),
    [
        (["RS256", "PS256"], "PS256"),
        (["RS256"], "RS256"),
        ([], "RS256"),
        ("PS256", "RS256"),
        (None, "RS256"),
    ],
)
def test_an_rsa_key_signs_with_ps256_where_the_provider_says_that_it_takes_it(
    file: Path, taken: Any, algorithm: str
) -> None:
    document = {"token_endpoint_auth_signing_alg_values_supported": taken}
    assertion = keyed(file, pem(RSA)).proof(document).fields["client_assertion"]
    assert jwt.get_unverified_header(assertion)["alg"] == algorithm
    assert _claims(assertion, RSA, algorithm)["iss"] == "desk"


@pytest.mark.parametrize(
    ("members", "setting", "kid"),
    [
        ({"kid": "own"}, None, "own"),
        ({"kid": "own"}, "set", "set"),
        ({}, "set", "set"),
        ({"kid": ""}, None, None),
        ({"kid": 7}, None, None),
    ],
)
def test_the_assertion_names_the_key_by_the_settings_or_by_its_own_id(
    file: Path, members: dict[str, Any], setting: str | None, kid: str | None
) -> None:
    one = keyed(file, private_jwk(ED, **members), client_key_id=setting)
    head = jwt.get_unverified_header(one.proof({}).fields["client_assertion"])
    assert head.get("kid") == kid
    assert ("kid" in head) == (kid is not None)


@pytest.mark.parametrize("use", ["sig", ...])
def test_a_jwk_may_begin_with_blanks_and_say_that_it_signs(file: Path, use: Any) -> None:
    content = private_jwk(ED, **({} if use is ... else {"use": use}))
    assert keyed(file, b" \n\t" + content).proof({}).fields["client_assertion"]


async def test_a_key_that_is_replaced_signs_from_then_on(file: Path) -> None:
    first, second = pem(CURVES["P-256"]), pem(CURVES["P-384"])
    one = keyed(file, first)
    one.start()
    try:
        before = one.secret
        fresh = file.with_suffix(".new")
        fresh.write_bytes(second)
        fresh.replace(file)
        await until(lambda: one.secret != before)
    finally:
        await one.close()
    assert one.secret == hashlib.sha256(b"bff client key:" + second).hexdigest()
    assert jwt.get_unverified_header(one.proof({}).fields["client_assertion"])["alg"] == "ES384"
    assert [task for task in asyncio.all_tasks() if "client key" in task.get_name()] == []


async def test_a_key_that_did_not_change_is_not_read_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(pem(ED))
    read, times = ClientKey._read, []

    def counted(key: ClientKey) -> None:
        times.append(1)
        read(key)

    monkeypatch.setattr(ClientKey, "_read", counted)
    key = ClientKey(file)
    await key.watch.check()
    assert len(times) == 1


async def test_a_changed_file_that_holds_no_key_is_told_and_the_last_key_stays(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(pem(ED))
    key = ClientKey(file)
    file.write_bytes(b"no key")
    await key.watch.check()
    assert isinstance(key.now.key, ed25519.Ed25519PrivateKey)
    [told] = caplog.records
    assert vars(told)["fields"] == {"what": "the client key", "why": f"client_key {file}: {NO_KEY}"}


async def test_a_change_during_the_first_read_is_not_missed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(pem(ED))
    read = ClientKey._read

    def replaced_meanwhile(key: ClientKey) -> None:
        read(key)
        monkeypatch.undo()
        fresh = file.with_suffix(".new")
        fresh.write_bytes(pem(RSA))
        fresh.replace(file)

    monkeypatch.setattr(ClientKey, "_read", replaced_meanwhile)
    key = ClientKey(file)
    assert isinstance(key.now.key, ed25519.Ed25519PrivateKey)
    await key.watch.check()
    assert isinstance(key.now.key, rsa.RSAPrivateKey)


# ---- keys that are refused ---------------------------------------------------------------------------------

NO_KEY = "it holds no private key as PEM or JWK"
ODD = "it must be a private key of RSA (2,048 bits and more), P-256, P-384, P-521 or Ed25519"


def _public() -> bytes:
    return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", NO_KEY),
    "words": (b"the-secret", NO_KEY),
    "a public key": (_public(), NO_KEY),
    "a key that needs a password": (
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        NO_KEY,
    ),
    "a list": (b"{[]}", NO_KEY),
    "an object that is no key": (b"{}", NO_KEY),
    "deep": (b'{"kty":' + b"[" * 30_000 + b"]" * 30_000 + b"}", NO_KEY),
    "too long": (private_jwk(ED)[:-1] + b" " * MAX_KEY_FILE + b"}", NO_KEY),
    "a public JWK": (json.dumps(jwk(RSA, None)).encode(), ODD),
    "a symmetric JWK": (b'{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0","alg":"HS256"}', ODD),
    "a JWK to encrypt with": (private_jwk(RSA, use="enc"), ODD),
    "weak": (pem(WEAK), ODD),
    "another curve": (pem(ec.generate_private_key(ec.SECP224R1())), ODD),
    "a key of agreement": (pem(x25519.X25519PrivateKey.generate()), ODD),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_that_cannot_be_used_is_refused_at_the_start(file: Path, name: str) -> None:
    content, reason = REFUSED[name]
    with pytest.raises(DeclarationError) as caught:
        keyed(file, content)
    assert str(caught.value) == f"client_key {file}: {reason}"


def test_a_file_that_cannot_be_read_is_refused_with_its_name(file: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        client(client_secret=..., client_key=file)
    assert str(caught.value) == f"client_key {file}: it cannot be read: No such file or directory"


def test_a_key_of_2048_bits_is_strong_enough(file: Path) -> None:
    assert RSA.key_size == 2048
    assert keyed(file, pem(RSA)).proof({}).fields["client_assertion"]
