"""Many invalid credentials: they spend the limit of their address, and valid credentials are still served. Invalid
commands spend the limit of repeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from bff.edge.access.session import COOKIE
from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet
from bff.policies.rate import LocalRates

from ..unit.edge.access.issuing import ec_key
from .gateway import World, bearer, keyed, running, token

ISSUER = "https://provider.test"
OIDC = {"issuer": ISSUER, "client_id": "c", "client_secret": "s"}


@asynccontextmanager
async def world(redis_url: str, **changes: Any) -> AsyncIterator[World]:
    """A gateway that allows three failures of an address in an hour, and trusts a proxy on loopback."""
    changes = {
        "limits": {"failures": "3/hour"},
        "oidc": OIDC,
        "http": {"proxies": ["127.0.0.1/32"]},
    } | changes
    async with running(redis_url, **changes) as world:
        yield world


async def signed_in(world: World, subject: str = "ada") -> dict[str, str]:
    runtime = world.gateway.runtime
    assert runtime is not None and runtime.identity.sessions is not None
    now = time.time()
    tokens = TokenSet("a1", now, now + 3000, frozenset(), "r1")
    cookie = await runtime.identity.sessions.start(SessionRecord(ISSUER, subject, None, {}, tokens))
    return {"cookie": f"{COOKIE}={cookie}"}


def made_up() -> list[dict[str, str]]:
    """One invalid credential of each kind."""
    return [
        {"authorization": "Bearer nonsense"},
        {"authorization": "Basic YTpi"},
        {"authorization": f"Bearer {token()}x"},
        {"authorization": f"Bearer {token(exp=1)}"},
        {"authorization": f"Bearer {token(aud='bank')}"},
        {"cookie": f"{COOKIE}={SessionKey.new().value}"},
        {"cookie": f"{COOKIE}=short"},
    ]


async def ask(world: World, headers: dict[str, str], address: str = "192.0.2.7") -> httpx.Response:
    return await world.client.get("/api/me", headers={"x-forwarded-for": address, **headers})


@pytest.mark.parametrize("number", range(7))
async def test_invalid_credentials_of_each_kind_are_429_beyond_the_limit(redis_url: str, number: int) -> None:
    async with world(redis_url) as here:
        answers = [await ask(here, made_up()[number]) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
        last = answers[-1]
        assert last.json()["code"] == "rate-limited" and int(last.headers["retry-after"]) > 0
        assert (await ask(here, made_up()[number], "192.0.2.8")).status_code == 401


async def test_bff_user_counts_invalid_credentials_too(redis_url: str) -> None:
    async with world(redis_url) as here:
        for headers in made_up()[:3]:
            answer = await here.client.get("/bff/user", headers={"x-forwarded-for": "192.0.2.7", **headers})
            assert answer.status_code == 401
        for url in ("/bff/user", "/api/me"):
            cookie = {"x-forwarded-for": "192.0.2.7", "cookie": f"{COOKIE}={SessionKey.new().value}"}
            assert (await here.client.get(url, headers=cookie)).status_code == 429
            anonymous = await here.client.get("/bff/user?anonymous=1", headers=cookie)
            assert (anonymous.status_code, anonymous.json()) == (200, None)


async def test_valid_credentials_are_served_from_an_address_beyond_the_limit(redis_url: str) -> None:
    async with world(redis_url) as here:
        remembered, session = bearer("ada"), await signed_in(here)
        assert (await ask(here, remembered)).status_code == 200
        for headers in made_up() * 3:
            await ask(here, headers)
        assert (await ask(here, {"authorization": "Bearer x"})).status_code == 429
        for headers in (remembered, session, bearer("never seen"), await signed_in(here, "new")):
            assert (await ask(here, headers)).status_code == 200
        # Many valid ones at once, among as many invalid ones.
        mixed = [bearer(f"p{number}") if number % 2 else made_up()[number % 7] for number in range(60)]
        answers = await asyncio.gather(*(ask(here, headers) for headers in mixed))
        for number, answer in enumerate(answers):
            assert answer.status_code == (200 if number % 2 else 429)
        # A request without credentials is served, too, and valid credentials spend nothing.
        assert (await ask(here, {})).status_code == 401
        public = await here.client.get("/api/hello", headers={"x-forwarded-for": "192.0.2.7"})
        assert public.status_code == 200


async def test_a_public_screen_serves_a_cookie_of_an_ended_session_as_anonymous(redis_url: str) -> None:
    async with world(redis_url) as here:
        headers = {"x-forwarded-for": "192.0.2.7", "cookie": f"{COOKIE}={SessionKey.new().value}"}
        for _ in range(8):
            answer = await here.client.get("/api/hello", headers=headers)
            assert (answer.status_code, answer.json()["id"]) == (200, None)


async def test_valid_credentials_do_not_spend_the_limit(redis_url: str) -> None:
    async with world(redis_url) as here:
        session = await signed_in(here)
        for _ in range(10):
            assert (await ask(here, bearer("ada"))).status_code == 200
            assert (await ask(here, session)).status_code == 200
        assert (await ask(here, {"authorization": "Bearer x"})).status_code == 401


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
async def test_addresses_of_one_host_are_counted_together(
    redis_url: str, first: str, second: str, same: bool
) -> None:
    async with world(redis_url) as here:
        for _ in range(4):
            await ask(here, {"authorization": "Bearer x"}, first)
        assert (await ask(here, {"authorization": "Bearer x"}, second)).status_code == (429 if same else 401)


async def test_an_issuer_that_is_away_does_not_count_as_a_failure(redis_url: str) -> None:
    async with world(redis_url) as here:
        here.upstream.answers["/keys"] = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
        for _ in range(6):
            answer = await ask(here, {"authorization": f"Bearer {token()}"})
            assert answer.status_code == 503
        assert (await ask(here, {"authorization": "Bearer x"})).status_code == 401


async def test_the_number_of_counted_addresses_is_bounded(redis_url: str) -> None:
    async with world(redis_url) as here:
        runtime = here.gateway.runtime
        assert runtime is not None
        runtime.identity.authenticate._failures._rates = rates = LocalRates(most=10)
        for number in range(40):
            await ask(here, {"authorization": "Bearer x"}, f"192.0.2.{number}")
        assert len(rates) == 10


async def test_a_forged_signature_is_429_beyond_the_limit(redis_url: str) -> None:
    from ..unit.edge.access.issuing import claims, sign

    async with world(redis_url) as here:
        now = int(time.time())
        other = ec_key()
        forged = [sign(other, claims(sub=f"s{number}", iat=now, exp=now + 300)) for number in range(6)]
        answers = [await ask(here, {"authorization": f"Bearer {one}"}) for one in forged]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 3


# ---- invalid commands

WISH = {"name": "mug"}


@pytest.mark.parametrize(
    "bend",
    [
        {"headers": {"idempotency-key": ""}},
        {"content": b"{"},
        {"content": b'{"name": 7}'},
        {"content": b"x" * 70_000},
        {"headers": {"content-type": "text/plain"}},
    ],
    ids=["no key", "no JSON", "another type", "too large", "another kind"],
)
async def test_invalid_commands_spend_the_limit_of_repeats(redis_url: str, bend: dict[str, Any]) -> None:
    async with world(redis_url) as here:

        async def send(subject: str = "ada", **changes: Any) -> httpx.Response:
            headers = {
                **keyed(subject=subject),
                "content-type": "application/json",
                **changes.pop("headers", {}),
            }
            changes = changes or {"content": b'{"name":"mug"}'}
            return await here.client.post("/api/limited", headers=headers, **changes)

        # Two a minute, and twenty times that for repeats and unreadable commands: one more every second and a half.
        taken, began = 0, time.monotonic()
        while (await send(**bend)).status_code != 429:
            taken += 1
            assert taken <= 41 + (time.monotonic() - began) / 1.5
        assert taken >= 40
        answer = await send()
        assert answer.status_code == 200, "a valid command has its own limit"
        assert (await send("grace", **bend)).status_code != 429, "other people have their own limit"
