"""The network between the gateway and what it calls: a private certificate authority, and a proxy that is the only way
out. The proxy alone knows the names of the hosts, so what arrives has gone through it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import certifi
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bff import DeclarationError
from bff.edge.access.fetch import FetchFailed, FetchTarget, fetch_json
from bff.edge.access.fetcher import Fetcher
from bff.edge.access.provider import Provider
from bff.edge.app.network import Connections, fetch_targets, make_network
from bff.edge.settings import Settings
from bff.edge.settings.network import NetworkSettings
from bff.network import Network, Proxy, TlsTrust
from bff.transport.aiohttp_wire import AiohttpWire
from bff.transport.backends import open_exchanges, open_wire
from bff.transport.exchange import ExchangeRequest
from bff.transport.h1_wire import H1Wire
from bff.transport.httpx_wire import HttpxWire
from bff.transport.wire import WireConnectionError, WireRequest

from .. import otlp
from ..conftest import PUBLIC_AUTHORITIES
from ..waiting import GUARD
from .authority import Authority, Pair, tls_server
from .forward_proxy import ForwardProxy, forward_proxy
from .gateway import running
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .served import served

GET = WireRequest("GET", "/things/a%2Fb?x=1", {"accept": "application/json"})
SPAN = "GET /things/{how}"
"""The client span of a call to the shelf."""
LOGIN = ("ada.o", "p@ss:w/rd %2F é")


@pytest.fixture
def inside(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "inside", "inside")


@pytest.fixture
def service(inside: Authority) -> Pair:
    return inside.pair("shelf", host="shelf.test")


class Echo:
    """Answers with what it was asked, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        target = scope["raw_path"].decode() + (
            f"?{query}" if (query := scope["query_string"].decode()) else ""
        )
        self.asked.append({"target": target, "headers": headers, "body": body, "path": scope["path"]})
        content = json.dumps({"name": "ok", "target": target, "host": headers["host"]}).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": content})


def through(proxy: ForwardProxy, trust: TlsTrust | None = None, *, password: str = LOGIN[1]) -> Network:
    login = None if proxy.login is None else (LOGIN[0], password)
    made = Proxy(proxy.url, (), lambda: login)
    return Network(proxy=made) if trust is None else Network(trust, made)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.fixture(params=["aiohttp", "httpx"])
def name(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_call_over_https_goes_through_the_proxy_and_trusts_the_private_authority(
    name: Any, inside: Authority, service: Pair
) -> None:
    async with (
        tls_server(service, None) as server,
        forward_proxy({"shelf.test:443": server.port}, LOGIN) as proxy,
    ):
        network = through(proxy, TlsTrust("shelf", ca=inside.file))
        wire = open_wire(name, connections=2, max_body=1000, network=network)("https://shelf.test", None)
        for _ in range(2):
            assert (await wire.send(GET)).body == b'{"name":"x"}'
        assert server.connections == 1, "kept between calls"
        await wire.close()
        stranger = open_wire(name, connections=2, max_body=1000, network=through(proxy))
        untrusting = stranger("https://shelf.test", None)
        with pytest.raises(WireConnectionError):
            await untrusting.send(GET)
        await untrusting.close()
        assert proxy.asked == ["CONNECT shelf.test:443 HTTP/1.1"] * 2


async def test_a_call_over_http_goes_through_the_proxy_with_its_address_as_it_was(name: Any) -> None:
    echo = Echo()
    async with served(echo) as url, forward_proxy({"shelf.test:80": port_of(url)}, LOGIN) as proxy:
        for chosen in (name, "h1"):
            made = open_wire(chosen, connections=2, max_body=1000, network=through(proxy))
            wire = made("http://shelf.test/base", None)
            assert not isinstance(wire, H1Wire)
            answer = json.loads((await wire.send(GET)).body)
            assert (answer["target"], answer["host"]) == ("/base/things/a%2Fb?x=1", "shelf.test")
            await wire.close()
        assert proxy.asked == ["GET http://shelf.test/base/things/a%2Fb?x=1 HTTP/1.1"] * 2
        assert all("proxy-authorization" not in asked["headers"] for asked in echo.asked)


async def test_a_proxy_that_refuses_is_an_upstream_that_cannot_be_reached(
    name: Any, inside: Authority, service: Pair
) -> None:
    async with forward_proxy({}, LOGIN) as proxy:
        for password, status in (("wrong", 407), (LOGIN[1], 502)):
            made = open_wire(name, connections=2, max_body=1000, network=through(proxy, password=password))
            wire = made("https://shelf.test", None)
            with pytest.raises(
                WireConnectionError, match=f"the proxy answered CONNECT with {status}"
            ) as raised:
                await wire.send(GET)
            assert not raised.value.stale
            await wire.close()


async def test_a_changed_password_is_used_for_the_next_call(name: Any) -> None:
    echo, passwords = Echo(), ["first"]
    async with served(echo) as url, forward_proxy({"shelf.test:80": port_of(url)}, ("me", "first")) as proxy:
        network = Network(proxy=Proxy(proxy.url, (), lambda: ("me", passwords[0])))
        wire = open_wire(name, connections=2, max_body=1000, network=network)("http://shelf.test", None)
        assert (await wire.send(GET)).status == 200
        proxy.login, passwords[0] = ("me", "second"), "second"
        assert (await wire.send(GET)).status == 200
        await wire.close()


async def test_an_excepted_host_and_this_machine_are_reached_directly() -> None:
    echo = Echo()
    async with served(echo) as url, forward_proxy({}) as proxy:
        wire = open_wire("h1", connections=2, max_body=1000, network=through(proxy))(url, None)
        assert isinstance(wire, H1Wire)
        assert (await wire.send(GET)).status == 200
        await wire.close()
        excepted = Network(proxy=Proxy(proxy.url, ("shelf.test",)))
        direct = open_wire("aiohttp", connections=2, max_body=1000, network=excepted)(
            f"http://shelf.test:{port_of(url)}", "127.0.0.1"
        )
        assert isinstance(direct, AiohttpWire)
        assert (await direct.send(GET)).status == 200
        await direct.close()
        assert proxy.asked == []


def test_an_address_of_dns_behind_the_proxy_is_refused_with_the_cure() -> None:
    network = Network(proxy=Proxy("http://proxy.test:3128"))
    for opened in (
        open_wire("h1", connections=1, max_body=1000, network=network),
        open_exchanges(connections=1, network=network),
    ):
        with pytest.raises(ValueError, match="BFF_NETWORK__NO_PROXY"):
            opened("http://shelf.test", "10.0.0.1")


async def test_a_forwarded_exchange_goes_through_the_proxy_with_its_body(
    inside: Authority, service: Pair
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    echo = Echo()
    async with (
        served(echo, cert=service.cert, key=service.key) as url,
        forward_proxy({"shelf.test:443": port_of(url)}, LOGIN) as proxy,
    ):
        network = through(proxy, TlsTrust("shelf", ca=inside.file))
        exchanges = open_exchanges(connections=2, network=network)("https://shelf.test", None)
        response = await exchanges.open(ExchangeRequest("POST", "/upload", (), body(), 3000))
        assert response.status == 200
        assert b"".join([chunk async for chunk in response.chunks()]).startswith(b"{")
        response.close()
        await exchanges.close()
    assert echo.asked[0]["body"] == b"x" * 3000
    assert proxy.asked == ["CONNECT shelf.test:443 HTTP/1.1"]


async def test_the_authority_for_all_is_trusted_beside_the_usual_ones(
    inside: Authority, service: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(certifi, "where", lambda: PUBLIC_AUTHORITIES)
    network = make_network(NetworkSettings(ca=inside.file))
    usual = make_network(NetworkSettings()).trust.context.cert_store_stats()["x509_ca"]
    assert network.trust.context.cert_store_stats()["x509_ca"] == usual + 1 > 100
    async with tls_server(service, None) as server:
        wire = AiohttpWire(
            f"https://shelf.test:{server.port}",
            connections=1,
            max_body=1000,
            at="127.0.0.1",
            trust=network.trust,
        )
        assert (await wire.send(GET)).status == 200
        await wire.close()


async def test_ssl_cert_file_of_the_environment_replaces_the_usual_authorities(
    inside: Authority, service: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = Authority(tmp_path / "private", "private")
    monkeypatch.setenv("SSL_CERT_FILE", str(inside.file))
    network = make_network(NetworkSettings(ca=private.file))
    assert network.trust.context.cert_store_stats()["x509_ca"] == 2, "these two and no others"
    async with tls_server(service, None) as server:
        wire = HttpxWire(
            f"https://shelf.test:{server.port}",
            connections=1,
            max_body=1000,
            at="127.0.0.1",
            trust=network.trust,
        )
        assert (await wire.send(GET)).status == 200
        await wire.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    with pytest.raises(DeclarationError, match=r"SSL_CERT_FILE: .*nothing\.pem: No such file"):
        make_network(NetworkSettings())


async def test_a_changed_authority_is_used_by_the_next_connection(
    inside: Authority, service: Pair, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority(tmp_path / "old", "old").file.read_bytes())
    trust = TlsTrust("all", also=ca)
    async with tls_server(service, None) as server:
        wire = AiohttpWire(
            f"https://shelf.test:{server.port}", connections=1, max_body=1000, at="127.0.0.1", trust=trust
        )
        with pytest.raises(WireConnectionError):
            await wire.send(GET)
        ca.write_bytes(inside.file.read_bytes() + b"\n")
        await trust.watch.check()
        assert (await wire.send(GET)).status == 200
        await wire.close()


# ---- the identity provider ---------------------------------------------------------------------------------------


async def test_an_inner_address_is_asked_as_if_it_were_the_outer_one(inside: Authority) -> None:
    echo, inner = Echo(), inside.pair("inner", host="127.0.0.1")
    async with served(echo, cert=inner.cert, key=inner.key) as url:
        network = Network(TlsTrust("id", ca=inside.file))
        fetch = Fetcher(timeout=GUARD, targets=[FetchTarget("https://id.test", url, network)])
        found = await fetch_json(fetch, "https://id.test/realms/shop/keys?x=a%2Fb")
        assert found == {"name": "ok", "target": "/realms/shop/keys?x=a%2Fb", "host": "id.test"}
        sent = echo.asked[0]["headers"]
        assert (sent["x-forwarded-proto"], sent["x-forwarded-host"]) == ("https", "id.test")
        with pytest.raises(FetchFailed):
            await fetch_json(fetch, "https://elsewhere.test/keys")
        await fetch.close()


async def test_people_sign_in_although_the_provider_is_reached_inside_under_another_address() -> None:
    provider = OidcProvider("https://shop.test/bff/callback")
    provider.issuer = "https://id.test"
    async with served(provider.app) as inner, httpx.AsyncClient(base_url=inner) as browser:
        # Some providers name the address at which they were asked.
        provider.extra = {"authorization_endpoint": f"{inner}/authorize", "token_endpoint": f"{inner}/token"}
        oidc = {
            "issuer": provider.issuer,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "internal_url": inner,
        }
        settings = Settings.model_validate({"oidc": oidc})
        assert settings.oidc is not None
        fetch = Fetcher(timeout=GUARD, targets=fetch_targets(settings, Connections(settings.network)))
        made = Provider(settings.oidc, fetch, redirect_uri=provider.redirect_uri)
        verifier, nonce = "v" * 64, "n" * 32
        address = await made.authorize_url(state="s", nonce=nonce, verifier=verifier)
        assert address.startswith("https://id.test/authorize?"), "the browser is sent to the outer address"
        answer = await browser.get(address.removeprefix("https://id.test"))
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        record = await made.exchange(code, verifier=verifier, nonce=nonce)
        assert (record.issuer, record.subject) == ("https://id.test", "ada")
        end = await made.end_session_url(None, "https://shop.test/")
        assert end is not None and end.startswith("https://id.test/logout?")
        await made.close()
        await fetch.close()


def test_one_issuer_has_one_inner_address() -> None:
    issuer = {"issuer": "https://id.test/a", "audience": "x", "internal_url": "http://one:80"}
    other = {"issuer": "https://id.test/b", "audience": "x", "internal_url": "http://two:80"}
    settings = Settings.model_validate({"issuers": [issuer, other]})
    with pytest.raises(DeclarationError, match=r"BFF_ISSUERS__1__INTERNAL_URL: https://id\.test has another"):
        fetch_targets(settings, Connections(settings.network))
    with pytest.raises(ValueError, match="scheme, host and port alone"):
        Settings.model_validate({"issuers": [issuer | {"internal_url": "http://one/realms"}]})


async def test_a_certificate_of_the_provider_that_is_not_trusted_is_named(
    inside: Authority, service: Pair
) -> None:
    async with tls_server(service, None) as server, forward_proxy({"shelf.test:443": server.port}) as proxy:
        fetch = Fetcher(timeout=GUARD, network=through(proxy))
        with pytest.raises(
            FetchFailed, match=r"its certificate is not accepted: .*unable to get local issuer"
        ):
            await fetch("https://shelf.test/.well-known/openid-configuration")
        await fetch.close()
        trusted = Fetcher(timeout=GUARD, network=through(proxy, TlsTrust("id", ca=inside.file)))
        assert (await trusted("https://shelf.test/keys"))[0] == 200
        await trusted.close()


# ---- a whole gateway ---------------------------------------------------------------------------------------------


async def test_a_gateway_behind_a_proxy_reaches_its_upstreams_provider_and_collector(
    redis_url: str, inside: Authority, service: Pair, tmp_path: Path
) -> None:
    """The hosts exist for the proxy alone, and one private authority signs for all of them."""
    shelf, collector = Echo(), Collector()
    pair = inside.pair("collector", host="traces.test")
    async with (
        served(shelf, cert=service.cert, key=service.key) as url,
        served(collector, cert=pair.cert, key=pair.key) as traces,
        forward_proxy({"shelf.test:443": port_of(url), "traces.test:4318": port_of(traces)}, LOGIN) as proxy,
    ):
        async with running(
            redis_url,
            network={
                "ca": str(inside.file),
                "proxy": proxy.url,
                "proxy_username": LOGIN[0],
                "proxy_password": LOGIN[1],
            },
            telemetry={"otlp": "https://traces.test:4318", "headers": {"x-api-key": "collector-key"}},
            shelf_settings={"url": "https://shelf.test"},
        ) as world:
            answer = await world.client.get("/api/open/ok")
            assert answer.json()["thing"] == {"name": "ok"}, answer.text
        async with asyncio.timeout(GUARD):
            await collector.news.wait()
    assert SPAN in collector.spans
    assert collector.keys == {"collector-key"}
    asked = {line.rpartition(" ")[0] for line in proxy.asked}
    assert asked == {"CONNECT shelf.test:443", "CONNECT traces.test:4318"}


class Collector:
    """An OpenTelemetry collector: the names of the spans it got, and the keys that they came with."""

    def __init__(self) -> None:
        self.spans: set[str] = set()
        self.keys: set[str] = set()
        self.news = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.keys.add(dict(scope["headers"]).get(b"x-api-key", b"").decode())
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.spans |= {span.name for scope in resource.scope_spans for span in scope.spans}
        if SPAN in self.spans:
            self.news.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_traces_trust_their_own_authority_and_ignore_the_environment(
    redis_url: str, inside: Authority, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/nowhere.pem")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-environment")
    collector, own = otlp.Collector(), inside.pair("collector", host="127.0.0.1")
    async with contextlib.AsyncExitStack() as stack:
        if protocol == "http":
            traces = await stack.enter_async_context(served(collector, cert=own.cert, key=own.key))
        else:
            pair = own.key.read_bytes(), own.cert.read_bytes()
            traces = f"https://127.0.0.1:{stack.enter_context(otlp.grpc_collector(collector, tls=pair))}"
        telemetry = {"otlp": traces, "protocol": protocol, "tls": {"ca": str(inside.file)}}
        telemetry["headers"] = {"x-key": "of-the-settings"}
        async with running(redis_url, telemetry=telemetry) as world:
            assert (await world.client.get("/api/open/ok")).status_code == 200
        await collector.until(lambda spans: any(span.name == SPAN for span in spans))
    assert set(collector.keys) == {"of-the-settings"}


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"proxy": "https://proxy.test"}, "begins with http://"),
        ({"proxy": "http://me:secret@proxy.test:3128"}, "without user"),
        ({"proxy": "http://proxy.test/path"}, "without a path"),
        ({"no_proxy": ["10.0.0.0/8"]}, "without proxy"),
        ({"proxy": "http://p.test", "no_proxy": ["10.0.0.1/8"]}, "is not a network"),
        ({"proxy": "http://p.test", "no_proxy": ["https://x.test"]}, "without scheme"),
        ({"proxy": "http://p.test", "proxy_username": "me"}, "go together"),
        ({"proxy": "http://p.test", "proxy_username": "m:e", "proxy_password": "x"}, "colon"),
        ({"proxy": "http://p.test", "proxy_username": "me", "proxy_password": "日本"}, "Latin-1"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_with_the_cure(network: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings.model_validate({"network": network})
