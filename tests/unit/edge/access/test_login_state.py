"""The encrypted cookie of a sign-in under way, and the paths that a sign-in may return to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.edge.access.login_state import LIFETIME, LoginState, LoginStates, cookie_name, safe_return
from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet

STATES = LoginStates("secret")


def test_a_cookie_opens_only_for_its_state_and_within_its_lifetime() -> None:
    login = LoginState.new("/orders?x=1", 1000.0)
    sealed = STATES.seal(login)
    assert STATES.open(sealed, login.state, 1000.0 + LIFETIME) == login
    assert STATES.open(sealed, login.state, 1001.0 + LIFETIME) is None
    assert STATES.open(sealed, LoginState.new("/", 1000.0).state, 1000.0) is None
    assert STATES.open(None, login.state, 1000.0) is None


def test_a_cookie_can_be_neither_read_nor_made_without_the_secret() -> None:
    login = LoginState.new("/orders", 1000.0)
    sealed = STATES.seal(login)
    assert login.verifier not in sealed and login.verifier.encode().hex() not in sealed
    assert STATES.open(LoginStates("other").seal(login), login.state, 1000.0) is None
    for place in (0, 30, len(sealed) - 1):
        bent = sealed[:place] + ("0" if sealed[place] != "0" else "1") + sealed[place + 1 :]
        assert STATES.open(bent, login.state, 1000.0) is None
    for junk in ("", "00", "zz", "é", "f" * 10_000):
        assert STATES.open(junk, login.state, 1000.0) is None


def test_a_sign_in_under_way_survives_one_change_of_the_secret() -> None:
    secrets = ["first"]
    states, login = LoginStates(lambda: secrets[0]), LoginState.new("/orders", 1000.0)
    sealed = LoginStates("first").seal(login)
    secrets[0] = "second"
    assert states.open(sealed, login.state, 1000.0) == login
    assert LoginStates("second").open(states.seal(login), login.state, 1000.0) == login
    secrets[0] = "third"
    assert states.open(sealed, login.state, 1000.0) is None


def test_the_verifier_is_long_enough_for_pkce() -> None:
    login = LoginState.new("/", 0.0)
    assert 43 <= len(login.verifier) <= 128
    assert cookie_name(login.state) == f"__Host-bff-login-{login.state[:16]}"
    for foreign in ("", "x", login.state + "x", login.state.upper(), "../" + login.state):
        assert cookie_name(foreign) is None


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/1?tab=a%2Fb#top", "/a//b", "/ä", "/a..b/.c"])
def test_a_path_of_this_site_is_safe_to_return_to(path: str) -> None:
    assert safe_return(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "orders", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test"]
    + [
        "javascript:alert(1)",
        "/\t/evil.test",
        "/\n/evil.test",
        "/a\r\nSet-Cookie: x",
        "/\x00",
        " /a",
        "/\x7f",
        "/\ud83d",
        "/" + "a" * 1024,
        "/" + "é" * 512,
    ]
    + [
        "/.//evil.test",
        "/..//evil.test",
        "/%2e//evil.test",
        "/%2E%2e//evil.test",
        "/a\x85b",
        "/" + "a" * 1024,
    ],
)
def test_an_open_redirect_is_refused(path: str) -> None:
    assert safe_return(path) is None


@given(st.text(max_size=40))
def test_every_accepted_return_path_stays_on_this_site(text: str) -> None:
    from urllib.parse import urljoin, urlsplit

    path = safe_return(text)
    if path is not None:
        assert urlsplit(urljoin("https://shop.test/bff/callback", path)).netloc == "shop.test"


def test_a_session_record_opens_only_with_the_cookie_it_was_sealed_for() -> None:
    tokens = TokenSet("access", 1.0, 2.0, frozenset({"shop"}), "refresh", "id")
    record = SessionRecord("i", "ada", "sid", {"name": "Ada"}, tokens)
    key, other = SessionKey.new(), SessionKey.new()
    sealed = key.seal(record)
    assert key.open(sealed) == record
    assert other.open(sealed) is None
    assert key.open(sealed[:-1]) is None
    assert b"access" not in sealed and b"Ada" not in sealed
    assert key.id not in key.value and key.value not in repr(key)
    assert SessionKey.read(key.value) == key


@pytest.mark.parametrize("value", [None, "", "a" * 42, "a" * 44, "a" * 42 + "=", "é" * 43, "a" * 43 + "\n"])
def test_a_value_that_cannot_be_a_session_cookie_has_no_key(value: str | None) -> None:
    assert SessionKey.read(value) is None


def test_a_refresh_that_leaves_tokens_out_keeps_the_old_ones() -> None:
    old = TokenSet("a1", 1.0, 2.0, frozenset({"shop"}), "r1", "id1")
    assert old.renewed_by(TokenSet("a2", 3.0, 4.0)) == TokenSet(
        "a2", 3.0, 4.0, frozenset({"shop"}), "r1", "id1"
    )
    assert old.renewed_by(TokenSet("a2", 3.0, 4.0, refresh_token="r2")).refresh_token == "r2"
    assert "a1" not in repr(old) and "r1" not in repr(old) and "id1" not in repr(old)
