"""Every client could read how to reach the team behind a service: internal channels and addresses of runbooks.

Right: `BFF_OWNER_CONTACTS` says who sees contacts: everybody, signed-in people, or nobody. This holds wherever an owner
is named: problems (member, sentence and `Link`), missing parts, stored answers of commands, the health pages and the
documents. A request that is not known to be from a signed-in person counts as anonymous. Source: the contract
("Refusals"), OWASP ASVS 5.0 section 13.4 (information leakage).
"""

from __future__ import annotations

import httpx
import pytest

from bff import Gateway, Part, Principal, Problem, optional
from bff.stores.redis.client import RedisClient

from ..wire.gateway import bearer
from .refusing import Done, Wish, asking, post, refusal, service

gateway = Gateway("contacts", deadline=15)
SECRETS = ("#service", "docs.test")


class Parts(Done):
    part: Part[Done]


@gateway.view("/api/public", public=True)
async def public() -> Done:
    return await service.read("500").public()


@gateway.view("/api/part", public=True)
async def part() -> Parts:
    return Parts(name="x", part=await optional(service.read("500").public()))


@gateway.view("/api/either", public=True)
async def either(who: Principal | None) -> Parts:
    return Parts(name="x", part=await optional(service.read("500")))


@gateway.view("/api/mine")
async def mine() -> Done:
    return await service.read("404")


@gateway.view("/api/own-words", public=True)
async def own_words() -> Done:
    raise Problem(502, "own", "It is so.", owner=service.owner)


@gateway.command("/api/command")
async def command(wish: Wish) -> Done:
    return await service.write("409", wish)


ANONYMOUS = ["/api/public", "/api/part", "/api/either", "/api/own-words"]
DOCUMENTS = [
    "/readyz",
    "/livez",
    "/openapi.json",
    "/asyncapi.json",
    "/bff/events.schema.json",
    "/docs",
    "/docs/problems",
]


def shows_contacts(answer: httpx.Response) -> bool:
    said = answer.text + str(answer.headers)
    found = {secret for secret in SECRETS if secret in said}
    assert not found or found == set(SECRETS) or "link" not in answer.headers, said
    return bool(found)


@pytest.mark.parametrize("shown", ["everybody", "signed-in", "nobody"])
async def test_contacts_are_shown_only_to_those_whom_the_setting_allows(redis_url: str, shown: str) -> None:
    async with asking(gateway, redis_url, owner_contacts=shown) as (client, told):
        for status in (404, 409, 500):
            told.answers[f"/things/{status}"] = refusal(status)
        for path in ANONYMOUS:
            answer = await client.get(path)
            assert shows_contacts(answer) is (shown == "everybody"), path
            assert "Service team" in answer.text, "the name of the owner is not secret"
        # A public view without a principal is the same for everybody, signed in or not.
        for path in ("/api/public", "/api/part"):
            assert shows_contacts(await client.get(path, headers=bearer())) is (shown == "everybody"), path
        signed_in = [await client.get(path, headers=bearer()) for path in ("/api/either", "/api/mine")]
        signed_in += [await post(client, "/api/command", "k") for _ in range(2)]
        for answer in signed_in:
            assert shows_contacts(answer) is (shown != "nobody"), answer.text
        runtime = await gateway.start()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(runtime.admin), base_url="http://localhost:8001"
        ) as admin:
            for place in (client, admin):
                for path in DOCUMENTS:
                    assert not shows_contacts(await place.get(path)), path
        if shown == "nobody":
            async with RedisClient(redis_url, timeout=10) as link:
                (key,) = await link.call("KEYS", "*:claim:*")
                kept = b"".join(await link.call("HVALS", key))
            assert not any(secret.encode() in kept for secret in SECRETS)


async def test_an_invalid_token_counts_as_anonymous_for_contacts(redis_url: str) -> None:
    async with asking(gateway, redis_url, owner_contacts="signed-in") as (client, told):
        told.answers["/things/500"] = refusal(500)
        for path in (*ANONYMOUS, "/api/mine"):
            assert not shows_contacts(await client.get(path, headers={"authorization": "Bearer nonsense"})), (
                path
            )
