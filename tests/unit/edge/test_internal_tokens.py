"""Internal tokens and the keys that sign them: claims, lifetime, audience, and the rotation of keys."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import structs

from bff import Principal
from bff.calls import Deadline, RequestContext
from bff.cli import main
from bff.edge.internal_tokens import InternalCredentials, InternalTokens
from bff.edge.signing_keys import SigningKeys, rotate

from .access.issuing import NOW, Clocks

ADA = Principal(
    "https://issuer.test",
    "ada",
    "her-own-token",
    NOW + 3600,
    frozenset({"shop", "read"}),
    {"client_id": "page"},
    is_person=True,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "internal.pem"
    rotate(path)
    return path


@pytest.fixture
def clock() -> Clocks:
    return Clocks()


@pytest.fixture
def tokens(file: Path, clock: Clocks) -> InternalTokens:
    return InternalTokens(SigningKeys(file), "https://shop.test", clock=clock)


def scope(**changes: Any) -> RequestContext:
    made = RequestContext(Deadline.after(1), None, "6f1c1d6e-0000-4000-8000-000000000000", ADA)  # type: ignore[arg-type]  # nothing is run
    return structs.replace(made, **changes)


def read(token: str, tokens: InternalTokens, audience: str = "stock") -> dict[str, Any]:
    """The token's claims, verified with a published key; times are not checked."""
    published = {one.key_id: one for one in jwt.PyJWKSet.from_json(tokens.keys.now.published.decode()).keys}
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["EdDSA"],
        audience=audience,
        options={"verify_exp": False, "verify_iat": False},
    )
    return claims


def kids(tokens: InternalTokens) -> list[str]:
    return [entry["kid"] for entry in json.loads(tokens.keys.now.published)["keys"]]


def test_an_internal_token_names_the_principal_the_gateway_and_one_service(tokens: InternalTokens) -> None:
    token = tokens.for_reads(ADA, "stock")
    assert jwt.get_unverified_header(token) == {
        "alg": "EdDSA",
        "typ": "bff-internal+jwt",
        "kid": kids(tokens)[0],
    }
    claims = read(token, tokens)
    assert claims.pop("jti")
    assert claims == {
        "iss": "https://shop.test",
        "sub": "https://issuer.test|ada",
        "aud": "stock",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "scope": "read shop",
        "person": True,
        "client_id": "page",
        "act": {"sub": "https://shop.test"},
    }
    with pytest.raises(jwt.InvalidAudienceError):
        read(tokens.for_reads(ADA, "payments"), tokens, "stock")


def test_an_internal_token_says_that_a_client_is_no_person(tokens: InternalTokens) -> None:
    machine = replace(ADA, is_person=False)
    for token in (
        tokens.for_reads(machine, "stock"),
        tokens.for_write(machine, "stock", scope(principal=machine)),
    ):
        assert read(token, tokens)["person"] is False
    unknown = Principal("https://issuer.test", "ada", "token", NOW + 3600)
    assert read(tokens.for_reads(unknown, "stock"), tokens)["person"] is False


def test_reads_of_one_principal_share_a_token_for_half_its_lifetime(
    tokens: InternalTokens, clock: Clocks
) -> None:
    first = tokens.for_reads(ADA, "stock")
    clock.now += 29.9
    assert tokens.for_reads(replace(ADA, token="refreshed meanwhile"), "stock") == first
    clock.now += 0.1
    assert tokens.for_reads(ADA, "stock") != first
    others = [
        replace(ADA, subject="bob"),
        replace(ADA, issuer="https://other.test"),
        replace(ADA, session="another"),
        replace(ADA, scopes=frozenset({"shop"})),
        replace(ADA, claims={"client_id": "tool"}),
        replace(ADA, is_person=False),
    ]
    found = {tokens.for_reads(one, "stock") for one in [ADA, *others]} | {tokens.for_reads(ADA, "payments")}
    assert len(found) == 8


def test_an_internal_token_expires_no_later_than_its_session(tokens: InternalTokens) -> None:
    soon = replace(ADA, expires_at=NOW + 7)
    assert read(tokens.for_reads(soon, "stock"), tokens)["exp"] == int(NOW) + 7
    assert read(tokens.for_write(soon, "stock", scope()), tokens)["exp"] == int(NOW) + 7


def test_each_write_has_a_token_that_names_the_request_and_the_key(tokens: InternalTokens) -> None:
    one = tokens.for_write(ADA, "orders", scope(mutation="click"))
    assert one != tokens.for_write(ADA, "orders", scope(mutation="click"))
    claims = read(one, tokens, "orders")
    assert (claims["txn"], claims["mutation"]) == ("6f1c1d6e-0000-4000-8000-000000000000", "click")
    assert "mutation" not in read(tokens.for_write(ADA, "orders", scope()), tokens, "orders")
    assert not {"txn", "mutation"} & set(read(tokens.for_reads(ADA, "orders"), tokens, "orders"))


def test_beside_the_persons_token_it_is_sent_in_another_header(tokens: InternalTokens) -> None:
    alone = InternalCredentials(tokens, "stock").headers(ADA, scope(), write=False)
    assert alone == {"authorization": f"Bearer {tokens.for_reads(ADA, 'stock')}"}
    both = InternalCredentials(tokens, "stock", sends_user_token=True).headers(ADA, scope(), write=False)
    assert both == {
        "authorization": "Bearer her-own-token",
        "bff-identity": tokens.for_reads(ADA, "stock"),
    }


def test_the_cache_of_internal_tokens_is_bounded(file: Path, clock: Clocks) -> None:
    tokens = InternalTokens(SigningKeys(file), "https://shop.test", tokens=3, clock=clock)
    first = tokens.for_reads(ADA, "a")
    for audience in "bcd":
        tokens.for_reads(ADA, audience)
    assert tokens.for_reads(ADA, "a") != first


async def test_a_rotated_key_is_published_before_and_after_it_signs(
    file: Path, tokens: InternalTokens, clock: Clocks
) -> None:
    signing, following = kids(tokens)
    old = tokens.for_reads(ADA, "stock")
    assert rotate(file)[0] == following
    assert tokens.for_reads(ADA, "stock") == old, "nobody has looked yet"
    await tokens.keys.watch.check()
    ahead = kids(tokens)[1]
    assert kids(tokens) == [following, ahead, signing], "published before it signs, and after"
    new = tokens.for_reads(ADA, "stock")
    assert jwt.get_unverified_header(new)["kid"] == following
    assert read(old, tokens)["sub"] == read(new, tokens)["sub"] == ADA.id, "both hold"
    assert rotate(file)[0] == ahead
    await tokens.keys.watch.check()
    assert signing not in kids(tokens), "gone a whole turn after it last signed"
    assert len(kids(tokens)) == 3


async def test_a_removed_key_signs_nothing_any_more(file: Path, tokens: InternalTokens) -> None:
    old = tokens.for_reads(ADA, "stock")
    file.unlink()
    rotate(file)
    await tokens.keys.watch.check()
    assert jwt.get_unverified_header(old)["kid"] not in kids(tokens)
    assert jwt.get_unverified_header(tokens.for_reads(ADA, "stock"))["kid"] == kids(tokens)[0]


async def test_a_file_that_cannot_be_used_changes_nothing(file: Path, tokens: InternalTokens) -> None:
    before = kids(tokens)
    for wrong in (b"", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"):
        file.write_bytes(wrong)
        await tokens.keys.watch.check()
        assert kids(tokens) == before
        assert tokens.for_reads(ADA, "stock")


def test_a_file_with_another_kind_of_key_or_a_key_twice_is_refused(file: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    twice = file.read_bytes() * 2
    for data, said in (
        (pem, "another kind"),
        (twice, "holds a key twice"),
        (twice * 3, "holds 12 private keys"),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=said):
            SigningKeys(file)
    with pytest.raises(ValueError, match="No such file"):
        SigningKeys(file.with_name("nowhere.pem"))


def test_private_keys_are_not_published_and_only_the_owner_can_read_the_file(
    file: Path, tokens: InternalTokens
) -> None:
    for entry in json.loads(tokens.keys.now.published)["keys"]:
        assert set(entry) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name], "nothing is left beside it"


def test_bff_keys_rotate_prints_what_each_key_is_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.pem"
    for shown in (["signs", "is next"], ["signs", "is next", "signed before"]):
        assert main(["keys", "rotate", str(file)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split("  ")[1] for line in lines] == shown
    file.write_text("no key")
    assert main(["keys", "rotate", str(file)]) == 1
    assert "keys.pem holds 0 private keys" in capsys.readouterr().err
    assert file.read_text() == "no key", "what it does not know it does not replace"


def test_a_cached_token_is_not_signed_again_for_the_next_read(tokens: InternalTokens) -> None:
    kept = tokens.for_reads(ADA, "stock")
    assert all(tokens.for_reads(ADA, "stock") is kept for _ in range(100))
    assert len({tokens.for_write(ADA, "stock", scope()) for _ in range(3)}) == 3
