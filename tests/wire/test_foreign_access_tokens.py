"""Access tokens of a certified provider that we did not write (npm `oidc-provider`), with the settings of its page in
the documentation: JWTs, opaque tokens with signed answers about them, and tokens that are bound to a key (DPoP)."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from bff.edge.settings import load
from bff.policies.tokens import Reason

from ..conftest import start_program
from ..unit.edge.access.proving import Prover, ath
from ..waiting import GUARD, until
from .altered_tokens import altered
from .documented import documented
from .gateway import World, running
from .guarded import declare_guarded
from .logout_receiver import receiver
from .oidc_provider import CLIENT, SECRET
from .served import listening, served
from .test_signin_foreign import PACKAGE

SITE = "https://desk.example"
PATIENT = {"token_timeout": 60, "discovery_timeout": 30}
"""Settings with which a busy machine does not make the provider late."""


@dataclass
class SignedIn:
    """What the token endpoint answered, and the cookies of the provider in the person's browser."""

    answer: dict[str, Any]
    cookies: httpx.Cookies

    def __getitem__(self, token: str) -> str:
        return str(self.answer[token])


class Foreign:
    """The provider, as its API clients see it."""

    def __init__(self, issuer: str, client: httpx.AsyncClient) -> None:
        self.issuer = issuer
        self.client = client

    async def jwt(
        self,
        resource: str = "urn:desk-api",
        prover: Prover | None = None,
        *,
        client: str = "desk-cli",
        scope: str = "desk",
    ) -> str:
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        url = f"{self.issuer}/token"
        headers = {}
        if prover is not None:
            headers["dpop"] = prover.proof("", "POST", url, time.time(), ath=...)
        answer = await self.client.post(url, data=form, auth=(client, "cli"), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == ("Bearer" if prover is None else "DPoP")
        return str(answer.json()["access_token"])

    async def sign_in(self, person: str, scope: str = "openid desk.read") -> SignedIn:
        """By the code flow of the application `desk-app`, at whose address nothing is."""
        proof = secrets.token_urlsafe(32)
        back = "https://app.test/callback"
        query = {
            "client_id": "desk-app",
            "response_type": "code",
            "redirect_uri": back,
            "scope": scope,
            "resource": "urn:desk-api",
            "prompt": "consent",
            "login_hint": person,
            "code_challenge": ath(proof),
            "code_challenge_method": "S256",
        }
        location = httpx.URL(f"{self.issuer}/auth", params=query)
        async with httpx.AsyncClient(trust_env=False, timeout=GUARD) as browser:
            while location.host != "app.test":
                answer = await browser.get(location)
                assert answer.is_redirect, answer.text
                location = location.join(answer.headers["location"])
        form = {
            "grant_type": "authorization_code",
            "code": location.params["code"],
            "redirect_uri": back,
            "code_verifier": proof,
        }
        answer = await self.client.post(f"{self.issuer}/token", data=form, auth=("desk-app", "app"))
        assert answer.status_code == 200, answer.text
        return SignedIn(answer.json(), browser.cookies)

    async def sign_out(self, cookies: httpx.Cookies) -> None:
        """The provider's page of logout, confirmed in the browser with these cookies."""
        async with httpx.AsyncClient(trust_env=False, timeout=GUARD, cookies=cookies) as browser:
            asking = await browser.get(f"{self.issuer}/session/end")
            [action] = re.findall(r'<form[^>]* action="([^"]+)"', asking.text)
            fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', asking.text))
            answer = await browser.post(action, data=fields | {"logout": "yes"})
            assert answer.is_redirect, answer.text

    async def opaque(self, kind: str = "AccessToken", client: str = "desk-cli", scope: str = "desk") -> str:
        query = {"kind": kind, "client": client, "scope": scope}
        answer = await self.client.post(f"{self.issuer}/mint", params=query)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def revoke(self, token: str) -> None:
        answer = await self.client.post(
            f"{self.issuer}/token/revocation", data={"token": token}, auth=("desk-cli", "cli")
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def logouts() -> Iterator[socket.socket]:
    """Where the provider sends logout tokens of `desk-app`."""
    with listening() as sock:
        yield sock


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory, logouts: socket.socket) -> Iterator[str]:
    with provider(tmp_path_factory, f"http://127.0.0.1:{logouts.getsockname()[1]}/") as issuer:
        yield issuer


@contextmanager
def provider(folders: pytest.TempPathFactory, logouts: str = "http://127.0.0.1/") -> Iterator[str]:
    """A provider with keys of its own; yields its issuer. logouts: where logout tokens of `desk-app` go."""
    node = start_program(
        ["node", str(PACKAGE / "api.mjs")],
        log=folders.mktemp("foreign") / "provider.log",
        env={"CLIENT": CLIENT, "SECRET": SECRET, "LOGOUTS": logouts},
    )
    try:
        limit = time.monotonic() + GUARD
        while not (said := re.search(r"^(http://\S+)\n", node.log.read_text(), re.M)):
            assert time.monotonic() < limit, node.log.read_text()
            time.sleep(0.05)
        yield said[1]
    finally:
        node.kill()


@asynccontextmanager
async def world(
    redis_url: str, issuer: str, block: int, clients: tuple[str, ...] | None = None, **more: Any
) -> AsyncIterator[tuple[World, Foreign]]:
    """A gateway with the settings of one block of the page. clients: those that it accepts; more: settings of
    introspection."""
    [settings] = load(documented("oidc-provider", "API clients", block, id=issuer)).issuers
    if settings.introspection is not None:
        settings = settings.model_copy(
            update={"introspection": settings.introspection.model_copy(update=more)}
        )
    if clients is not None:
        settings = settings.model_copy(update={"clients": clients})
    async with (
        httpx.AsyncClient(trust_env=False, timeout=GUARD) as client,
        running(
            redis_url, declared=declare_guarded, issuers=[settings], public_url=SITE, network=PATIENT
        ) as here,
    ):
        yield here, Foreign(issuer, client)


async def ask(world: World, token: str, scheme: str = "Bearer", **headers: str) -> httpx.Response:
    return await world.client.get("/api/me", headers={"authorization": f"{scheme} {token}", **headers})


async def statuses(world: World, token: str) -> dict[str, int]:
    """What a token may do, by the name of the right."""
    headers = {"authorization": f"Bearer {token}"}
    paths = {"clerk": "/api/clerks", "auditor": "/api/auditors", "desk.read": "/api/notes"}
    found = {
        name: (await world.client.get(path, headers=headers)).status_code for name, path in paths.items()
    }
    keyed = headers | {"idempotency-key": f'"{secrets.token_hex(8)}"'}
    wrote = await world.client.post("/api/notes", json={"text": "x"}, headers=keyed)
    if wrote.status_code == 403:
        assert 'error="insufficient_scope", scope="desk.read desk.write"' in wrote.headers["www-authenticate"]
    return found | {"desk.write": wrote.status_code}


async def reason(world: World, token: str) -> str:
    """Why a token is refused; the problem and the challenge agree."""
    answer = await ask(world, token)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid-token"), answer.text
    [reason] = [one for one in Reason if one.code == answer.json()["reason"]]
    assert f'error_description="{reason.text}"' in answer.headers["www-authenticate"]
    return reason.code


async def test_its_jwts_for_this_api_are_accepted_and_those_for_another_are_not(
    redis_url: str, issuer: str
) -> None:
    async with world(redis_url, issuer, 0) as (here, foreign):
        answer = await ask(here, await foreign.jwt())
        assert (answer.status_code, answer.json()["id"]) == (200, f"{issuer}|desk-cli")
        other = await ask(here, await foreign.jwt("urn:bank-api"))
        assert (other.status_code, other.json()["reason"]) == (401, "audience")
        opaque = await ask(here, await foreign.opaque())
        assert (opaque.status_code, opaque.json()["reason"]) == (401, "opaque")


async def test_its_opaque_tokens_are_accepted_by_signed_answers_until_they_are_revoked(
    redis_url: str, issuer: str
) -> None:
    async with world(redis_url, issuer, 1, believed=0.0) as (here, foreign):
        token = await foreign.opaque()
        answer = await ask(here, token)
        assert (answer.status_code, answer.json()["id"]) == (200, f"{issuer}|ada")
        await foreign.revoke(token)
        again = await ask(here, token)
        assert (again.status_code, again.json()["reason"]) == (401, "inactive")


async def test_its_other_tokens_are_active_and_refused_all_the_same(redis_url: str, issuer: str) -> None:
    async with world(redis_url, issuer, 1) as (here, foreign):
        for token, reason in (
            (await foreign.opaque("RefreshToken"), "no-mark"),
            (await foreign.opaque(client="other-cli"), "audience"),
            ("made-up", "inactive"),
        ):
            answer = await ask(here, token)
            assert (answer.status_code, answer.json()["reason"]) == (401, reason)


async def test_a_gateway_that_may_not_introspect_answers_503(redis_url: str, issuer: str) -> None:
    async with world(redis_url, issuer, 1, client_id="nobody") as (here, foreign):
        assert (await ask(here, await foreign.opaque())).status_code == 503


async def test_its_bound_tokens_are_accepted_with_a_proof_and_not_without(
    redis_url: str, issuer: str
) -> None:
    async with world(redis_url, issuer, 0) as (here, foreign):
        prover = Prover()
        token = await foreign.jwt(prover=prover)
        url = f"{SITE}/api/me"
        first = await ask(here, token, "DPoP", dpop=prover.proof(token, "GET", url, time.time()))
        assert (first.status_code, first.json()["code"]) == (401, "dpop-nonce")
        proof = prover.proof(token, "GET", url, time.time(), nonce=first.headers["dpop-nonce"])
        answer = await ask(here, token, "DPoP", dpop=proof)
        assert (answer.status_code, answer.json()["id"]) == (200, f"{issuer}|desk-cli")
        assert (await ask(here, token, "DPoP", dpop=proof)).json()["reason"] == "proof-replayed"
        assert (await ask(here, token)).json()["reason"] == "bound"


async def test_roles_and_scopes_of_its_jwts_decide(redis_url: str, issuer: str) -> None:
    async with world(redis_url, issuer, 0) as (here, foreign):
        ada = (await foreign.sign_in("ada"))["access_token"]
        assert (await ask(here, ada)).json()["id"] == f"{issuer}|ada"
        assert await statuses(here, ada) == {
            "clerk": 200,
            "auditor": 403,
            "desk.read": 200,
            "desk.write": 403,
        }
        grace = (await foreign.sign_in("grace", "openid desk.read desk.write"))["access_token"]
        assert await statuses(here, grace) == {
            "clerk": 403,
            "auditor": 403,
            "desk.read": 200,
            "desk.write": 200,
        }
        client = await foreign.jwt()
        assert await statuses(here, client) == {
            "clerk": 403,
            "auditor": 200,
            "desk.read": 403,
            "desk.write": 403,
        }


async def test_roles_and_scopes_of_its_opaque_tokens_decide(redis_url: str, issuer: str) -> None:
    async with world(redis_url, issuer, 1) as (here, foreign):
        token = await foreign.opaque(scope="openid desk.read")
        assert await statuses(here, token) == {
            "clerk": 200,
            "auditor": 403,
            "desk.read": 200,
            "desk.write": 403,
        }
        assert (await statuses(here, await foreign.opaque(scope="openid")))["desk.read"] == 403


async def test_the_other_tokens_of_a_sign_in_are_refused_with_their_reasons(
    redis_url: str, issuer: str, logouts: socket.socket
) -> None:
    logout_tokens: list[str] = []
    async with world(redis_url, issuer, 0) as (here, foreign), served(receiver(logout_tokens), logouts):
        ada = await foreign.sign_in("ada", "openid offline_access desk.read")
        assert await reason(here, ada["id_token"]) == "type"
        assert await reason(here, ada["refresh_token"]) == "opaque"
        await foreign.sign_out(ada.cookies)
        await until(lambda: bool(logout_tokens))
        assert await reason(here, logout_tokens[0]) == "type"


async def test_a_token_of_another_client_or_another_provider_is_refused(
    redis_url: str, issuer: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with provider(tmp_path_factory) as other:
        async with world(redis_url, issuer, 0, ("desk-cli",)) as (here, foreign):
            assert (await ask(here, await foreign.jwt())).status_code == 200
            assert await reason(here, await foreign.jwt(client="other-cli")) == "client"
            stranger = Foreign(other, foreign.client)
            assert await reason(here, await stranger.jwt()) == "issuer"


async def test_an_altered_jwt_is_refused(redis_url: str, issuer: str) -> None:
    async with world(redis_url, issuer, 0) as (here, foreign):
        for what, token, why in altered((await foreign.sign_in("ada"))["access_token"]):
            assert await reason(here, token) == why.code, what


@pytest.mark.slow
async def test_a_jwt_is_refused_once_it_has_expired(redis_url: str, issuer: str) -> None:
    async with world(redis_url, issuer, 0) as (here, foreign):
        token = await foreign.jwt(client="brief-cli")
        assert (await ask(here, token)).status_code == 200

        async def is_refused() -> bool:
            # More requests in a minute than the gateway allows would be refused, too.
            await asyncio.sleep(0.25)
            return (await ask(here, token)).status_code != 200

        # Ten seconds of leeway.
        await until(is_refused)
        assert await reason(here, token) == "expired"
