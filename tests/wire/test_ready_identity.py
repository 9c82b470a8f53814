"""`/readyz` reports the identity provider and the token issuers, and never fails or waits because of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..waiting import until
from .gateway import World, running
from .oidc_provider import OidcProvider
from .served import listening, served

NOWHERE = "http://127.0.0.1:9"


async def dependencies(world: World) -> dict[str, Any]:
    answer = await world.client.get("/readyz")
    assert answer.status_code == 200 and answer.json()["status"] == "ready"
    found: dict[str, Any] = answer.json()["dependencies"]
    return found


async def test_readyz_reports_the_provider_and_the_issuers(redis_url: str) -> None:
    sock = listening()
    provider = OidcProvider("http://127.0.0.1/bff/callback")
    provider.issuer = f"http://127.0.0.1:{sock.getsockname()[1]}"
    oidc = {"issuer": provider.issuer, "client_id": "c", "client_secret": "hunter2"}
    async with running(redis_url, oidc=oidc) as here:
        first = await dependencies(here)
        assert first["provider"]["state"] in ("unknown", "away")
        (issuer,) = first["issuers"].values()
        assert issuer["state"] in ("unknown", "up")

        async def keys_are_up() -> bool:
            (issuer,) = (await dependencies(here))["issuers"].values()
            return issuer["state"] == "up" and issuer["keys"] == 1 and issuer["age"] >= 0

        await until(keys_are_up)

        async def says(state: str) -> bool:
            found = (await dependencies(here))["provider"]
            return bool(found == {"issuer": provider.issuer, "state": state})

        # Nothing answers there yet, and the gateway is ready all the same.
        await until(lambda: says("away"))
        async with served(provider.app, sock):
            await until(lambda: says("up"))
        assert "hunter2" not in (await here.client.get("/readyz")).text


async def test_readyz_does_not_wait_for_a_provider_that_hangs(redis_url: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read()

    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    issuers = [{"issuer": issuer, "audience": "shop"}]
    oidc = {"issuer": issuer, "client_id": "c", "client_secret": "s"}
    async with server, running(redis_url, oidc=oidc, issuers=issuers) as here:
        for _ in range(20):
            found = await dependencies(here)
            assert found["provider"]["state"] in ("unknown", "away")
            assert found["issuers"][issuer] == {
                "state": found["issuers"][issuer]["state"],
                "keys": 0,
                "age": None,
            }
        assert len(held) <= 4, "one request at a time"
        for writer in held:
            writer.close()


@pytest.mark.parametrize("path", ["/readyz", "/livez"])
async def test_readyz_leaves_out_a_provider_and_issuers_that_are_not_configured(
    redis_url: str, path: str
) -> None:
    async with running(redis_url, issuers=()) as here:
        answer = await here.client.get(path)
        assert answer.status_code == 200
        assert "provider" not in answer.text and "issuers" not in answer.text
