"""Opaque tokens: what is asked, what is believed for how long, and what happens while the issuer gives no answer."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from bff.calls import DeclarationError
from bff.edge.access import introspection
from bff.edge.access.fetch import FetchFailed, FetchResponse
from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.profiles import introspecting, issuer_mistakes
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings, load

from .hostile import KEY, KEY_SET, OTHER
from .issuing import ISSUER, NOW, Clocks, claims, sign

ENDPOINT = f"{ISSUER}/introspect"
SIGNED = "application/token-introspection+jwt"
TOKEN = "ory_at_2YotnFZFEjr1zCsicMWpAA"


def answer(**changes: Any) -> dict[str, Any]:
    good = {"active": True, "aud": "shop", "sub": "ada", "client_id": "cli", "token_type": "Bearer"}
    good |= {"scope": "shop read", "exp": NOW + 3600, "iat": NOW - 5, "jti": "t1", "name": "Ada"}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


@dataclass
class Endpoint:
    """A fetch that answers questions about tokens. reply: status, type and body, or what is raised; gate: unset, no
    question is answered."""

    reply: Any = None
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    discovery: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gate.set()
        if self.reply is None:
            self.says(answer())

    def says(self, document: Any, status: int = 200, kind: str = "application/json; charset=utf-8") -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.reply = (status, {"content-type": kind}, body)

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        if url == f"{ISSUER}/keys":
            return 200, {}, json.dumps(KEY_SET).encode()
        if url.endswith("/.well-known/openid-configuration"):
            return 200, {}, json.dumps({"issuer": ISSUER, **self.discovery}).encode()
        assert (url, method) == (ENDPOINT, "POST")
        self.asked.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        self.headers.append(headers or {})
        await self.gate.wait()
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply  # type: ignore[no-any-return]


def issuer(name: str = ISSUER, **changes: Any) -> IssuerSettings:
    settings = {"endpoint": ENDPOINT, "client_id": "b:ff", "client_secret": "se cret"} | changes
    base = {"issuer": name, "audience": "shop", "jwks_uri": f"{ISSUER}/keys"}
    for outer in ("clients", "scope_claims"):
        if outer in settings:
            base[outer] = settings.pop(outer)
    return IssuerSettings.model_validate(
        base | {"introspection": {name: value for name, value in settings.items() if value is not ...}}
    )


def world(**changes: Any) -> tuple[TokenVerifier, Endpoint, Clocks]:
    endpoint, clock = Endpoint(), Clocks()
    return TokenVerifier([issuer(**changes)], endpoint, clock, clock), endpoint, clock


async def refusal(verifier: TokenVerifier, token: str = TOKEN, *, reads: bool = False) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        await verifier.verify(token, reads=reads)
    return caught.value.status, str(caught.value.extra.get("reason", caught.value.code))


async def test_the_issuer_is_asked_about_an_opaque_token_and_its_answer_is_the_principal() -> None:
    verifier, endpoint, _ = world()
    principal = await verifier.verify(TOKEN)
    assert (principal.id, principal.token, principal.expires_at) == (f"{ISSUER}|ada", TOKEN, NOW + 3600)
    assert principal.scopes == {"shop", "read"}
    assert principal.claims == {"sub": "ada", "name": "Ada", "client_id": "cli"}
    assert endpoint.asked == [{"token": TOKEN, "token_type_hint": "access_token"}]
    pair = base64.b64encode(b"b%3Aff:se+cret").decode()
    assert endpoint.headers[0]["authorization"] == f"Basic {pair}"


async def test_the_answer_says_whether_a_person_or_a_client_asks() -> None:
    for sub, person in (("ada", True), ("cli", False)):
        verifier, endpoint, _ = world()
        endpoint.says(answer(sub=sub))
        assert (await verifier.verify(TOKEN)).is_person == person


async def test_a_changed_secret_is_sent_with_the_next_question(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    introspection = {"endpoint": ENDPOINT, "client_id": "bff", "client_secret_file": str(file)}
    settings = load(
        {"BFF_ISSUERS": json.dumps([{"issuer": ISSUER, "audience": "shop", "introspection": introspection}])}
    )
    assert settings.secret_files is not None
    endpoint, clock = Endpoint(), Clocks()
    verifier = TokenVerifier(settings.issuers, endpoint, clock, clock)
    await verifier.verify(f"{TOKEN}-1")
    file.write_text("second")
    await settings.secret_files.watch.check()
    await verifier.verify(f"{TOKEN}-2")
    sent = [base64.b64decode(one["authorization"].removeprefix("Basic ")) for one in endpoint.headers]
    assert sent == [b"bff:first", b"bff:second"]


async def test_the_secret_goes_into_the_form_where_the_settings_or_the_metadata_say_so() -> None:
    verifier, endpoint, _ = world(authentication="client_secret_post")
    await verifier.verify(TOKEN)
    assert endpoint.asked[0]["client_secret"] == "se cret" and "authorization" not in endpoint.headers[0]
    verifier, endpoint, _ = world(endpoint=...)
    endpoint.discovery = {
        "introspection_endpoint": ENDPOINT,
        "introspection_endpoint_auth_methods_supported": ["client_secret_post"],
    }
    await verifier.verify(TOKEN)
    assert endpoint.asked[0]["client_id"] == "b:ff"


@pytest.mark.parametrize(
    ("offered", "setting", "in_form"),
    [
        (["client_secret_basic", "client_secret_post"], None, False),
        (["client_secret_post"], "client_secret_basic", False),
        (["client_secret_basic"], "client_secret_post", True),
        ("client_secret_post", None, False),
        (None, None, False),
    ],
)
async def test_the_setting_wins_over_the_metadata_and_basic_is_preferred(
    offered: Any, setting: str | None, in_form: bool
) -> None:
    verifier, endpoint, _ = world(endpoint=..., authentication=setting)
    endpoint.discovery = {
        "introspection_endpoint": ENDPOINT,
        "introspection_endpoint_auth_methods_supported": offered,
    }
    await verifier.verify(TOKEN)
    assert ("client_secret" in endpoint.asked[0]) is in_form
    assert ("authorization" in endpoint.headers[0]) is not in_form
    assert endpoint.asked[0]["token"] == TOKEN
    assert endpoint.headers[0]["content-type"] == "application/x-www-form-urlencoded"
    assert endpoint.headers[0]["accept"] == "application/json"


async def test_the_settings_say_where_the_scopes_of_an_answer_are() -> None:
    verifier, endpoint, _ = world(scope_claims=["scp"])
    endpoint.says(answer(iss=ISSUER, scp=["a", "b"]))
    assert (await verifier.verify(TOKEN)).scopes == {"a", "b"}


async def test_an_issuer_without_the_endpoint_in_its_metadata_is_503() -> None:
    verifier, _, _ = world(endpoint=...)
    assert await refusal(verifier) == (503, "unavailable")


async def test_a_positive_answer_is_used_for_thirty_seconds_and_a_negative_one_for_five() -> None:
    verifier, endpoint, clock = world()
    await verifier.verify(TOKEN)
    clock.now += 29.9
    await verifier.verify(TOKEN)
    assert len(endpoint.asked) == 1
    endpoint.says({"active": False})
    clock.now += 0.1
    assert await refusal(verifier) == (401, "inactive")
    clock.now += 4.9
    endpoint.says(answer())
    assert await refusal(verifier) == (401, "inactive")
    assert len(endpoint.asked) == 2
    clock.now += 0.1
    assert await verifier.verify(TOKEN)
    assert len(endpoint.asked) == 3


async def test_an_answer_is_not_used_beyond_the_expiry_of_the_token() -> None:
    verifier, endpoint, clock = world()
    endpoint.says(answer(exp=NOW + 10))
    await verifier.verify(TOKEN)
    clock.now += 20.1
    endpoint.says(answer(exp=NOW + 10))
    assert await refusal(verifier, reads=True) == (401, "expired")


async def test_the_setting_shortens_how_long_a_revoked_token_is_accepted() -> None:
    verifier, endpoint, _ = world(believed=0)
    await verifier.verify(TOKEN)
    endpoint.says({"active": False})
    assert await refusal(verifier) == (401, "inactive")
    with pytest.raises(ValueError, match="believed"):
        issuer(believed=31)


async def test_questions_about_one_token_at_the_same_time_are_one() -> None:
    verifier, endpoint, _ = world()
    endpoint.gate.clear()
    asking = [asyncio.create_task(verifier.verify(TOKEN)) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking[0].cancel()
    endpoint.gate.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {one.subject for one in results[1:] if not isinstance(one, BaseException)} == {"ada"}
    assert len(endpoint.asked) == 1


async def test_made_up_tokens_do_not_flood_the_issuer() -> None:
    verifier, endpoint, _ = world()
    endpoint.gate.clear()
    asking = [asyncio.create_task(verifier.verify(f"t{number}")) for number in range(200)]
    while len(endpoint.asked) < introspection.IN_FLIGHT:
        await asyncio.sleep(0)
    done = [one for one in asking if one.done()]
    assert len(endpoint.asked) == introspection.IN_FLIGHT
    assert {one.exception().status for one in done} == {503}  # type: ignore[union-attr]
    endpoint.gate.set()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_one_address_cannot_keep_the_tokens_of_others_from_being_asked_about() -> None:
    verifier, endpoint, _ = world()
    endpoint.gate.clear()
    flood = [asyncio.create_task(verifier.verify(f"t{number}", address="192.0.2.1")) for number in range(100)]
    other = asyncio.create_task(verifier.verify(TOKEN, address="192.0.2.2"))
    while not endpoint.asked or endpoint.asked[-1]["token"] != TOKEN:
        await asyncio.sleep(0)
    assert len(endpoint.asked) == introspection.PER_ADDRESS + 1
    endpoint.gate.set()
    assert await other
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(one, Problem) for one in results) == 100 - introspection.PER_ADDRESS
    assert await verifier.verify("t99", address="192.0.2.1")


async def test_stored_answers_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "MAX_BELIEFS", 3)
    verifier, endpoint, _ = world()
    for number in range(5):
        await verifier.verify(f"t{number}")
    await verifier.verify("t4")
    assert len(endpoint.asked) == 5
    await verifier.verify("t0")
    assert len(endpoint.asked) == 6
    endpoint.says({"active": False})
    for number in range(5):
        await refusal(verifier, f"n{number}")
    await refusal(verifier, "n0")
    assert len(endpoint.asked) == 12


AWAY = [
    FetchFailed(f"{ENDPOINT} did not answer within 2 s"),
    (500, {"content-type": "text/html"}, b"<html>"),
    (200, {"content-type": "text/html"}, b"<html>hello</html>"),
    (200, {"content-type": "application/json"}, b"not json"),
    (200, {"content-type": "application/json"}, b"[]"),
    (200, {"content-type": "application/json"}, b'{"active": false, "active": true}'),
    (200, {"content-type": "application/json"}, b'{"active": "true", "sub": "ada"}'),
    (200, {}, b'{"active": true}'),
    (401, {"content-type": "application/json"}, b'{"error": "invalid_client"}'),
    (429, {"content-type": "application/json"}, b"{}"),
    (302, {"location": "https://evil.test"}, b""),
    (204, {}, b""),
    *(
        (status, {"content-type": "application/json"}, json.dumps(answer()).encode())
        for status in (201, 400, 403, 500)
    ),
]


@pytest.mark.parametrize("reply", AWAY, ids=lambda one: str(one)[:60])
async def test_without_a_usable_answer_reads_are_served_one_period_more_and_writes_are_503(
    reply: Any,
) -> None:
    verifier, endpoint, clock = world()
    endpoint.reply = reply
    assert await refusal(verifier, reads=True) == (503, "unavailable"), "nothing is known yet"
    clock.now += 2
    endpoint.says(answer())
    await verifier.verify(TOKEN)
    endpoint.reply = reply
    clock.now += 30
    assert await refusal(verifier) == (503, "unavailable")
    assert (await verifier.verify(TOKEN, reads=True)).subject == "ada"
    clock.now += 29.9
    assert (await verifier.verify(TOKEN, reads=True)).subject == "ada"
    clock.now += 0.1
    assert await refusal(verifier, reads=True) == (503, "unavailable")
    endpoint.says(answer())
    clock.now += 1
    assert await verifier.verify(TOKEN)


async def test_what_was_known_is_not_used_beyond_the_tokens_expiry_while_the_issuer_is_away() -> None:
    verifier, endpoint, clock = world()
    endpoint.says(answer(exp=NOW + 40))
    await verifier.verify(TOKEN)
    endpoint.reply = FetchFailed("away")
    clock.now += 49.9
    assert await verifier.verify(TOKEN, reads=True)
    clock.now += 0.1
    assert await refusal(verifier, reads=True) == (503, "unavailable")


async def test_a_token_that_became_inactive_is_refused_though_it_was_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    verifier, endpoint, clock = world()
    await verifier.verify(TOKEN)
    clock.now += 31
    endpoint.says({"active": False})
    assert await refusal(verifier, reads=True) == (401, "inactive")
    endpoint.reply = FetchFailed("away")
    clock.now += 6
    assert await refusal(verifier, reads=True) == (503, "unavailable")


async def test_nobody_waits_for_an_issuer_that_just_did_not_answer() -> None:
    verifier, endpoint, clock = world()
    endpoint.reply = FetchFailed("away")
    assert await refusal(verifier) == (503, "unavailable")
    assert await refusal(verifier, "other") == (503, "unavailable")
    assert len(endpoint.asked) == 1
    clock.now += 1
    assert await refusal(verifier, "other") == (503, "unavailable")
    assert len(endpoint.asked) == 2
    # An odd answer about one token keeps no other from being asked about.
    clock.now += 1
    endpoint.says(b"", status=400)
    assert await refusal(verifier, "odd") == (503, "unavailable")
    endpoint.says(answer())
    assert await verifier.verify("good")


async def test_a_refused_client_is_logged_once_with_the_cure_and_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    verifier, endpoint, _ = world()
    endpoint.says({"error": "invalid_client"}, status=401)
    with caplog.at_level(logging.INFO, "bff.tokens"):
        for number in range(3):
            await refusal(verifier, f"{TOKEN}{number}")
    assert [one.getMessage() for one in caplog.records if "check client_id" in one.getMessage()] == [
        f"an issuer cannot be asked about tokens: {ENDPOINT} answered 401: check client_id and client_secret of "
        "introspection, and whether this client may introspect tokens"
    ]
    assert TOKEN not in caplog.text and "se cret" not in caplog.text
    assert "se cret" not in repr(issuer())


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (FetchFailed("it hangs"), "it hangs"),
        ((500, {}, b""), f"{ENDPOINT} answered 500"),
        *(
            ((status, {}, b""), f"{ENDPOINT} answered {status}: check client_id")
            for status in (400, 401, 403)
        ),
        ((404, {}, b""), f"{ENDPOINT} answered 404"),
        ((200, {}, b"{}"), f"the answer of {ENDPOINT} cannot be used: its type is not application/json"),
        (
            (200, {"content-type": "application/json"}, b"{}"),
            f"the answer of {ENDPOINT} cannot be used: its `active` is neither true nor false",
        ),
        (
            (200, {"content-type": "application/json"}, b"[]"),
            f"the answer of {ENDPOINT} cannot be used: its header or its claims are not a JSON object",
        ),
    ],
)
async def test_the_log_says_why_an_issuer_cannot_be_asked(
    reply: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    verifier, endpoint, clock = world()
    endpoint.reply = reply
    with caplog.at_level(logging.INFO, "bff.tokens"):
        for number in range(3):
            await refusal(verifier, f"t{number}")
            clock.now += 2
        endpoint.says(answer())
        await verifier.verify("good")
        endpoint.reply = reply
        await refusal(verifier, "last")
    lines = [
        one.getMessage().partition("an issuer cannot be asked about tokens: ")[2] for one in caplog.records
    ]
    assert len(lines) == 2, "once for each outage"
    assert all(line.startswith(told) for line in lines)
    assert ("check client_id" in lines[0]) is ("check client_id" in told)


async def test_odd_answers_about_made_up_tokens_do_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    verifier, endpoint, clock = world()
    with caplog.at_level(logging.INFO, "bff.tokens"):
        for number in range(50):
            endpoint.says(b"", status=400)
            await refusal(verifier, f"odd{number}")
            endpoint.says(answer())
            await verifier.verify(f"good{number}")
            clock.now += 0.1
    assert len(caplog.records) == 1


async def test_the_least_recently_used_answer_is_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "MAX_BELIEFS", 2)
    verifier, endpoint, clock = world()
    for name in ("a", "b", "a", "c"):
        await verifier.verify(name)
    assert [one["token"] for one in endpoint.asked] == ["a", "b", "c"]
    await verifier.verify("a")
    await verifier.verify("b")
    assert [one["token"] for one in endpoint.asked] == ["a", "b", "c", "b"]
    clock.now += 31
    # Asked again, an answer counts as used: `c` is dropped, not `a`.
    for name in ("a", "d", "a"):
        await verifier.verify(name)
    assert [one["token"] for one in endpoint.asked][4:] == ["a", "d"]
    endpoint.says({"active": False})
    for name in ("n1", "n2"):
        await refusal(verifier, name)
    clock.now += 5
    for name in ("n1", "n3", "n1"):
        await refusal(verifier, name)
    assert [one["token"] for one in endpoint.asked][6:] == ["n1", "n2", "n1", "n3"]


LYING: dict[str, tuple[dict[str, Any], str]] = {
    "no subject": ({"sub": ...}, "subject"),
    "another client": ({"client_id": "other"}, "client"),
    "expired": ({"exp": NOW - 11}, "expired"),
    "another issuer": ({"iss": "https://evil.test"}, "issuer"),
    "another audience": ({"aud": ["bank"]}, "audience"),
    "a refresh token": ({"token_type": ...}, "no-mark"),
    "a scope in a list": ({"scope": ["admin"]}, "scope"),
    "a subject with a line end": ({"sub": "a\r\nb"}, "subject-characters"),
    "bound to a certificate": ({"cnf": {"x5t#S256": "a" * 43}}, "certificate"),
    "bound to a key": ({"cnf": {"jkt": "a" * 43}}, "bound"),
}


@pytest.mark.parametrize("name", LYING)
async def test_an_answer_about_a_token_for_somebody_else_refuses_it(name: str) -> None:
    changes, reason = LYING[name]
    verifier, endpoint, _ = world(clients=["cli"])
    endpoint.says(answer(**changes))
    assert await refusal(verifier, reads=True) == (401, reason)


async def test_a_token_that_is_bound_to_a_key_is_no_bearer_token() -> None:
    verifier, endpoint, _ = world()
    endpoint.says(answer(token_type="DPoP", cnf={"jkt": "a" * 43}))
    principal, key = await verifier.verify_bound(TOKEN)
    assert (principal.subject, key) == ("ada", "a" * 43)
    assert await refusal(verifier) == (401, "bound")


# ---- signed answers (RFC 9701) -----------------------------------------------------------------------------


def signed(
    answered: Any, key: Any = KEY, typ: str | None = "token-introspection+jwt", **changes: Any
) -> bytes:
    document = {"iss": ISSUER, "aud": "b:ff", "iat": NOW, "token_introspection": answered, **changes}
    return sign(key, {name: one for name, one in document.items() if one is not ...}, typ=typ).encode()


async def test_a_signed_answer_is_requested_and_verified() -> None:
    verifier, endpoint, _ = world(signed=True)
    endpoint.says(signed(answer()), kind=SIGNED)
    assert (await verifier.verify(TOKEN)).subject == "ada"
    assert endpoint.headers[0]["accept"] == SIGNED
    endpoint.says(signed(answer(), aud=["shop"]), kind=SIGNED)
    assert await verifier.verify("of-the-API")
    endpoint.says(signed({"active": False}), kind=SIGNED)
    assert await refusal(verifier, "other") == (401, "inactive")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps(answer()).encode(), "application/json"),
        (json.dumps(answer()).encode(), SIGNED),
        (signed(answer()), "application/jwt"),
        (signed(answer(), OTHER), SIGNED),
        (signed(answer(), typ="JWT"), SIGNED),
        (signed(answer(), typ=None), SIGNED),
        (signed(answer(), aud="other"), SIGNED),
        (signed(answer(), iss="https://evil.test"), SIGNED),
        (signed(answer(), iat=NOW - 15.5), SIGNED),
        (signed(answer(), iat=NOW + 15.5), SIGNED),
        (signed(answer(), iat=...), SIGNED),
        (signed("active"), SIGNED),
        (signed(...), SIGNED),
        (signed({"active": "true"}), SIGNED),
        (sign(KEY, claims()).encode(), SIGNED),
        (signed(answer())[:-5], SIGNED),
        (b"\xff", SIGNED),
    ],
)
async def test_an_answer_that_is_not_signed_for_this_gateway_says_nothing(body: bytes, kind: str) -> None:
    verifier, endpoint, _ = world(signed=True)
    endpoint.says(body, kind=kind)
    assert await refusal(verifier, reads=True) == (503, "unavailable")


@pytest.mark.parametrize("iat", [NOW - 15, NOW + 15])
async def test_a_signed_answer_may_be_as_old_as_clocks_differ_and_answers_take(iat: float) -> None:
    verifier, endpoint, _ = world(signed=True)
    endpoint.says(signed(answer(), iat=iat), kind=SIGNED)
    assert await verifier.verify(TOKEN)


async def test_a_signed_answer_may_be_longer_than_a_token() -> None:
    verifier, endpoint, _ = world(signed=True)
    endpoint.says(signed(answer(groups=["g" * 10] * 1500)), kind=SIGNED)
    assert await verifier.verify(TOKEN)


# ---- which issuer is asked ---------------------------------------------------------------------------------


async def test_a_jwt_is_verified_here_unless_the_settings_say_otherwise() -> None:
    token = sign(KEY, claims())
    verifier, endpoint, _ = world()
    await verifier.verify(token)
    assert endpoint.asked == []
    verifier, endpoint, _ = world(jwts=True)
    await verifier.verify(token)
    assert [one["token"] for one in endpoint.asked] == [token]


async def test_a_jwt_of_another_issuer_is_never_sent_to_this_one() -> None:
    verifier, endpoint, _ = world(jwts=True)
    assert await refusal(verifier, sign(KEY, claims(iss="https://other.test"))) == (401, "issuer")
    assert await refusal(verifier, "gho_16C7e42F292c6912E7710c838347Ae178B4a") == (401, "github")
    assert await refusal(verifier, "ya29.a0AfH6SMBx") == (401, "google")
    assert endpoint.asked == []


async def test_opaque_tokens_go_to_the_issuer_whose_prefix_they_have_and_to_no_other() -> None:
    endpoint, clock = Endpoint(), Clocks()
    second = issuer("https://second.test", prefix="sec_", endpoint=ENDPOINT)
    verifier = TokenVerifier([issuer(prefix="ory_"), second], endpoint, clock, clock)
    assert (await verifier.verify("ory_1")).issuer == ISSUER
    assert (await verifier.verify("sec_1")).issuer == "https://second.test"
    assert await refusal(verifier, "other_1") == (401, "opaque")
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(("first", "second"), [(..., ...), (..., "a_"), ("a_", "a_b"), ("a_", "a_")])
def test_prefixes_that_do_not_tell_issuers_apart_stop_the_start(first: Any, second: Any) -> None:
    both = [issuer(prefix=first), issuer("https://second.test", prefix=second)]
    with pytest.raises(DeclarationError, match="prefix of its own"):
        TokenVerifier(both, Endpoint())
    assert any("prefix of its own" in one for one in issuer_mistakes(both))


def test_issuers_that_cannot_be_told_apart_are_named_with_the_cure() -> None:
    first, second = issuer(prefix="a_"), issuer("https://second.test", prefix="a_b")
    assert issuer_mistakes([second, first]) == [
        f"BFF_ISSUERS: issuer {ISSUER}: its opaque tokens cannot be told from those of https://second.test: give "
        "introspection of each a prefix of its own, with which its tokens begin"
    ]
    assert introspecting([first]) == [("a_", ISSUER)]
    assert introspecting([issuer(prefix=...)]) == [("", ISSUER)]


async def test_a_stop_cancels_the_questions_under_way() -> None:
    verifier, endpoint, _ = world()
    endpoint.gate.clear()
    asking = asyncio.create_task(verifier.verify(TOKEN))
    while not endpoint.asked:
        await asyncio.sleep(0)
    await verifier.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
