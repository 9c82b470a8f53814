"""Access tokens of API clients on the wire: opaque ones, and an issuer that is away, slow or wrong; tokens that are
bound to a key, at two gateways; subjects in any script; what a refusal tells the client, and what the log."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from ..conftest import closed_port
from ..unit.edge.access.issuing import ISSUER
from ..unit.edge.access.proving import Prover
from .gateway import World, bearer, keyed, running, token
from .scripted import Asked, Scripted, upstream
from .upstream import http

OPAQUE = "ory_at_2YotnFZFEjr1zCsicMWpAA"
SECRET = "s3cret of introspection"
SITE = "https://desk.example/desk"


def issuer(port: int, **changes: Any) -> dict[str, Any]:
    keys = f"http://127.0.0.1:{port}/keys"
    return {"issuer": ISSUER, "audience": "shop", "jwks_uri": keys, **changes}


def says(**changes: Any) -> bytes:
    good = {
        "active": True,
        "aud": "shop",
        "sub": "ada",
        "token_type": "Bearer",
        "exp": int(time.time()) + 300,
    }
    return http(200, json.dumps(good | changes).encode())


@asynccontextmanager
async def introspecting(redis_url: str, answer: Any) -> AsyncIterator[tuple[World, Scripted]]:
    """A gateway, and the issuer that it asks about opaque tokens."""
    async with upstream() as provider:
        provider.answers["/introspect"] = answer
        introspection = {
            "endpoint": f"http://127.0.0.1:{provider.port}/introspect",
            "client_id": "bff",
            "client_secret": SECRET,
        }
        issuers = [issuer(provider.port, introspection=introspection)]
        async with running(redis_url, issuers=issuers) as world:
            yield world, provider


def opaque(**headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {OPAQUE}", **headers}


async def test_an_opaque_token_reads_writes_and_streams_after_one_question(redis_url: str) -> None:
    async with introspecting(redis_url, says()) as (world, provider):
        me = await world.client.get("/api/me", headers=opaque())
        assert (me.status_code, me.json()["id"]) == (200, f"{ISSUER}|ada")
        command = opaque(**{"idempotency-key": '"k1"'})
        assert (await world.client.post("/api/own-words", headers=command)).status_code == 403
        async with world.client.stream("GET", "/bff/live", headers=opaque()) as stream:
            assert stream.status_code == 200
        [asked] = provider.asked
        assert asked.body.startswith(f"token={OPAQUE}&".encode())


async def _stuck(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def _cut(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


NO_ANSWERS: dict[str, Any] = {
    "cut": _cut,
    "an error": http(500, b"oops"),
    "HTML": http(200, b"<html>Welcome</html>", "content-type: text/html\r\n"),
    "HTML that says it is JSON": http(200, b"<html>Welcome</html>"),
    "200 KB": http(200, json.dumps({"active": True, "x": "y" * 200_000}).encode()),
    "active as text": says(active="true"),
    "the client refused": http(401, b'{"error":"invalid_client"}'),
    "slow": _stuck,
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_without_an_answer_of_the_issuer_a_token_is_503_and_never_accepted(
    redis_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with introspecting(redis_url, NO_ANSWERS[name]) as (world, _):
            asking = asyncio.create_task(world.client.get("/api/me", headers=opaque()))
            # Whoever has another token does not wait for it.
            assert (await world.get("/api/me")).status_code == 200
            command = opaque(**{"idempotency-key": '"k1"'})
            for answer in (
                await asking,
                await world.client.post("/api/own-words", headers=command),
                await world.client.get("/bff/live", headers=opaque()),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert answer.headers["retry-after"] == "1"
    assert SECRET not in caplog.text and OPAQUE not in caplog.text


async def test_an_answer_about_an_inactive_token_is_401_with_its_reason(redis_url: str) -> None:
    async with introspecting(redis_url, http(200, b'{"active":false}')) as (world, _):
        answer = await world.client.get("/api/me", headers=opaque())
        assert (answer.status_code, answer.json()["reason"]) == (401, "inactive")


# ---- DPoP --------------------------------------------------------------------------------------------------


class Client(Prover):
    """An API client whose tokens are bound to its key."""

    def __init__(self) -> None:
        super().__init__()
        self.token = token("ada", cnf={"jkt": self.thumbprint})
        self.nonce: str | None = None

    def headers(self, method: str, path: str, **changes: Any) -> dict[str, str]:
        claims = {} if self.nonce is None else {"nonce": self.nonce}
        proof = self.proof(self.token, method, f"{SITE}{path}", time.time(), **(claims | changes))
        return {"authorization": f"DPoP {self.token}", "dpop": proof}

    async def get(self, client: httpx.AsyncClient, path: str) -> httpx.Response:
        """With the nonce of the server, as RFC 9449 section 9 has it."""
        answer = await client.get(path, headers=self.headers("GET", path))
        if answer.status_code == 401 and answer.json()["code"] == "dpop-nonce":
            self.nonce = answer.headers["dpop-nonce"]
            answer = await client.get(path, headers=self.headers("GET", path))
        return answer


@asynccontextmanager
async def two_gateways(redis_url: str, **changes: Any) -> AsyncIterator[tuple[World, World]]:
    """Two gateways of one site, below a path prefix that the proxy in front of them removes."""
    async with (
        running(redis_url, public_url=SITE, **changes) as one,
        running(redis_url, public_url=SITE, **changes) as other,
    ):
        yield one, other


async def test_a_bound_token_is_accepted_with_a_proof_and_the_nonce_of_any_gateway(redis_url: str) -> None:
    async with two_gateways(redis_url) as (one, other):
        client = Client()
        first = await one.client.get("/api/me", headers=client.headers("GET", "/api/me"))
        assert (first.status_code, first.json()["code"]) == (401, "dpop-nonce")
        assert first.headers["www-authenticate"].startswith('DPoP realm="bff", error="use_dpop_nonce"')
        for world in (one, other):
            answer = await client.get(world.client, "/api/me")
            assert (answer.status_code, answer.json()["id"]) == (200, f"{ISSUER}|ada")
        assert client.nonce is not None
        command = client.headers("POST", "/api/own-words") | {"idempotency-key": '"k1"'}
        assert (await one.client.post("/api/own-words", headers=command)).status_code == 403
        async with other.client.stream(
            "GET", "/bff/live?after=1-1", headers=client.headers("GET", "/bff/live")
        ) as stream:
            assert stream.status_code == 200


async def test_a_proof_that_was_used_at_one_gateway_is_refused_at_the_other(redis_url: str) -> None:
    async with two_gateways(redis_url, dpop={"nonce": False}) as (one, other):
        headers = Client().headers("GET", "/api/me")
        assert (await one.client.get("/api/me", headers=headers)).status_code == 200
        for world in (one, other):
            answer = await world.client.get("/api/me", headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (401, "proof-replayed")
            assert 'error="invalid_dpop_proof"' in answer.headers["www-authenticate"]


async def test_a_bound_token_is_no_bearer_token_even_after_it_was_accepted(redis_url: str) -> None:
    async with two_gateways(redis_url, dpop={"nonce": False}) as (one, _):
        client = Client()
        assert (await client.get(one.client, "/api/me")).status_code == 200
        for headers in (
            {"authorization": f"Bearer {client.token}"},
            client.headers("GET", "/api/me") | {"authorization": f"Bearer {client.token}"},
        ):
            answer = await one.client.get("/api/me", headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (401, "bound")
            assert answer.headers["www-authenticate"].startswith('DPoP realm="bff", error="invalid_token"')


async def test_a_bearer_token_is_not_accepted_with_the_scheme_dpop(redis_url: str) -> None:
    async with two_gateways(redis_url, dpop={"nonce": False}) as (one, _):
        client = Client()
        client.token = token("ada")
        await one.client.get("/api/me", headers={"authorization": f"Bearer {client.token}"})
        answer = await client.get(one.client, "/api/me")
        assert (answer.status_code, answer.json()["reason"]) == (401, "not-bound")


async def test_a_stolen_token_needs_the_key_of_its_client(redis_url: str) -> None:
    async with two_gateways(redis_url, dpop={"nonce": False}) as (one, _):
        victim, thief = Client(), Client()
        thief.token = victim.token
        answer = await thief.get(one.client, "/api/me")
        assert (answer.status_code, answer.json()["reason"]) == (401, "proof-binding")


async def test_a_page_of_another_site_may_send_a_proof_and_read_the_nonce(redis_url: str) -> None:
    page = "https://app.example"
    async with running(redis_url, http={"origins": [page]}) as world:
        preflight = await world.client.options(
            "/api/me", headers={"origin": page, "access-control-request-method": "GET"}
        )
        assert "dpop" in preflight.headers["access-control-allow-headers"].split(", ")
        answer = await world.client.get("/api/me", headers={"origin": page})
        assert "dpop-nonce" in answer.headers["access-control-expose-headers"].split(", ")


async def test_challenges_for_a_nonce_do_not_count_as_invalid_credentials(redis_url: str) -> None:
    async with running(redis_url, public_url=SITE, limits={"failures": "3/hour"}) as world:
        client = Client()
        for _ in range(5):
            answer = await world.client.get("/api/me", headers=client.headers("GET", "/api/me"))
            assert answer.json()["code"] == "dpop-nonce"
        for expected in (401, 401, 401, 429):
            headers = client.headers("GET", "/api/me", ath="x")
            assert (await world.client.get("/api/me", headers=headers)).status_code == expected
        assert (await client.get(world.client, "/api/me")).status_code == 200


async def test_without_redis_a_bound_token_is_503(redis_url: str) -> None:
    away = {"url": f"redis://127.0.0.1:{closed_port()}", "timeout": 0.5}
    async with running(redis_url, public_url=SITE, redis=away) as world:
        answer = await world.client.get("/api/me", headers=Client().headers("GET", "/api/me"))
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


# ---- subjects and refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "header"),
    [
        ("auth0|ada lovelace", "auth0|ada lovelace"),
        ("f:1:Ünal", "f:1:%C3%9Cnal"),
        ("李四", "%E6%9D%8E%E5%9B%9B"),
        ("a%41", "a%2541"),
        ("ada ", "ada%20"),
    ],
)
async def test_a_subject_in_any_script_reads_writes_streams_and_reaches_the_services(
    redis_url: str, subject: str, header: str
) -> None:
    async with running(redis_url) as world:
        me = await world.client.get("/api/me", headers=bearer(subject))
        assert me.json()["id"] == f"{ISSUER}|{subject}"
        headers = keyed(subject=subject)
        written = await world.client.post("/api/things/ok", json={"name": "x"}, headers=headers)
        again = await world.client.post("/api/things/ok", json={"name": "x"}, headers=headers)
        assert (written.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert world.upstream.last.headers["bff-owner"] == f"{ISSUER}|{header}"
        async with world.client.stream("GET", "/bff/live", headers=bearer(subject)) as stream:
            assert stream.status_code == 200


async def test_a_name_that_was_cut_inside_a_character_does_not_break_the_answer(redis_url: str) -> None:
    async with running(redis_url) as world:
        cut = token(name="Ada \ud83d", jti="\ud83d")
        headers = {"authorization": f"Bearer {cut}"}
        answer = await world.client.get("/api/me", headers=headers)
        assert (answer.status_code, answer.json()["claims"]["name"]) == (200, "Ada \ufffd")


async def test_a_refusal_tells_the_client_its_reason_and_only_the_log_what_was_seen(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(redis_url) as world:
        bad = token(aud="b\u202eank\r\n" + "x" * 200)
        with caplog.at_level(logging.INFO, "bff.tokens"):
            answer = await world.client.get("/api/me", headers={"authorization": f"Bearer {bad}"})
        described = (
            'Bearer realm="bff", error="invalid_token", error_description="it is for another audience"'
        )
        assert answer.headers["www-authenticate"] == described
        assert answer.json()["reason"] == "audience"
        assert "ank" not in answer.text and "shop" not in answer.text
        [line] = [one.getMessage() for one in caplog.records if one.name == "bff.tokens"]
        assert line.startswith("a token was refused: audience (seen: ['b\\")
        assert line.endswith("expected: ['shop'])")
        assert line.isprintable() and len(line) < 200 and bad not in line


async def test_the_log_of_refusals_is_bounded(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(redis_url) as world:
        with caplog.at_level(logging.INFO, "bff.tokens"):
            for _ in range(120):
                await world.client.get("/api/me", headers={"authorization": "Bearer nonsense"})
        assert len([one for one in caplog.records if one.name == "bff.tokens"]) == 100
