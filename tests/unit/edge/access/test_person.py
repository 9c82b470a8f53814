"""What a sign-in tells about the person: UserInfo, roles, and what the log says of claims that are missing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.person import Roles, UserInfo, shown_claims
from bff.edge.settings import OidcSettings
from bff.policies.tokens import Parsed, TokenRefused

from .issuing import ISSUER, claims, ec_key, sign

KEY = ec_key()
ADDRESS = f"{ISSUER}/userinfo"
ALL = frozenset({"openid", "profile", "email"})
JSON = "application/json"


def settings(**changes: Any) -> OidcSettings:
    base = {"issuer": ISSUER, "client_id": "c", "client_secret": "s"}
    return OidcSettings.model_validate(base | changes)


class Documents:
    """A discovery document with, or without, a UserInfo endpoint."""

    def __init__(self, *, offered: bool = True) -> None:
        self.offered = {"userinfo_endpoint": ADDRESS} if offered else {}

    async def document(self) -> dict[str, str]:
        return self.offered

    async def endpoint(self, name: str) -> str:
        if name not in self.offered:
            raise FetchFailed(f"{ISSUER} has no {name}")
        return self.offered[name]


class World:
    """UserInfo behind a fetch that gives this answer; asked: address and headers; verified: signed answers."""

    def __init__(
        self, body: bytes = b'{"sub":"ada","name":"Ada","email":"a@b.test"}', kind: str = JSON, **more: Any
    ) -> None:
        self.answer = (more.pop("status", 200), {"content-type": kind}, body)
        self.asked: list[tuple[str, Any]] = []
        self.verified: list[Parsed] = []
        documents: Any = Documents(offered=more.pop("offered", True))
        self.info = UserInfo(settings(**more), documents, self._fetch, self._verify)

    async def _fetch(self, url: str, *, headers: Any = None, **request: Any) -> Any:
        self.asked.append((url, headers))
        return self.answer

    async def _verify(self, parsed: Parsed) -> None:
        self.verified.append(parsed)

    async def complete(self, scopes: frozenset[str] = ALL, **claims: Any) -> dict[str, Any]:
        return dict(await self.info.complete({"sub": "ada"} | claims, "the-token", scopes))


async def test_userinfo_is_asked_with_the_access_token_for_json_or_a_signed_answer() -> None:
    world = World()
    assert await world.complete() == {"sub": "ada", "name": "Ada", "email": "a@b.test"}
    headers = {"authorization": "Bearer the-token", "accept": "application/json, application/jwt"}
    assert world.asked == [(ADDRESS, headers)]
    assert world.verified == []


@pytest.mark.parametrize(
    ("scopes", "known", "asks"),
    [
        ("profile", {}, True),
        ("profile", {"email": "a@b.test"}, True),
        ("profile", {"name": "Ada"}, False),
        ("profile", {"preferred_username": "ada"}, False),
        ("profile", {"given_name": "Ada"}, False),
        ("profile", {"nickname": "ada"}, False),
        ("email", {"name": "Ada"}, True),
        ("email", {"email": "a@b.test"}, False),
        ("profile email", {"name": "Ada"}, True),
        ("profile email", {"name": "Ada", "email": "a@b.test"}, False),
        ("openid", {}, False),
        ("", {}, False),
    ],
)
async def test_userinfo_is_asked_where_the_claims_of_a_scope_are_missing(
    scopes: str, known: dict[str, str], asks: bool
) -> None:
    world = World()
    await world.complete(frozenset(scopes.split()), **known)
    assert bool(world.asked) is asks


async def test_an_answer_that_names_no_type_is_read_as_json() -> None:
    world = World()
    world.answer = (200, {}, b'{"sub":"ada","name":"Ada"}')
    assert await world.complete() == {"sub": "ada", "name": "Ada"}


async def test_a_provider_without_userinfo_is_nothing_to_log(caplog: pytest.LogCaptureFixture) -> None:
    assert await World(offered=False).complete() == {"sub": "ada"}
    assert caplog.messages == []


async def test_the_setting_decides_whether_userinfo_is_asked() -> None:
    world = World(userinfo="never")
    assert await world.complete() == {"sub": "ada"} and not world.asked
    world = World(userinfo="always")
    assert (await world.complete(frozenset(), name="Ada L"))["email"] == "a@b.test" and world.asked
    world = World(offered=False)
    assert await world.complete() == {"sub": "ada"} and not world.asked
    with pytest.raises(FetchFailed, match="has no userinfo_endpoint"):
        await World(offered=False, userinfo="always").complete()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 500}, f"{ADDRESS} answered 500"),
        ({"status": 201}, f"{ADDRESS} answered 201"),
        ({"body": b"<html>"}, f"the answer of {ADDRESS} is not a JSON object"),
        ({"body": b"[]"}, f"the answer of {ADDRESS} is not a JSON object"),
        ({"body": b"[" * 100_000}, f"the answer of {ADDRESS} is not a JSON object"),
        ({"body": b"\xff", "kind": "application/jwt"}, "it is not a signed JWT"),
        (
            {"body": sign(KEY, claims(aud="d"), typ=None).encode(), "kind": "application/jwt"},
            "UserInfo is for another client",
        ),
        (
            {"body": sign(KEY, claims(aud=["d"]), typ=None).encode(), "kind": "application/jwt"},
            "UserInfo is for another client",
        ),
        (
            {"body": sign(KEY, claims(aud=...), typ=None).encode(), "kind": "application/jwt"},
            "UserInfo is for another client",
        ),
    ],
    ids=range(9),
)
async def test_an_answer_that_cannot_be_used_is_named_in_the_log_or_refuses_the_sign_in(
    answer: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await World(**answer).complete() == {"sub": "ada"}
    assert caplog.messages == [f"a person signs in without the claims of UserInfo: {told}"]
    with pytest.raises((FetchFailed, TokenRefused)) as caught:
        await World(**answer, userinfo="always").complete()
    assert str(caught.value) == told


async def test_an_answer_about_another_person_refuses_the_sign_in() -> None:
    with pytest.raises(TokenRefused) as caught:
        await World(b'{"sub":"grace"}').complete()
    assert str(caught.value) == "UserInfo is about another person"


@pytest.mark.parametrize("aud", ["c", ["d", "c"]])
@pytest.mark.parametrize("kind", ["application/jwt", "Application/JWT ; charset=utf-8"])
async def test_a_signed_answer_for_this_client_counts_once_it_was_verified(aud: Any, kind: str) -> None:
    body = sign(KEY, claims(aud=aud, groups="g" * 20_000), typ=None).encode()
    world = World(b" " + body + b"\n", kind)
    found = await world.complete()
    assert (found["name"], len(found["groups"])) == ("Ada", 20_000)
    assert [one.claims["sub"] for one in world.verified] == ["ada"]


# ---- roles


async def no_keys(parsed: Parsed) -> None:
    raise FetchFailed("away")


async def fine(parsed: Parsed) -> None:
    pass


async def test_roles_are_read_where_the_setting_says_and_no_other_token_is_touched() -> None:
    token = sign(KEY, claims(roles=["cook"]))
    inside = {"roles": ["reader"]}
    assert (await Roles(settings(), no_keys, 8192).of(inside, "opaque")).names == {"reader"}
    assert (await Roles(settings(roles_in="access_token"), fine, 8192).of(inside, token)).names == {"cook"}
    assert (await Roles(settings(roles_in="both"), fine, 8192).of(inside, token)).names == {"reader", "cook"}
    with pytest.raises(FetchFailed):
        await Roles(settings(roles_in="both"), no_keys, 8192).of(inside, token)


async def test_the_access_token_that_gives_roles_is_the_one_that_is_verified() -> None:
    verified: list[Parsed] = []

    async def verify(parsed: Parsed) -> None:
        verified.append(parsed)

    token = sign(KEY, claims(roles=["cook"]))
    assert (await Roles(settings(roles_in="access_token"), verify, 8192).of({}, token)).names == {"cook"}
    [parsed] = verified
    assert (parsed.signed.decode(), parsed.claims["roles"]) == (token.rpartition(".")[0], ["cook"])


async def test_a_long_access_token_gives_roles_up_to_the_size_that_is_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = sign(KEY, claims(roles=["cook"], more="x" * 9000))
    roles = settings(roles_in="access_token")
    assert (await Roles(roles, fine, 65_536).of({}, token)).names == {"cook"}
    assert (await Roles(roles, fine, len(token)).of({}, token)).names == {"cook"}
    assert not caplog.messages
    assert (await Roles(roles, fine, len(token) - 1).of({}, token)).names == frozenset()
    [told] = caplog.messages
    assert told.startswith(
        f"{ISSUER}: no roles are read from the access token of a sign-in: it is longer than "
    )


async def test_roles_at_every_path_count_and_the_client_has_its_own() -> None:
    roles = settings(roles=("roles", "resource_access.{client}.roles"))
    found = {"roles": ["a"], "resource_access": {"c": {"roles": ["b"]}, "d": {"roles": ["no"]}}}
    assert (await Roles(roles, fine, 8192).of(found, "")).names == {"a", "b"}
    with pytest.raises(TokenRefused):
        await Roles(roles, fine, 8192).of({"roles": [1]}, "")


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        ({"hasgroups": True}, "groups"),
        ({"hasgroups": "true"}, "groups"),
        ({"_claim_names": {"groups": "s"}}, "groups"),
        ({"_claim_names": {"roles": "s"}, "hasgroups": True}, "groups, roles"),
        ({"_claim_names": {"other": "s"}}, None),
        ({"_claim_names": ["groups"]}, None),
        ({"hasgroups": False}, None),
        ({"hasgroups": True, "groups": ["g"]}, None),
        ({}, None),
    ],
)
async def test_claims_with_roles_that_were_left_out_are_named(
    marks: dict[str, Any], told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    roles = settings(roles=("groups", "roles.*"))
    with caplog.at_level(logging.ERROR, "bff.session"):
        found = await Roles(roles, fine, 8192).of(marks, "")
    assert found.names == set(marks.get("groups", ()))
    assert found.left_out == (() if told is None else tuple(told.split(", ")))
    assert caplog.messages == (
        []
        if told is None
        else [
            f"{ISSUER} left out the claim {told} of a person, because it has too many values: the person has no "
            "roles of it. At Entra, assign app roles, or emit only groups assigned to the application"
        ]
    )


async def test_what_both_tokens_leave_out_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    token = sign(KEY, claims(hasgroups=True, _claim_names={"roles": "s"}))
    found = await Roles(settings(roles=("groups", "roles"), roles_in="both"), fine, 8192).of(
        {"hasgroups": True, "roles": ["a"]}, token
    )
    assert (found.names, found.left_out) == ({"a"}, ("groups", "roles"))


def test_a_page_sees_no_claims_that_are_elsewhere() -> None:
    found = {"sub": "ada", "name": "Ada", "_claim_names": {}, "_claim_sources": {"s": 1}, "iss": ISSUER}
    assert shown_claims(found) == {"sub": "ada", "name": "Ada"}
    # The record of a session has this name among the claims, for what it knows itself.
    assert shown_claims({"sub": "ada", "left_out": 7}) == {"sub": "ada"}
