"""Every failure on every path: problem+json, ids that lead to the logs, and no header that is passed on."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from typing import Any

import httpx
import pytest

from ..waiting import GUARD
from .gateway import World, bearer, keyed, nowhere, running

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def problem_of(world: World, answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check what every problem must have; returns the document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"] and document["detail"]
    assert UUID.fullmatch(document["correlation_id"])
    assert answer.headers["x-correlation-id"] == document["correlation_id"]
    assert document["instance"] == f"urn:uuid:{document['correlation_id']}"
    assert re.fullmatch("[0-9a-f]{32}", document["trace_id"])
    address, _, anchor = document["type"].partition("#")
    if address.startswith(world.url):
        docs = await world.client.get(address)
        assert docs.status_code == 200
        assert f'id="{anchor}"' in docs.text or not anchor
    else:
        assert address.startswith("https://iana.org/")
    return document


async def test_every_kind_of_refusal_is_a_problem_with_a_type_that_can_be_opened(redis_url: str) -> None:
    async with running(redis_url) as world:
        client = world.client
        good = keyed() | {"content-type": "application/json"}
        await problem_of(world, await client.get("/nothing/here"), 404, "not-found")
        await problem_of(world, await client.get("/api/me"), 401, "unauthenticated")
        bad = {"authorization": "Bearer nonsense"}
        await problem_of(world, await client.get("/api/me", headers=bad), 401, "invalid-token")
        both = {"authorization": "Basic YTpi"}
        await problem_of(world, await client.get("/api/me", headers=both), 401, "invalid-token")
        big = await client.post("/api/things/ok", headers=good, content=b"x" * 70_000)
        await problem_of(world, big, 413, "body-too-large")
        form = await client.post("/api/things/ok", headers=keyed(), data={"name": "x"})
        await problem_of(world, form, 415, "unsupported-media-type")
        await problem_of(world, await client.get("/api/bug"), 500, "internal")
        await problem_of(world, await client.get("/api/sleepy"), 504, "timeout")
        await problem_of(world, await world.get("/api/required/400"), 502, "refused")
        await problem_of(world, await world.get("/api/required/404"), 404, "no-404")
        await problem_of(world, await world.get("/api/required/busy"), 503, "overloaded")
        missing = await client.post("/api/things/ok", headers=bearer(), json={"name": "x"})
        await problem_of(world, missing, 400, "idempotency-key-missing")
        own = await problem_of(world, await client.post("/api/own-words", headers=keyed()), 403, "too-young")
        assert own["years"] == 1
        for _ in range(3):
            assert (await client.get("/api/search")).status_code == 200
        limited = await client.get("/api/search")
        assert (await problem_of(world, limited, 429, "rate-limited"))["violated-policies"] == ["minute"]
        assert int(limited.headers["retry-after"]) >= 1


async def test_invalid_input_in_path_query_and_body_is_422_with_pointers(redis_url: str) -> None:
    async with running(redis_url) as world:
        query = await world.client.get("/api/search?page=first&colour=green")
        document = await problem_of(world, query, 422, "invalid-request")
        assert [(one["in"], one["pointer"]) for one in document["errors"]] == [
            ("query", "/page"),
            ("query", "/colour"),
        ]
        cart = {"lines": [{"name": "a", "count": 0}, {"count": 1}]}
        body = await world.client.post("/api/jobs?dry=perhaps", headers=keyed(), json=cart)
        document = await problem_of(world, body, 422, "invalid-request")
        assert [(one["in"], one["pointer"]) for one in document["errors"]] == [
            ("query", "/dry"),
            ("body", "/lines/0/count"),
            ("body", "/lines/1/name"),
        ]
        assert "perhaps" not in body.text and "first" not in query.text
        for broken in (b"", b"{", b"[" * 10_000, b'"\xff"', b"null"):
            headers = keyed() | {"content-type": "application/json"}
            answer = await world.client.post("/api/jobs", headers=headers, content=broken)
            await problem_of(world, answer, 422, "invalid-request")


async def test_a_wrong_method_is_405_and_allow_names_every_method_there_is(redis_url: str) -> None:
    async with running(redis_url) as world:
        for method, path, allow in [
            ("POST", "/api/me", "GET, HEAD"),
            ("GET", "/api/jobs", "POST"),
            ("PUT", "/api/both", "GET, HEAD, POST"),
            ("DELETE", "/livez", "GET, HEAD"),
            ("POST", "/assets/upstream.py", "GET, HEAD"),
            ("OPTIONS", "/docs", "GET, HEAD"),
            ("PROPFIND", "/openapi.json", "GET, HEAD"),
        ]:
            answer = await world.client.request(method, path)
            await problem_of(world, answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == allow, path


WEIRD = [
    "/..%2f..%2fetc/passwd",
    "/assets/..%2f..%2f..%2fpyproject.toml",
    "/assets/../../../pyproject.toml",
    "/assets/%00",
    "/assets/__init__.py",
    "/assets/.hidden",
    "/assets/",
    "/api/me/",
    "//api/me",
    "/%ff%fe",
    "/api/required/a/b",
    "/api/required/",
    "/api/required/%2e%2e",
    "/api/required/.",
    "/" + "a" * 5_000,
    "/api/search?" + "&".join(f"a{n}=1" for n in range(200)),
]


async def test_a_weird_path_is_a_problem_and_never_a_500_and_reaches_no_upstream(redis_url: str) -> None:
    async with running(redis_url) as world:
        for path in WEIRD:
            lines = [f"GET {path} HTTP/1.1", "host: x", "connection: close"]
            lines += [f"{name}: {value}" for name, value in bearer().items()]
            head, body = await raw(world, "\r\n".join([*lines, "", ""]).encode())
            assert re.match(r"HTTP/1.1 4\d\d ", head), (path, head)
            assert "content-type: application/problem+json" in head.lower(), path
            assert json.loads(body)["code"] in ("not-found", "invalid-request"), path
        assert world.upstream.asked == []


async def raw(world: World, data: bytes) -> tuple[str, bytes]:
    """Send exactly these bytes; returns the head and the body of the answer."""
    port = world.client.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), GUARD)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


async def test_every_answer_carries_the_correlation_id_also_for_files_and_docs(redis_url: str) -> None:
    async with running(redis_url) as world:
        mine = str(uuid.uuid4())
        paths = [
            "/",
            "/page/7",
            "/assets/upstream.py",
            "/docs",
            "/openapi.json",
            "/livez",
            "/readyz",
            "/none",
        ]
        for path in [*paths, "/api/open/ok", "/api/me", "/bff/live/snapshot"]:
            answer = await world.client.get(path, headers={"x-correlation-id": mine.upper()})
            assert answer.headers["x-correlation-id"] == mine, path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert UUID.fullmatch((await world.client.get(path)).headers["x-correlation-id"]), path


async def test_a_correlation_id_that_is_no_uuid_is_replaced_and_logged(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(redis_url) as world:
        with caplog.at_level(logging.INFO, logger="bff.access"):
            answer = await world.get("/api/required/ok", **{"x-correlation-id": "order-7; drop"})
        new = answer.headers["x-correlation-id"]
        assert UUID.fullmatch(new)
        assert world.upstream.last.headers["x-correlation-id"] == new
        record = next(one for one in caplog.records if one.name == "bff.access")
        assert vars(record)["fields"]["correlation_id_given"] == "order-7; drop"


async def test_a_trace_passes_through_the_gateway_and_baggage_does_not(redis_url: str) -> None:
    async with running(redis_url) as world:
        trace = uuid.uuid4().hex
        parent = f"00-{trace}-{'1' * 16}-01"
        headers = {"traceparent": parent, "tracestate": "vendor=x", "baggage": "user=ada"}
        problem = (await world.get("/api/required/404", **headers)).json()
        assert problem["trace_id"] == trace
        sent = world.upstream.last.headers
        version, id, span, flags = sent["traceparent"].split("-")
        assert (version, id, flags) == ("00", trace, "01")
        assert span != "1" * 16, "the upstream's parent is the gateway's own span"
        assert sent["tracestate"] == "vendor=x"
        assert "baggage" not in sent


async def test_an_invalid_traceparent_begins_a_new_trace(redis_url: str) -> None:
    async with running(redis_url) as world:
        for parent in ("", "nonsense", f"00-{'0' * 32}-{'1' * 16}-01", f"ff-{'a' * 32}-{'1' * 16}-01"):
            problem = (await world.get("/api/required/404", traceparent=parent)).json()
            assert set(problem["trace_id"]) != {"0"}
            assert problem["trace_id"] not in parent
            assert world.upstream.last.headers["traceparent"].split("-")[1] == problem["trace_id"]


async def test_no_header_of_the_browser_reaches_an_upstream(redis_url: str) -> None:
    async with running(redis_url) as world:
        mine = {
            "cookie": "__Host-bff=x; a=b",
            "x-forwarded-for": "6.6.6.6",
            "x-forwarded-host": "evil.test",
            "forwarded": "for=6.6.6.6",
            "bff-owner": "someone|else",
            "bff-mutation": "forged",
            "bff-deadline-ms": "999999",
            "x-internal-role": "admin",
            "user-agent": "browser/1.0",
            "accept-language": "de",
            "origin": world.url,
        }
        await world.get("/api/required/ok", **mine)
        sent = world.upstream.last.headers
        assert set(sent) == {
            "host",
            "accept",
            "user-agent",
            "x-correlation-id",
            "bff-deadline-ms",
            "authorization",
            "traceparent",
        } | ({"accept-encoding", "connection"} & set(sent))
        assert sent["user-agent"] == "bff"
        assert 0 < int(sent["bff-deadline-ms"]) <= GUARD * 1000
        await world.client.post("/api/things/ok", headers=keyed("k-1") | mine, json={"name": "x"})
        sent = world.upstream.last.headers
        assert sent["bff-owner"] == "https://issuer.test|ada"
        assert sent["bff-mutation"] == "k-1"
        assert "cookie" not in sent and "x-forwarded-for" not in sent


async def test_a_public_call_sends_no_authorization_of_the_browser(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.get("/api/open/ok")
        assert "authorization" not in world.upstream.last.headers


async def test_a_command_without_redis_is_503_with_retry_after() -> None:
    async with running(nowhere()) as world:
        answer = await world.client.post("/api/things/ok", headers=keyed(), json={"name": "x"})
        await problem_of(world, answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "2"
        assert world.upstream.asked == [], "nothing was sent"
        snapshot = await world.get("/bff/live/snapshot")
        await problem_of(world, snapshot, 503, "unavailable")
