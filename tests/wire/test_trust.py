"""What a gateway trusts: proxies, hosts, pages of other sites, networks; and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from bff import DeclarationError, Gateway
from bff.cli.check import mistakes
from bff.edge.settings import Settings
from tests.declarations import route_of

from .networks import desk
from .own_connection import behind_own_connection

DESK = "https://desk.test"


@asynccontextmanager
async def served(
    redis_url: str, *, max_body: int = 65_536, **http: object
) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings.model_validate(
        {
            "redis": {"url": redis_url},
            "issuers": [{"issuer": "https://issuer.test", "audience": "shop"}],
            "public_url": "https://shop.test",
            # Server and client share one loop here.
            "admission": {"lag": 5},
            "http": http,
            "max_body": max_body,
            "webhooks": {"cms": {"secret": "x" * 24}},
        }
    )
    runtime = await desk.start(settings)
    try:
        async with (
            behind_own_connection(desk, runtime) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            yield client
    finally:
        await desk.stop()


async def test_a_route_serves_its_network_and_limits_count_clients_behind_the_proxy(redis_url: str) -> None:
    networks = {"office": ["203.0.113.0/24", "2001:db8::/32"]}
    async with served(redis_url, proxies=["127.0.0.0/8"], networks=networks) as client:

        async def asked(path: str, forwarded: str | None, method: str = "GET") -> httpx.Response:
            headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
            return await client.request(method, path, headers=headers)

        for forwarded, status in [
            ("203.0.113.7", 200),
            ("6.6.6.6, 203.0.113.7", 200),
            ("2001:db8::5", 200),
            ("198.51.100.1", 403),
            ("203.0.113.7, 198.51.100.1", 403),
            ("203.0.113.7, nonsense", 403),
            (None, 403),
        ]:
            answer = await asked("/api/office", forwarded)
            assert answer.status_code == status, forwarded
        assert answer.json()["code"] == "forbidden"
        assert (await asked("/api/office", "198.51.100.1", "POST")).status_code == 403
        assert (await asked("/api/office", "203.0.113.7", "POST")).status_code == 401

        # Two a minute for each client; the proxy is not counted as one.
        statuses = [(await asked("/api/open", one)).status_code for one in ("192.0.2.1", "192.0.2.2") * 3]
        assert statuses == [200, 200, 200, 200, 429, 429]


async def test_without_trusted_proxies_a_client_cannot_choose_its_address(redis_url: str) -> None:
    networks = {"office": ["203.0.113.0/24"]}
    async with served(redis_url, networks=networks) as client:
        for name in ("x-forwarded-for", "forwarded", "x-real-ip", "x_forwarded_for"):
            answer = await client.get("/api/office", headers={name: "203.0.113.7"})
            assert answer.status_code == 403, name


async def test_other_hosts_are_refused_except_for_health(redis_url: str) -> None:
    hosts = ["shop.test", "*.shop.test", "[::1]"]
    async with served(redis_url, hosts=hosts, networks={"office": []}, proxies=["10.0.0.0/8"]) as client:
        for host, status in [
            ("shop.test", 200),
            ("SHOP.test:8000", 200),
            ("shop.test.", 200),
            ("www.shop.test", 200),
            ("[::1]:80", 200),
            ("evil.test", 421),
            ("shop.test.evil.test", 421),
            ("evilshop.test", 421),
            ("127.0.0.1", 421),
        ]:
            answer = await client.get("/docs", headers={"host": host})
            assert answer.status_code == status, host
        assert answer.json()["code"] == "misdirected"
        assert (await client.get("/livez", headers={"host": "10.1.2.3"})).status_code == 200


async def test_a_listed_site_may_call_with_a_token_and_no_other_site_with_a_cookie(redis_url: str) -> None:
    async with served(redis_url, origins=[DESK], networks={"office": []}) as client:
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-bff"}
        answer = await client.options("/api/open", headers={"origin": DESK, **ask})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == DESK
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "idempotency-key"} <= set(allowed)
        assert "x-bff" not in allowed, "it proves that a write comes from our own page"
        assert "access-control-allow-credentials" not in answer.headers

        for path in ("/api/open", "/nothing", "/bff/live"):
            answer = await client.get(path, headers={"origin": DESK})
            assert answer.headers["access-control-allow-origin"] == DESK, path
            assert "x-correlation-id" in answer.headers["access-control-expose-headers"]
            assert "Origin" in answer.headers.get_list("vary"), path
        for origin in ("https://evil.test", "null", "https://desk.test.evil.test", "http://desk.test"):
            answer = await client.options("/api/open", headers={"origin": origin, **ask})
            assert answer.status_code == 405, origin
            answer = await client.get("/docs", headers={"origin": origin})
            assert "access-control-allow-origin" not in answer.headers, origin
            assert "Origin" in answer.headers["vary"].split(", ")
    async with served(redis_url, networks={"office": []}) as client:
        answer = await client.get("/docs", headers={"origin": DESK})
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" not in answer.headers.get("vary", "")


def readable(answer: httpx.Response) -> bool:
    """Whether the page of the desk may read it, and the headers that it needs."""
    headers = answer.headers
    exposed = set(headers.get("access-control-expose-headers", "").split(", "))
    return (
        headers.get_list("access-control-allow-origin") == [DESK]
        and "Origin" in headers.get_list("vary")
        and {"bff-user", "retry-after", "ratelimit", "www-authenticate", "x-correlation-id"} <= exposed
    )


async def raw(port: int, request: bytes) -> httpx.Response:
    """The answer to these bytes; the connection stays open until it has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [
            (name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)
        ]
        return httpx.Response(int(head[0].split()[1]), headers=pairs)
    finally:
        writer.close()


ORIGIN = f"Origin: {DESK}\r\n".encode()
POST = b"POST /api/office HTTP/1.1\r\nHost: shop.test\r\n" + ORIGIN
TOLD = POST.replace(b"/api/office", b"/bff/changes/cms")
ASK, END = b"Access-Control-Request-Method: GET\r\n", b"\r\n"
BATTERY = [
    ("a body too long, announced", POST + b"Content-Length: 100000\r\n\r\n", 413),
    ("a body too long, in chunks", POST + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 4096, 413),
    ("a body that does not come", TOLD + b"Content-Length: 5\r\n\r\nab", 408),
    ("a broken chunk", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ("a head too large", b"GET / HTTP/1.1\r\nHost: a\r\n" + ORIGIN + b"A: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + ORIGIN + b"\r\n", 400),
    ("another host", b"GET /api/open HTTP/1.1\r\nHost: evil.test\r\n" + ORIGIN + b"\r\n", 421),
    ("a preflight for another host", b"OPTIONS / HTTP/1.1\r\nHost: evil.test\r\n" + ASK + ORIGIN + b"\r\n", 421),
    ("no such address", b"GET /nothing HTTP/1.1\r\nHost: shop.test\r\n" + ORIGIN + b"\r\n", 404),
    ("an address in another form", b"GET /a//b HTTP/1.1\r\nHost: shop.test\r\n" + ORIGIN + b"\r\n", 404),
    ("another method", b"DELETE /api/open HTTP/1.1\r\nHost: shop.test\r\n" + ORIGIN + b"\r\n", 405),
    ("nobody", b"GET /bff/live HTTP/1.1\r\nHost: shop.test\r\n" + ORIGIN + b"\r\n", 401),
    ("a bad token", b"GET /bff/live HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer x\r\n" + ORIGIN + END, 401),
    ("another network", b"GET /api/office HTTP/1.1\r\nHost: shop.test\r\n" + ORIGIN + b"\r\n", 403),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "status"), [one[1:] for one in BATTERY], ids=[one[0] for one in BATTERY]
)
async def test_every_refusal_whose_head_was_read_can_be_read_by_a_listed_site(
    redis_url: str, request_: bytes, status: int
) -> None:
    network = {"office": ["127.0.0.0/8"]} if b"POST" in request_ else {"office": []}
    http = {"origins": [DESK], "hosts": ["shop.test"], "networks": network, "body_timeout": 0.2}
    async with served(redis_url, max_body=1_024, **http) as client:
        answer = await raw(httpx.URL(client.base_url).port or 0, request_)
        assert answer.status_code == status
        assert readable(answer), answer.headers
        foreign = await raw(
            httpx.URL(client.base_url).port or 0, request_.replace(DESK.encode(), b"https://evil.test")
        )
        assert foreign.status_code == status
        assert "access-control-allow-origin" not in foreign.headers


async def test_limits_and_overload_can_be_read_by_a_listed_site(redis_url: str) -> None:
    async with served(redis_url, origins=[DESK], networks={"office": []}) as client:
        answers = [await client.get("/api/open", headers={"origin": DESK}) for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        assert all(readable(one) for one in answers)
        # Later requests on the same connection, from a program, are not from another site.
        assert "access-control-allow-origin" not in (await client.get("/api/open")).headers
        runtime = desk.runtime
        assert runtime is not None
        runtime.admission.in_flight = 1_000_000
        try:
            answer = await client.get("/api/open", headers={"origin": DESK})
        finally:
            runtime.admission.in_flight = 0
        assert (answer.status_code, readable(answer)) == (503, True)


async def test_headers_of_common_tools_are_allowed_where_the_setting_names_them(redis_url: str) -> None:
    tools = ["baggage", "Sentry-Trace", "cache-control"]
    async with served(redis_url, origins=[DESK], cors_headers=tools, networks={"office": []}) as client:
        ask = {"access-control-request-method": "GET", "access-control-request-headers": "sentry-trace"}
        answer = await client.options("/api/open", headers={"origin": DESK, **ask})
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "baggage", "sentry-trace", "cache-control"} <= set(allowed)
        assert "x-bff" not in allowed


@pytest.mark.parametrize("name", ["*", "X-BFF", "cookie", "a b", "x\r\ny", ""])
def test_a_cors_header_that_would_allow_too_much_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="cors_headers"):
        Settings.model_validate({"http": {"cors_headers": [name]}})


async def test_every_answer_has_the_security_headers_once_and_a_policy_without_scripts(
    redis_url: str,
) -> None:
    async with served(redis_url, networks={"office": []}) as client:
        for path in ("/docs", "/openapi.json", "/nothing", "/livez", "/api/open", "/" + "a" * 9_000):
            answer = await client.get(path)
            headers = answer.headers
            for name, value in {
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
                "referrer-policy": "strict-origin-when-cross-origin",
                "cross-origin-opener-policy": "same-origin",
                "cross-origin-resource-policy": "same-origin",
                "strict-transport-security": "max-age=31536000",
            }.items():
                assert headers.get_list(name) == [value], (path, name)
            (policy,) = headers.get_list("content-security-policy")
            directives = dict(one.strip().split(" ", 1) for one in policy.split(";"))
            for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
                assert directives[name] == "'none'", (path, name)
            assert "unsafe" not in policy
            assert "camera=()" in headers["permissions-policy"]


def test_a_network_without_a_setting_stops_the_start_with_its_name() -> None:
    settings = Settings.model_validate({"issuers": [{"issuer": "https://x", "audience": "y"}]})
    found = mistakes(desk, settings)
    assert len(found) == 2
    assert all("BFF_HTTP__NETWORKS__OFFICE" in one for one in found)


async def test_the_same_under_another_server() -> None:
    gateway = Gateway("other", settings=Settings())
    gateway.view("/api/office", public=True, network="office")(route_of(desk, "/api/office").function)
    with pytest.raises(DeclarationError, match="BFF_HTTP__NETWORKS__OFFICE"):
        await gateway.start()
