"""A service refused a session's access token, and then every screen of that person failed until the token expired.

Right: the token is refreshed once, and a read is repeated with the new one. If that is refused too, the answer is 502,
never 401: the person is signed in. A write is not repeated, but its next attempt under the same key has the new token.
A service that refuses every token does not cause a refresh for each request. Sources: RFC 6750 section 3.1, RFC 6749
section 6.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from bff import Gateway, together
from bff.edge.settings import Settings

from ..wire.gateway import bearer
from ..wire.oidc_provider import CLIENT, SECRET, OidcProvider
from ..wire.scripted import Asked
from ..wire.scripted import upstream as scripted
from ..wire.served import listening, served
from ..wire.test_signin import Browser
from .refusing import Done, Wish, asking, http, post, refusal, service

gateway = Gateway("tokens", deadline=30)


@gateway.view("/api/screen")
async def screen() -> Done:
    return await service.read("mine")


@gateway.view("/api/four")
async def four() -> list[Done]:
    return list(await together(*(service.read(f"mine-{number}") for number in range(4))))


@gateway.view("/api/public", public=True)
async def public() -> Done:
    return await service.read("mine").public()


@gateway.command("/api/command")
async def command(wish: Wish) -> Done:
    return await service.write("mine", wish)


@dataclass
class World:
    """tokens: those that the service received, in order; taken: those that it accepts, None for every token."""

    browser: Browser
    provider: OidcProvider
    tokens: list[str] = field(default_factory=list)
    taken: set[str] | None = None

    async def judge(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        self.tokens.append(token)
        good = self.taken is None or token in self.taken
        writer.write(http(200, b'{"name":"yours"}') if good else refusal(401))

    async def write(self, key: str) -> httpx.Response:
        headers = {"x-bff": "1", "idempotency-key": f'"{key}"'}
        return await self.browser.ask(
            "POST", f"{self.browser.site}/api/command", headers=headers, json={"name": "mug"}
        )


@asynccontextmanager
async def signed_in(redis_url: str, **upstream: object) -> AsyncIterator[World]:
    sock, provider_sock = listening(), listening()
    site = f"http://127.0.0.1:{sock.getsockname()[1]}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
    oidc = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
    async with scripted() as told, httpx.AsyncClient(timeout=60) as client:
        service_settings = {"url": f"http://127.0.0.1:{told.port}", "timeout": 10, **upstream}
        await gateway.start(
            Settings.model_validate(
                {
                    "public_url": site,
                    "redis": {"url": redis_url},
                    "admission": {"lag": 5},
                    "oidc": oidc,
                    "upstreams": {"service": service_settings},
                }
            )
        )
        world = World(Browser(client, site), provider)
        told.answers |= {f"/things/mine{end}": world.judge for end in ("", "-0", "-1", "-2", "-3")}
        try:
            async with served(gateway, sock), served(provider.app, provider_sock):
                assert (await world.browser.sign_in()).status_code == 200
                yield world
        finally:
            await gateway.stop()


async def test_a_read_is_repeated_with_a_new_token(redis_url: str) -> None:
    async with signed_in(redis_url) as world:
        world.taken = {"access-1"}
        answer = await world.browser.get("/api/screen")
        assert (answer.status_code, answer.json()) == (200, {"name": "yours"}), answer.text
        assert world.tokens == ["access-0", "access-1"]
        again = await world.browser.get("/api/screen")
        assert again.status_code == 200
        assert world.tokens[2:] == ["access-1"], "the session has the new one"


async def test_the_calls_of_one_screen_share_one_refresh(redis_url: str) -> None:
    async with signed_in(redis_url) as world:
        world.taken = {"access-1"}
        answer = await world.browser.get("/api/four")
        assert (answer.status_code, len(answer.json())) == (200, 4), answer.text
        assert len(world.provider.redeemed) == 1
        assert sorted(world.tokens) == ["access-0"] * 4 + ["access-1"] * 4


async def test_a_new_token_that_is_refused_too_is_502_without_another_refresh(redis_url: str) -> None:
    async with signed_in(redis_url) as world:
        world.taken = set()
        for _ in range(5):
            answer = await world.browser.get("/api/screen")
            assert (answer.status_code, answer.json()["code"]) == (502, "refused")
        assert len(world.provider.redeemed) == 1
        assert (await world.browser.get("/bff/user")).status_code == 200, "still signed in"


async def test_a_write_is_not_repeated_and_its_key_is_free(redis_url: str) -> None:
    async with signed_in(redis_url) as world:
        world.taken = {"access-1"}
        answer = await world.write("k")
        assert (answer.status_code, answer.json()["code"]) == (502, "refused")
        assert world.tokens == ["access-0"]
        again = await world.write("k")
        assert (again.status_code, again.json()) == (200, {"name": "yours"})
        assert world.tokens == ["access-0", "access-1"]


async def test_a_refused_token_is_502_when_the_provider_fails(redis_url: str) -> None:
    async with signed_in(redis_url) as world:
        world.taken, world.provider.token_status = set(), 503
        answer = await world.browser.get("/api/screen")
        assert (answer.status_code, answer.json()["code"]) == (502, "refused")


async def test_a_refused_call_without_a_token_refreshes_none(redis_url: str) -> None:
    async with signed_in(redis_url) as world:
        world.taken = {"access-1"}
        answer = await world.browser.get("/api/public")
        assert (answer.status_code, world.provider.redeemed) == (502, [])
    async with signed_in(redis_url, identity="none") as world:
        world.taken = {"access-1"}
        answer = await world.browser.get("/api/screen")
        assert (answer.status_code, world.provider.redeemed) == (502, [])


async def test_the_token_of_an_api_client_cannot_be_refreshed(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/mine"] = refusal(401)
        answer = await client.get("/api/screen", headers=bearer())
        assert (answer.status_code, answer.json()["code"]) == (502, "refused")
        assert "www-authenticate" not in answer.headers
        assert (await post(client, "/api/command", "k")).status_code == 502
