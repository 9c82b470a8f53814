"""The certified provider of npm (`oidc-provider`) at its strictest: the client proves itself with a key, pushes its
requests, and finds a person's claims at UserInfo."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bff import Gateway, Principal
from bff.edge.settings import Settings

from ..conftest import Valkey, start_program
from ..waiting import GUARD, until
from .gateway import serving
from .oidc_provider import CLIENT
from .served import listening
from .test_signin import problem_of
from .test_signin_foreign import PACKAGE, House

pytestmark = pytest.mark.asyncio(loop_scope="module")


def declare() -> Gateway:
    gateway = Gateway("strict")

    @gateway.view("/api/me")
    async def me(who: Principal) -> dict[str, Any]:
        return {"name": who.claims.get("name"), "roles": sorted(who.roles)}

    @gateway.view("/api/balance", fresh=300)
    async def balance(who: Principal) -> str:
        return who.subject

    @gateway.view("/api/vault", acr=("urn:example:2fa",))
    async def vault(who: Principal) -> str:
        return who.subject

    return gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("strict")
    key = ec.generate_private_key(ec.SECP256R1())
    file = folder / "client.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public: Any = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    sock = listening()
    site = f"http://127.0.0.1:{sock.getsockname()[1]}"
    keys = json.dumps({"keys": [public | {"kid": "one", "use": "sig", "alg": "ES256"}]})
    node = start_program(
        ["node", str(PACKAGE / "provider.mjs")],
        log=folder / "provider.log",
        env={"SITE": site, "CLIENT": CLIENT, "LIFE": "300", "KEY": keys},
    )
    try:
        async with asyncio.timeout(GUARD):
            while not (said := re.search(r"^(http://\S+)\n", node.log.read_text(), re.M)):
                await asyncio.sleep(0.05)
        oidc = {
            "issuer": said[1],
            "client_id": CLIENT,
            "client_key": file,
            "client_key_id": "one",
            "scopes": ["openid", "profile", "offline_access"],
            "authorize": {"prompt": "consent"},
        }
        settings = {
            "public_url": site,
            "redis": {"url": valkey_session.url, "timeout": 10},
            "admission": {"lag": 10, "standing": 10},
            "oidc": oidc,
        }
        gateway = declare()
        await gateway.start(Settings.model_validate(settings))
        try:
            async with (
                serving(gateway, sock, lifespan="off"),
                httpx.AsyncClient(trust_env=False, timeout=GUARD) as client,
            ):
                nothing: Any = None
                yield House(site, said[1], nothing, client, node.log)
        finally:
            await gateway.stop()
    finally:
        node.kill()


async def log(house: House, line: str, times: int = 1) -> None:
    async def written() -> bool:
        return Path(house.log).read_text().splitlines().count(line) >= times

    await until(written)


async def test_a_person_signs_in_with_a_pushed_request_a_signed_assertion_and_claims_of_userinfo(
    house: House,
) -> None:
    async with house.person("ada") as ada:
        landed = await ada.sign_in()
        assert landed.status_code == 200, landed.text
        await log(house, "pushed")
        assert (await ada.here.get("/api/me")).json() == {"name": "Person ada", "roles": ["customer"]}


async def test_a_logout_revokes_the_tokens_and_ends_the_providers_session(house: House) -> None:
    async with house.person("grace") as grace:
        await grace.sign_in()
        onward = await grace.here.get((await grace.here.post("/bff/logout")).json()["redirect"])
        # The grant ends with its refresh token, and with the grant every access token.
        await log(house, "revoked a refresh token")
        await log(house, "revoked a grant")
        back = await grace.leave_provider(onward.headers["location"])
        assert back.headers["location"] == f"{house.site}/"


async def test_a_recent_sign_in_is_proved_by_the_provider(house: House) -> None:
    async with house.person("alan") as alan:
        await alan.sign_in()
        answer = await alan.here.get("/api/balance")
        problem_of(answer, 401, "step-up-required")
        assert (await alan.sign_in(answer.json()["login"] + "&return=/balance")).status_code == 200
        assert (await alan.here.get("/api/balance")).json() == "alan"


async def test_a_strong_sign_in_that_the_provider_does_not_know_leads_to_no_session(house: House) -> None:
    async with house.person("kurt") as kurt:
        await kurt.sign_in()
        answer = await kurt.here.get("/api/vault")
        login = answer.json()["login"]
        assert login == "/bff/login?acr_values=urn%3Aexample%3A2fa"
        assert "stronger" in problem_of(await kurt.sign_in(login), 400, "sign-in-failed")
        assert (await kurt.here.get("/api/me")).status_code == 200
