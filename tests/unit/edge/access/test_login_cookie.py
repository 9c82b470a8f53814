"""The cookie of a sign-in under way to the letter: its form, which gateways of two releases share, its bounds in bytes
and seconds, and the edges of what a return path may hold."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest

from bff.edge.access.login_state import (
    LIFETIME,
    MAX_REPLACED,
    LoginState,
    LoginStates,
    is_cookie_name,
    safe_return,
)
from bff.edge.access.session_record import decrypt, encrypt

STATES = LoginStates("secret")
KEY = hashlib.sha256(b"bff login state:secret").digest()
IDS = tuple(hashlib.sha256(bytes([number])).hexdigest() for number in range(6))
STATE = "0123456789abcdef." + "a" * 43


def unpadded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def sealed(facts: Any) -> str:
    return unpadded(encrypt(KEY, json.dumps(facts).encode()))


def facts_in(cookie: str) -> Any:
    return json.loads(decrypt(KEY, urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))))


def login(**changes: Any) -> LoginState:
    given: dict[str, Any] = {"state": STATE, "seed": "s" * 43, "return_to": "/orders", "began": 1000.0}
    return LoginState(**given | changes)


def test_a_new_sign_in_has_random_values_and_the_newest_sessions_that_it_replaces() -> None:
    made = LoginState.new("/orders", 1000.5, IDS, max_age=300, acr=("gold",))
    assert re.fullmatch(r"[0-9a-f]{16}\.[A-Za-z0-9_-]{43}", made.state)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made.seed)
    assert (made.return_to, made.began, made.max_age, made.acr) == ("/orders", 1000.5, 300, ("gold",))
    assert made.replaces == IDS[-MAX_REPLACED:]
    assert made.seed != LoginState.new("/orders", 1000.5).seed
    plain = LoginState.new("/", 0.0)
    assert (plain.replaces, plain.max_age, plain.acr) == ((), None, ())


def test_nonce_and_verifier_are_made_of_the_seed_in_the_same_way_on_every_gateway() -> None:
    def made(purpose: bytes) -> str:
        return unpadded(hmac.new(b"s" * 43, b"bff login " + purpose, hashlib.sha256).digest())

    assert (login().nonce, login().verifier) == (made(b"nonce"), made(b"verifier"))
    assert len(login().nonce) == len(login().verifier) == 43


def test_a_cookie_has_the_form_that_every_gateway_reads_and_is_as_short_as_it_can_be() -> None:
    given = login(return_to="/ä/🛒", began=1000.1239, replaces=IDS[:2], max_age=60, acr=("a", "b"))
    cookie = STATES.seal(given)
    facts = [
        STATE,
        "s" * 43,
        "/ä/🛒",
        1000.124,
        [unpadded(bytes.fromhex(one)) for one in IDS[:2]],
        60,
        ["a", "b"],
    ]
    assert facts_in(cookie) == facts
    shortest = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(cookie) == len(unpadded(encrypt(KEY, shortest)))
    opened = STATES.open(sealed(facts), STATE, 1000.124)
    assert opened == login(return_to="/ä/🛒", began=1000.124, replaces=IDS[:2], max_age=60, acr=("a", "b"))


@pytest.mark.parametrize("length", range(1, 25))
def test_a_cookie_of_any_length_opens(length: int) -> None:
    given = login(return_to="/" * length)
    for _ in range(2):
        assert STATES.open(STATES.seal(given), STATE, 1000.0) == given


def test_a_cookie_that_ends_with_any_letter_opens() -> None:
    # Without padding the last letter may be any of the 64.
    given = next(
        one for one in (login(return_to="/" * n) for n in range(1, 4)) if len(STATES.seal(one)) % 4 == 0
    )
    cookies = [STATES.seal(given) for _ in range(1500)]
    assert len({cookie[-1] for cookie in cookies}) > 60
    assert all(STATES.open(cookie, STATE, 1000.0) == given for cookie in cookies)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        [],
        [STATE],
        [STATE, "s", "/", 1000.0, 5, None, []],
        [STATE, "s", "/", 1000.0, [5], None, []],
        [STATE, "s", "/", 1000.0, ["a"], None, []],
        [STATE, "s", "/", 1000.0, [], None, 5],
        7,
    ],
    ids=str,
)
def test_a_cookie_of_another_form_does_not_open(facts: Any) -> None:
    assert STATES.open(sealed(facts), STATE, 1000.0) is None


def test_a_cookie_longer_than_the_bound_does_not_open() -> None:
    empty = len(STATES.seal(login(return_to="")))
    longest = login(return_to="/" * (8192 * 3 // 4 - empty * 3 // 4))
    while len(STATES.seal(longest)) < 8192:
        longest = login(return_to=longest.return_to + "/")
    while len(STATES.seal(longest)) > 8192:
        longest = login(return_to=longest.return_to[1:])
    assert len(STATES.seal(longest)) == 8192
    assert STATES.open(STATES.seal(longest), STATE, 1000.0) == longest
    longer = login(return_to=longest.return_to + "/" * 3)
    assert STATES.open(STATES.seal(longer), STATE, 1000.0) is None


@pytest.mark.parametrize(
    ("now", "opens"),
    [(940.0, True), (939.9, False), (939.0, False), (1000.0 + LIFETIME, True), (1000.1 + LIFETIME, False)],
)
def test_a_cookie_opens_from_a_minute_before_its_begin_to_the_end_of_its_lifetime(
    now: float, opens: bool
) -> None:
    assert (STATES.open(STATES.seal(login()), STATE, now) is not None) is opens


def test_the_secret_before_is_remembered_however_often_cookies_are_opened() -> None:
    secrets = ["first"]
    states = LoginStates(lambda: secrets[0])
    cookie = states.seal(login())
    secrets[0] = "second"
    for _ in range(3):
        assert states.open(cookie, STATE, 1000.0) == login()


def test_a_cookie_is_sealed_again_with_the_session_that_its_sign_in_will_replace() -> None:
    cookie = STATES.seal(login(replaces=IDS[:3], max_age=9))
    again = STATES.replacing(cookie, IDS[3], 1100.9)
    assert again is not None
    assert again[1] == int(LIFETIME - 100.9)
    assert STATES.open(again[0], STATE, 1100.9) == login(replaces=IDS[:4], max_age=9)
    fuller = STATES.replacing(again[0], IDS[4], 1000.0 + LIFETIME)
    assert fuller is not None and fuller[1] == 1, "a browser would remove a cookie of no seconds"
    assert STATES.open(fuller[0], STATE, 1000.0) == login(replaces=IDS[1:5], max_age=9)
    for lost in (
        STATES.replacing("junk", IDS[0], 1000.0),
        STATES.replacing(cookie, IDS[0], 1001.0 + LIFETIME),
    ):
        assert lost is None


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("__Host-bff-login-0123456789abcdef", True),
        ("__Host-bff-login-0123456789abcde", False),
        ("__Host-bff-login-0123456789abcdeg", False),
        ("0123456789abcdef", False),
        ("__Host-bff-login-", False),
        ("__Host-other-0123456789abcdef", False),
    ],
)
def test_the_cookies_of_flows_are_known_by_their_names(name: str, is_ours: bool) -> None:
    assert is_cookie_name(name) is is_ours
    assert is_cookie_name(name, "__Host-other-") is (name == "__Host-other-0123456789abcdef")


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/" + "a" * 1023, True),
        ("/" + "a" * 1024, False),
        ("/a b", False),
        ("/a!b", True),
        ("/a~b", True),
        ("/a\x7fb", False),
        ("/a\x9fb", False),
        ("/a\xa0b", True),
        ("/a\ud7ffb", True),
        ("/a\ud800b", False),
        ("/a\udfffb", False),
        ("/a\ue000b", True),
    ],
    ids=ascii,
)
def test_the_edges_of_what_a_return_path_may_hold(path: str, safe: bool) -> None:
    assert safe_return(path) == (path if safe else None)
