"""Which tokens a service accepts, and what it does while identity is away: a real issuer on a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from typing import Any

import httpx
import jwt
import pytest
from bff_service import KeySet, Problem, ServiceToken, TokenVerifier, http_client
from bff_service.tokens import is_person
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.upstreams.conftest import Issuer, Running, Serve
from upstreams.payments.app import build


async def charge_seen_by(payments: Running, token: str) -> httpx.Response:
    return await payments.get("/charges/none", token=token)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    ]
    return ".".join([*parts, ""])


def forged(issuer: Issuer) -> dict[str, str]:
    """Tokens that must be refused, by what is wrong with them."""
    now = int(time.time())
    stranger = ec.generate_private_key(ec.SECP256R1())
    pem = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = {"typ": "at+jwt", "kid": issuer.kid}
    # PyJWT refuses a PEM as an HMAC secret, so this token is made by hand.
    signing = unsigned({**head, "alg": "HS256"}, issuer.claims("ada")).rstrip(".")
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signing.encode(), pem)
    return {
        "expired": issuer.token(exp=now - 60),
        "without exp": issuer.token(exp=None),
        "other audience": issuer.token(aud="bank"),
        "without audience": issuer.token(aud=None),
        "other issuer": issuer.token(iss="http://elsewhere"),
        "not valid yet": issuer.token(nbf=now + 600),
        "issued in the future": issuer.token(iat=now + 600),
        "an id token": issuer.token(headers={"typ": "JWT"}),
        "without typ": issuer.token(headers={"typ": None}),
        "empty subject": issuer.token(""),
        "without client": issuer.token(client_id=None),
        "bound to a key": issuer.token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        "unknown key": issuer.token(headers={"kid": "key-9"}),
        "signed by a stranger": jwt.encode(issuer.claims("ada"), stranger, algorithm="ES256", headers=head),
        "alg none": unsigned({**head, "alg": "none"}, issuer.claims("ada")),
        "HS256 with the public key": f"{signing}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "no token at all": "x",
        "huge": issuer.token(filler="x" * 9000),
    }


async def test_a_valid_token_is_accepted(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    assert (await charge_seen_by(payments, issuer.token())).status_code == 404
    upper = issuer.token(headers={"typ": "application/at+jwt"})
    assert (await charge_seen_by(payments, upper)).status_code == 404


async def test_every_forged_token_is_refused_with_a_challenge(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    for wrong, token in forged(issuer).items():
        answer = await charge_seen_by(payments, token)
        assert (wrong, answer.status_code) == (wrong, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "unauthorized"


async def test_another_authorization_scheme_is_refused(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    answer = await payments.client.get("/charges/none", headers={"Authorization": f"Basic {issuer.token()}"})
    assert answer.status_code == 401


async def test_the_callers_id_is_issuer_and_subject(issuer: Issuer) -> None:
    async with http_client() as client:
        verifier = TokenVerifier(KeySet(client, issuer.url), issuer=issuer.url, audience="shop")
        ada = await verifier.caller(f"Bearer {issuer.token('ada')}")
        orders = await verifier.caller(f"Bearer {issuer.saga_token()}")
    assert (ada.id, ada.is_person, ada.name) == (f"{issuer.url}|ada", True, "Ada")
    assert (orders.sub, orders.is_person, orders.scopes) == ("orders", False, frozenset({"saga"}))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "page", "client_id": "page"},
        {"sub": "page@clients", "client_id": "page"},
        {"gty": "client-credentials"},
        {"gty": ["client_credentials"]},
        {"grant_type": "client_credentials"},
        {"idtyp": "app"},
        {"idtyp": "device"},
        {"idtyp": None},
        {"idtyp": ["user"]},
        {"azp": "ada"},
        {"appid": "ada"},
        {"cid": "ada"},
        {"preferred_username": "service-account-page"},
        {"clientHost": "10.0.0.1"},
        {"clientAddress": "10.0.0.1"},
    ],
    ids=str,
)
def test_a_token_with_a_mark_of_clients_is_no_persons(claims: dict[str, Any]) -> None:
    person = {"sub": "ada", "client_id": "page", "azp": "page", "preferred_username": "ada", "idtyp": "user"}
    assert is_person(person, "page")
    assert not is_person({**person, **claims}, "page")


async def test_many_first_requests_fetch_the_keys_once(issuer: Issuer) -> None:
    async with http_client() as client:
        verifier = TokenVerifier(KeySet(client, issuer.url), issuer=issuer.url, audience="shop")
        await asyncio.gather(*(verifier.caller(f"Bearer {issuer.token()}") for _ in range(20)))
    assert issuer.asked == 1


async def test_unknown_keys_are_fetched_at_most_every_five_seconds(issuer: Issuer) -> None:
    now = 100.0
    async with http_client() as client:
        keys = KeySet(client, issuer.url, clock=lambda: now)
        assert await keys.key("key-1") is not None
        for _ in range(10):
            assert await keys.key("key-9") is None
        assert issuer.asked == 1
        issuer.kid = "key-9"
        now += 5
        assert await keys.key("key-9") is not None
        assert await keys.key("key-1") is None
    assert issuer.asked == 2


async def test_known_keys_are_used_while_identity_is_away(issuer: Issuer) -> None:
    now = 100.0
    async with http_client() as client:
        keys = KeySet(client, issuer.url, clock=lambda: now)
        assert await keys.key("key-1") is not None
        issuer.stop()
        now += 86_000
        assert await keys.key("key-1") is not None


async def test_a_silent_identity_delays_one_request_and_no_other(issuer: Issuer) -> None:
    now = 100.0
    async with http_client() as client:
        keys = KeySet(client, issuer.url, clock=lambda: now)
        assert await keys.key("key-1") is not None
        issuer.stop()
        # It listens and never accepts: the kernel completes the connection, and nothing answers.
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            silent.bind(("127.0.0.1", issuer.port))
            silent.listen()
            now += 1000
            loop = asyncio.get_running_loop()
            refreshing = asyncio.ensure_future(keys.key("key-1"))
            await asyncio.sleep(0)
            began = loop.time()
            assert await asyncio.gather(*(keys.key("key-1") for _ in range(20)))
            assert loop.time() - began < 1
            assert await refreshing is not None


async def test_keys_of_another_issuer_are_not_used(issuer: Issuer) -> None:
    async with http_client() as client:
        with pytest.raises(Problem):
            await KeySet(client, issuer.url.replace("127.0.0.1", "localhost")).key("key-1")


async def test_without_any_key_a_token_is_503_and_accepted_once_identity_is_up(
    serve: Serve, issuer: Issuer
) -> None:
    issuer.stop()
    payments = await serve(build)
    token = issuer.token()
    answer = await charge_seen_by(payments, token)
    assert (answer.status_code, answer.json()["code"]) == (503, "identity-unavailable")
    assert answer.headers["retry-after"]
    issuer.start()
    assert (await charge_seen_by(payments, token)).status_code == 404


async def test_the_token_of_a_service_is_fetched_once_and_again_before_it_expires(
    issuer: Issuer,
) -> None:
    now = 0.0
    async with http_client() as client:
        token = ServiceToken(
            client,
            f"{issuer.url}/token",
            client_id="orders",
            client_secret="secret",
            scope="saga",
            clock=lambda: now,
        )
        first = set(await asyncio.gather(*(token.get() for _ in range(20))))
        assert (len(first), issuer.token_requests) == (1, 1)
        now = 569.0
        assert {await token.get()} == first
        now = 571.0
        assert {await token.get()} != first
        token.forget()
        await token.get()
    assert issuer.token_requests == 3


async def test_a_key_set_while_identity_is_away_raises_identity_unavailable(issuer: Issuer) -> None:
    issuer.stop()
    async with http_client() as client:
        with pytest.raises(Problem) as caught:
            await KeySet(client, issuer.url).key("key-1")
    assert caught.value.code == "identity-unavailable"
