"""The edges of what counts as a usable key: sizes, exponents, points, and members that only look right."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import ECAlgorithm

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.jwks import is_signed_by, is_sound, public_key, usable_keys

from .issuing import ec_key, jwk

ALL = frozenset({"ES256", "RS256", "EdDSA"})


def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    """A public key of this size; whether its modulus has two prime factors does not matter here."""
    return rsa.RSAPublicNumbers(exponent, 2 ** (bits - 1) + 1).public_key()


@pytest.mark.parametrize(
    ("bits", "exponent", "sound"),
    [
        (2047, 65537, False),
        (2048, 65537, True),
        (8192, 65537, True),
        (8193, 65537, False),
        (2048, 3, False),
        (2048, 65535, False),
        (2048, 2**16 + 1, True),
        (2048, 2**32 - 1, True),
        (2048, 2**32 + 1, False),
        (2048, 2**33 - 1, False),
    ],
)
def test_an_rsa_key_has_a_size_and_an_exponent_that_prove_something(
    bits: int, exponent: int, sound: bool
) -> None:
    assert is_sound(rsa_key(bits, exponent)) is sound


def test_an_rsa_modulus_is_odd_and_may_share_bits_with_the_exponent() -> None:
    assert is_sound(rsa.RSAPublicNumbers(65537, 2**2047 + 2**16 + 1).public_key())
    assert not is_sound(rsa.RSAPublicNumbers(65537, 2**2047).public_key())


# RFC 8032 section 5.1: a point of order 8.
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
PRIME = 2**255 - 19


@pytest.mark.parametrize("height", [0, 1, PRIME - 1, PRIME, PRIME + 1, ORDER_8, PRIME - ORDER_8])
@pytest.mark.parametrize("sign", [0, 1])
def test_an_edwards_point_of_small_order_is_not_sound_in_any_spelling(height: int, sign: int) -> None:
    raw = (height | sign << 255).to_bytes(32, "little")
    assert not is_sound(ed25519.Ed25519PublicKey.from_public_bytes(raw))


def test_ordinary_edwards_points_are_sound() -> None:
    for _ in range(50):
        assert is_sound(ed25519.Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("kid", ["", 7, ["k"], True, {}])
def test_a_key_whose_id_is_no_text_is_not_used(kid: Any) -> None:
    assert usable_keys({"keys": [jwk(ec_key(), None) | {"kid": kid}]}, ALL) == ()


@pytest.mark.parametrize("kid", [None, "k"])
def test_a_key_with_an_id_and_one_without_are_used(kid: str | None) -> None:
    (found,) = usable_keys({"keys": [jwk(ec_key(), kid)]}, ALL)
    assert (found.kid, found.algorithms) == (kid, frozenset({"ES256"}))


@pytest.mark.parametrize(
    "member", [{"d": "AA"}, {"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"alg": "ES384"}]
)
def test_a_key_that_is_private_or_for_something_else_is_not_used(member: dict[str, Any]) -> None:
    good = jwk(ec_key(), "k")
    assert len(usable_keys({"keys": [good]}, ALL)) == 1
    assert usable_keys({"keys": [good | member]}, ALL) == ()


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": {}}, {"keys": None}])
def test_a_document_that_is_no_key_set_is_a_failed_fetch(document: Any) -> None:
    with pytest.raises(FetchFailed) as caught:
        usable_keys(document, ALL)
    assert str(caught.value) == "the answer is not a JWK set"


def test_two_keys_with_one_id_are_both_ignored_and_two_without_are_both_used() -> None:
    keys = [jwk(ec_key(), kid) for kid in ("a", "twice", "twice", None, None)]
    assert [found.kid for found in usable_keys({"keys": keys}, ALL)] == ["a", None, None]


def test_the_key_of_one_jwk_follows_the_rules_for_the_keys_of_a_set() -> None:
    own = ec_key()
    found = public_key(jwk(own, None), "ES256")
    assert found is not None
    assert found.public_numbers() == own.public_key().public_numbers()  # type: ignore[union-attr]
    assert public_key(jwk(own, None), "RS256") is None
    assert public_key(jwk(own, None) | {"use": "enc"}, "ES256") is None
    assert public_key({}, "ES256") is None


def test_a_signature_counts_by_its_key_and_algorithm_alone() -> None:
    own, other = ec_key(), ec_key()
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(b"text", own)
    assert is_signed_by(own.public_key(), "ES256", b"text", signature) is True
    for key, algorithm, text, made in (
        (other.public_key(), "ES256", b"text", signature),
        (own.public_key(), "ES256", b"other", signature),
        (own.public_key(), "ES256", b"text", signature[:-1]),
        (own.public_key(), "ES256", b"text", b""),
        (own.public_key(), "RS256", b"text", signature),
    ):
        assert is_signed_by(key, algorithm, text, made) is False
