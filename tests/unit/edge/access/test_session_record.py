"""A session's record to the letter: how it is sealed, so that gateways of two releases share it, and what a refresh
changes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest

from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet, decrypt, encrypt

VALUE = "v" * 43
TOKENS = TokenSet("access", 1.0, 2.0, frozenset({"b", "a"}), "refresh", "id")
RECORD = SessionRecord("i", "ada", "sid", {"name": "Ada"}, TOKENS, frozenset({"y", "x"}), 5.0, "gold")


def key() -> SessionKey:
    found = SessionKey.read(VALUE)
    assert found is not None
    return found


def test_id_and_key_are_two_hashes_of_the_cookie() -> None:
    assert key().id == hashlib.sha256(b"bff session id:" + VALUE.encode()).hexdigest()
    secret = hashlib.sha256(b"bff session key:" + VALUE.encode()).digest()
    assert decrypt(secret, key().encrypt(b"text"), key().id.encode()) == b"text"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", SessionKey.new().value)
    assert SessionKey.new().value != SessionKey.new().value


def test_a_record_is_sealed_as_short_json_with_what_older_releases_do_not_know_among_the_claims() -> None:
    text = key().decrypt(key().seal(RECORD))
    tree = json.loads(text)
    assert tree == {
        "issuer": "i",
        "subject": "ada",
        "sid": "sid",
        "claims": {"name": "Ada", "auth_time": 5.0, "acr": "gold"},
        "tokens": {
            "access_token": "access",
            "issued_at": 1.0,
            "expires_at": 2.0,
            "scopes": ["a", "b"],
            "refresh_token": "refresh",
            "id_token": "id",
        },
        "roles": ["x", "y"],
    }
    assert len(text) == len(json.dumps(tree, separators=(",", ":")))
    assert key().open(key().seal(RECORD)) == RECORD
    assert RECORD.claims == {"name": "Ada"}, "the record itself is not changed"


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, provider="staff"),
        replace(RECORD, auth_time=None, acr=None),
        replace(RECORD, left_out=("groups", "roles")),
        replace(RECORD, roles=frozenset(), sid=None),
        replace(RECORD, tokens=replace(TOKENS, scopes=frozenset(), refresh_token=None)),
    ],
)
def test_a_record_reads_back_as_it_was(record: SessionRecord) -> None:
    assert key().open(key().seal(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"tokens": {}}',
        b'{"tokens": {"scopes": null}, "claims": {}, "roles": []}',
        b"7",
    ],
)
def test_what_another_version_sealed_is_no_record(text: bytes) -> None:
    assert key().open(key().encrypt(text)) is None


def test_what_was_sealed_with_another_secret_or_context_cannot_be_read() -> None:
    sealed = encrypt(b"s" * 32, b"text", b"context")
    assert decrypt(b"s" * 32, sealed, b"context") == b"text"
    assert encrypt(b"s" * 32, b"text", b"context") != sealed, "each has a nonce of its own"
    for secret, context in ((b"t" * 32, b"context"), (b"s" * 32, b"other"), (b"s" * 32, b"")):
        with pytest.raises(ValueError, match=r"^it was not encrypted with this secret$"):
            decrypt(secret, sealed, context)
    assert decrypt(b"s" * 32, encrypt(b"s" * 32, b"text")) == b"text"


@pytest.mark.parametrize(
    ("granted", "answered", "left"),
    [
        ({"a", "b"}, None, {"a", "b"}),
        ({"a", "b"}, {"a"}, {"a"}),
        ({"a", "b"}, {"a", "c"}, {"a"}),
        ({"a"}, set(), set()),
        (None, {"a"}, set()),
        (None, None, set()),
    ],
)
def test_a_refresh_leaves_scopes_or_takes_some_away_and_adds_none(
    granted: set[str] | None, answered: set[str] | None, left: set[str]
) -> None:
    old = replace(TOKENS, scopes=None if granted is None else frozenset(granted))
    newer = TokenSet("new", 3.0, 4.0, None if answered is None else frozenset(answered))
    assert old.renewed_by(newer) == TokenSet("new", 3.0, 4.0, frozenset(left), "refresh", "id")
    all_new = replace(newer, refresh_token="r2", id_token="i2")
    assert old.renewed_by(all_new) == TokenSet("new", 3.0, 4.0, frozenset(left), "r2", "i2")
