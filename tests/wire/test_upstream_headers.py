"""What a service receives comes from the gateway alone, and headers of a service are not passed on: real sockets on
both sides, and every header that a client might try."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from bff.edge.signing_keys import rotate

from ..waiting import GUARD
from .gateway import World, bearer, keyed, running, token
from .upstream import http

CANARY = "smuggled"
OWN = {
    "host",
    "accept",
    "user-agent",
    "x-correlation-id",
    "bff-deadline-ms",
    "authorization",
    "traceparent",
}
OF_A_COMMAND = OWN | {"content-type", "content-length", "idempotency-key", "bff-owner", "bff-mutation"}

# Each header alone, and then all of them at once.
HOSTILE = [
    *(
        f"{name}: {CANARY}"
        for name in (
            "BFF-Owner",
            "bff-owner",
            "BFF_Owner",
            "BFF-Mutation",
            "BFF-Deadline-Ms",
            "BFF-Identity",
            "BFF-Complete",
            "X-Internal-Role",
            "X-User-Id",
            "X-Remote-User",
            "X-Authenticated-User",
            "X-Forwarded-User",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X_Forwarded_For",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-Client-Cert",
            "X-SSL-Client-Verify",
            "X-Amzn-Oidc-Identity",
            "X-Goog-Authenticated-User-Email",
            "Forwarded",
            "Via",
            "True-Client-IP",
            "CF-Connecting-IP",
            "Proxy",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Proxy-Authenticate",
            "Keep-Alive",
            "Trailer",
            "TE",
            "Upgrade-Insecure-Requests",
            "Baggage",
            "B3",
            "X-B3-TraceId",
            "X-Request-ID",
            "X-Correlation-ID",
            "traceparent",
            "Idempotency_Key",
            "User-Agent",
            "Accept",
            "Accept-Language",
            "Accept-Encoding",
            "Origin",
            "Referer",
            "From",
            "If-None-Match",
            "If-Modified-Since",
            "If-Match",
            "Range",
            "Cache-Control",
            "Pragma",
            "Date",
            "Cookie",
            "Cookie2",
            "Max-Forwards",
            "DNT",
            "Sec-Fetch-User",
            "X-Secret",
        )
    ),
    f"Connection: close, {CANARY}",
    "Connection: authorization, bff-owner, bff-mutation, idempotency-key, x-correlation-id",
    f"Cookie: __Host-bff={CANARY}; a={CANARY}",
    f"traceparent: 00-{CANARY}-1111111111111111-01",
    f"X-Correlation-ID: {uuid.uuid4()} {CANARY}",
]


async def raw(world: World, method: str, path: str, lines: list[str], body: bytes = b"") -> int:
    """The status of one request that is sent as these bytes."""
    place = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = [f"{method} {path} HTTP/1.1", f"Host: {place.netloc}", f"Content-Length: {len(body)}", *lines]
    writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
    status = int((await reader.readline()).split(b" ")[1])
    writer.close()
    return status


def as_sent(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


async def test_no_client_header_reaches_a_service_or_removes_a_gateway_header(
    redis_url: str,
) -> None:
    async with running(redis_url, limits={"default": "100000/minute"}) as world:
        upstream = world.upstream
        for lines in [[one] for one in HOSTILE] + [HOSTILE]:
            assert await raw(world, "GET", "/api/required/ok", as_sent(bearer()) + lines) == 200, lines
            sent = upstream.last.headers
            assert CANARY not in json.dumps(sent).lower(), lines
            assert set(sent) == OWN, lines
            assert sent["authorization"].startswith("Bearer ey")
            own_key = as_sent(keyed("click-" + uuid.uuid4().hex) | {"content-type": "application/json"})
            assert await raw(world, "POST", "/api/things/ok", own_key + lines, b'{"name":"x"}') == 200, lines
            sent = upstream.last.headers
            assert CANARY not in json.dumps(sent).lower(), lines
            assert set(sent) == OF_A_COMMAND, lines
            assert sent["bff-owner"] == "https://issuer.test|ada"
            assert sent["bff-mutation"].startswith("click-")
            assert len(sent["idempotency-key"]) == 66, "the value of the gateway, not of the client"
            assert sent["idempotency-key"] not in own_key


async def test_no_part_of_a_target_becomes_a_header(redis_url: str) -> None:
    async with running(redis_url) as world:
        for one in (
            "ok%0d%0aX-Evil:%20smuggled",
            "ok%0aX-Evil:%20smuggled",
            "ok%00",
            "ok%20HTTP/1.1%0d%0aA:b",
        ):
            await raw(world, "GET", f"/api/required/{one}", as_sent(bearer()))
            for asked in world.upstream.asked:
                assert set(asked.headers) == OWN
                assert "\r" not in asked.path and "\n" not in asked.path


@pytest.mark.parametrize("key", ['"a\\"b, c"', '"  spaced  "', '"x: y"', "a;b=c", '"' + "k" * 255 + '"'])
async def test_a_client_idempotency_key_cannot_inject_headers(redis_url: str, key: str) -> None:
    async with running(redis_url) as world:
        lines = [*as_sent(bearer()), f"Idempotency-Key: {key}", "Content-Type: application/json"]
        assert await raw(world, "POST", "/api/things/ok", lines, b'{"name":"x"}') == 200
        assert set(world.upstream.last.headers) == OF_A_COMMAND


async def test_a_trace_continues_under_its_id_and_invalid_traces_are_dropped(
    redis_url: str,
) -> None:
    async with running(redis_url) as world:
        trace = uuid.uuid4().hex
        mine = [f"traceparent: 00-{trace}-{'1' * 16}-01", "tracestate: vendor=x", "baggage: role=admin"]
        await raw(world, "GET", "/api/required/ok", as_sent(bearer()) + mine)
        sent = world.upstream.last.headers
        assert sent["traceparent"].split("-")[1] == trace
        assert "1" * 16 not in sent["traceparent"]
        assert set(sent) == OWN | {"tracestate"}


UNASKED = {
    "set-cookie": "session=theirs",
    "server": "theirs/1.0",
    "x-powered-by": "theirs",
    "location": "https://elsewhere.test/",
    "refresh": "0; url=https://elsewhere.test/",
    "link": "<https://elsewhere.test/>; rel=preload",
    "access-control-allow-origin": "*",
    "access-control-allow-credentials": "true",
    "content-security-policy": "default-src *",
    "strict-transport-security": "max-age=0",
    "clear-site-data": '"*"',
    "x-correlation-id": "theirs",
    "traceparent": "theirs",
    "idempotency-replayed": "theirs",
    "bff-complete": "theirs",
    "www-authenticate": "Basic theirs",
    "x-theirs": "theirs",
    "cache-control": "public, max-age=999",
    "etag": '"theirs"',
    "age": "5",
    "vary": "x-theirs",
    "via": "theirs",
    "alt-svc": "theirs",
    "nel": "theirs",
    "report-to": "theirs",
}


async def test_no_response_header_of_a_service_reaches_the_browser(redis_url: str) -> None:
    async with running(redis_url) as world:
        more = "".join(f"{name}: {value}\r\n" for name, value in UNASKED.items())
        problem = b'{"code":"no","title":"No","detail":"It says no."}'
        world.upstream.answers |= {
            "/things/loud": http(200, b'{"name":"x"}', f"content-type: application/json\r\n{more}"),
            "/things/loud-no": http(409, problem, f"content-type: application/problem+json\r\n{more}"),
            "/things/loud-broken": http(500, b"{}", f"content-type: application/json\r\n{more}"),
        }
        json_body = {"name": "x"}
        first = keyed("once")
        answers = [
            await world.get("/api/required/loud"),
            await world.get("/api/optional/loud"),
            await world.get("/api/required/loud-no"),
            await world.get("/api/required/loud-broken"),
            await world.client.post("/api/things/loud", headers=first, json=json_body),
            await world.client.post("/api/things/loud", headers=first, json=json_body),
            await world.client.post("/api/things/loud-no", headers=keyed(), json=json_body),
        ]
        assert [one.status_code for one in answers] == [200, 200, 409, 502, 200, 200, 409]
        assert answers[5].headers["idempotency-replayed"] == "true"
        for answer in answers:
            told = {name: value for name, value in answer.headers.multi_items() if UNASKED.get(name) == value}
            assert told == {}, answer.request.url
            assert not {"set-cookie", "location", "via", "www-authenticate"} & set(answer.headers)
            assert answer.headers.get("etag") != '"theirs"'


# ---- how a service knows who asks ----------------------------------------------------------------------------------


async def keys_of(world: World) -> dict[str, Any]:
    """The published keys, from the address at which services fetch them."""
    runtime = world.gateway.runtime
    assert runtime is not None
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(runtime.admin), base_url="http://inside"
    ) as client:
        answer = await client.get("/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    return {one.key_id: one for one in jwt.PyJWKSet.from_dict(answer.json()).keys}


async def verified(world: World, sent: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(sent)
    assert (header["typ"], header["alg"]) == ("bff-internal+jwt", "EdDSA")
    keys = await keys_of(world)
    claims: dict[str, Any] = jwt.decode(
        sent, keys[header["kid"]], algorithms=["EdDSA"], audience="shelf", issuer=world.url
    )
    return claims


async def test_with_internal_tokens_the_users_token_never_leaves_the_gateway(
    redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys.pem"
    rotate(file)
    keys = {"keys": str(file)}
    async with running(redis_url, internal=keys, shelf_settings={"identity": "internal"}) as world:
        assert (await world.client.get("/.well-known/jwks.json")).status_code == 404, "only on the admin port"
        mine = token("ada")
        headers = {"authorization": f"Bearer {mine}"}
        await world.client.get("/api/optional/404", headers=headers)
        one, other = (asked.headers["authorization"] for asked in world.upstream.asked[-2:])
        assert one == other, "reads share one token"
        claims = await verified(world, one.removeprefix("Bearer "))
        assert (claims["sub"], claims["aud"]) == ("https://issuer.test|ada", "shelf")
        assert 0 < claims["exp"] - claims["iat"] <= 60
        answer = await world.client.post(
            "/api/things/ok", headers=headers | {"idempotency-key": '"click"'}, json={"name": "x"}
        )
        sent = world.upstream.last.headers
        claims = await verified(world, sent["authorization"].removeprefix("Bearer "))
        assert claims["txn"] == answer.headers["x-correlation-id"] == sent["x-correlation-id"]
        assert claims["mutation"] == sent["bff-mutation"] == "click"
        assert claims["sub"] == sent["bff-owner"]
        assert mine not in json.dumps([asked.headers for asked in world.upstream.asked])


@pytest.mark.parametrize(("identity", "named"), [("user", True), ("both", True), ("none", False)])
async def test_each_upstream_gets_the_credentials_that_its_setting_selects(
    redis_url: str, tmp_path: Path, identity: str, named: bool
) -> None:
    file = tmp_path / "keys.pem"
    rotate(file)
    async with running(
        redis_url, internal={"keys": str(file)}, shelf_settings={"identity": identity}
    ) as world:
        mine = keyed("click")
        await world.client.post("/api/things/ok", headers=mine, json={"name": "x"})
        sent = world.upstream.last.headers
        assert (sent.get("authorization") == mine["authorization"]) == named
        assert ("bff-owner" in sent, "bff-mutation" in sent) == (named, named)
        assert ("bff-identity" in sent) == (identity == "both")
        assert "idempotency-key" in sent
        if identity == "both":
            assert (await verified(world, sent["bff-identity"]))["mutation"] == "click"
        await world.get("/api/open/ok")
        assert not {"authorization", "bff-identity"} & set(world.upstream.last.headers), "a public call"


async def test_signing_keys_rotate_while_the_gateway_runs(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.pem"
    rotate(file)
    keys = {"keys": str(file), "look": 0.05}
    async with running(redis_url, internal=keys, shelf_settings={"identity": "internal"}) as world:
        await world.get("/api/required/ok")
        old = world.upstream.last.headers["authorization"].removeprefix("Bearer ")
        rotate(file)
        async with asyncio.timeout(GUARD):
            while world.upstream.last.headers["authorization"].endswith(old):
                await asyncio.sleep(0.02)
                await world.get("/api/required/ok")
        new = world.upstream.last.headers["authorization"].removeprefix("Bearer ")
        assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
        assert (await verified(world, old))["sub"] == (await verified(world, new))["sub"]
