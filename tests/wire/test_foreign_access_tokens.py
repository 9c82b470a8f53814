"""Access tokens of a certified provider that we did not write (npm `oidc-provider`), with the settings of its page in
the documentation: JWTs, opaque tokens with signed answers about them, and tokens that are bound to a key (DPoP)."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from bff.edge.settings import load

from ..conftest import ROOT, start_program
from ..unit.edge.access.proving import Prover
from ..waiting import GUARD
from .gateway import World, running
from .oidc_provider import CLIENT, SECRET
from .test_signin_foreign import PACKAGE

SITE = "https://desk.example"
PAGE = ROOT / "docs" / "how-to" / "providers" / "oidc-provider.md"


class Foreign:
    """The provider, as its API clients see it."""

    def __init__(self, issuer: str, client: httpx.AsyncClient) -> None:
        self.issuer = issuer
        self._client = client

    async def jwt(self, resource: str = "urn:desk-api", prover: Prover | None = None) -> str:
        form = {"grant_type": "client_credentials", "scope": "desk", "resource": resource}
        url = f"{self.issuer}/token"
        headers = {}
        if prover is not None:
            headers["dpop"] = prover.proof("", "POST", url, time.time(), ath=...)
        answer = await self._client.post(url, data=form, auth=("desk-cli", "cli"), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == ("Bearer" if prover is None else "DPoP")
        return str(answer.json()["access_token"])

    async def opaque(self, kind: str = "AccessToken", client: str = "desk-cli") -> str:
        answer = await self._client.post(f"{self.issuer}/mint", params={"kind": kind, "client": client})
        assert answer.status_code == 200, answer.text
        return answer.text

    async def revoke(self, token: str) -> None:
        answer = await self._client.post(
            f"{self.issuer}/token/revocation", data={"token": token}, auth=("desk-cli", "cli")
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = start_program(
        ["node", str(PACKAGE / "api.mjs")],
        log=tmp_path_factory.mktemp("foreign") / "provider.log",
        env={"CLIENT": CLIENT, "SECRET": SECRET},
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
async def world(redis_url: str, issuer: str, block: int, **more: Any) -> AsyncIterator[tuple[World, Foreign]]:
    """A gateway with the settings of one block of the page. more: settings of introspection."""
    text = PAGE.read_text(encoding="utf-8")
    value = re.findall(r"^BFF_ISSUERS='(.*?)'$", text, re.M | re.S)[block]
    [settings] = load({"BFF_ISSUERS": value.replace("https://id.example.org", issuer)}).issuers
    if settings.introspection is not None:
        settings = settings.model_copy(
            update={"introspection": settings.introspection.model_copy(update=more)}
        )
    async with (
        httpx.AsyncClient(trust_env=False, timeout=GUARD) as client,
        running(redis_url, issuers=[settings], public_url=SITE) as here,
    ):
        yield here, Foreign(issuer, client)


async def ask(world: World, token: str, scheme: str = "Bearer", **headers: str) -> httpx.Response:
    return await world.client.get("/api/me", headers={"authorization": f"{scheme} {token}", **headers})


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
