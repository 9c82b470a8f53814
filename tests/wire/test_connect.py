"""`bff check --connect`: every address of a configuration is tried from here; what is wrong is named with the cure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import nats
import pytest

from bff.cli import main

from ..brokers.servers import Nats
from ..conftest import Valkey, closed_port
from ..waiting import close_listener
from .authority import Authority, Pair, tls_server
from .forward_proxy import forward_proxy
from .oidc_provider import OidcProvider
from .served import served
from .upstream import http

MODULE = """
from bff import Call, Gateway, Upstream

class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def thing(self) -> Call[dict]:
        return self.get("/thing", dict)

shelf = Shelf()
app = Gateway("connects", upstreams=(shelf,))
"""
UPSTREAM = "BFF_UPSTREAMS__SHELF"


@pytest.fixture
def inside(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "inside", "inside")


class Check:
    """Runs the command with these variables. result: of the last run."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch = patch
        self.capture = capture
        self.code = -1
        self.text = ""

    async def __call__(self, *arguments: str, **settings: str) -> list[dict[str, Any]]:
        """The connections of the JSON report. settings: without BFF_."""
        for name, value in settings.items():
            self.patch.setenv(f"BFF_{name}", value)
        self.capture.readouterr()
        command = ["check", "--connect", "--json", *arguments, "connects_module:app"]
        self.code = await asyncio.to_thread(main, command)
        out = self.capture.readouterr()
        self.text = out.out + out.err
        report = json.loads(out.out)
        assert report["ok"] is (self.code == 0)
        found: list[dict[str, Any]] = report["connections"]
        return found

    async def only(self, what: str, **settings: str) -> dict[str, Any]:
        (found,) = [one for one in await self("--timeout", "2", **settings) if one["what"] == what]
        return found


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str
) -> Check:
    (tmp_path / "connects_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BFF_REDIS__URL", redis_url)
    monkeypatch.setenv("BFF_REDIS__TIMEOUT", "10")
    monkeypatch.setenv(f"{UPSTREAM}__URL", f"http://127.0.0.1:{closed_port()}")
    return Check(monkeypatch, capsys)


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[int]:
    """A server that answers anything with these bytes; None: never."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            await reader.read(65_536)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
                writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await close_listener(server)
        for writer in writers:
            writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)


Address = Callable[[Authority, Path], Any]


@asynccontextmanager
async def refusing(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    yield {f"{UPSTREAM}__URL": f"http://127.0.0.1:{closed_port()}"}


@asynccontextmanager
async def unknown(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    yield {f"{UPSTREAM}__URL": "http://shelf.invalid"}


@asynccontextmanager
async def silent(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with answering(None) as port:
        yield {f"{UPSTREAM}__URL": f"http://127.0.0.1:{port}"}


@asynccontextmanager
async def no_http(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with answering(b"220 mail.test ESMTP\r\n\r\n") as port:
        yield {f"{UPSTREAM}__URL": f"http://127.0.0.1:{port}"}


@asynccontextmanager
async def no_tls(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with answering(http(200, b"{}")) as port:
        yield {f"{UPSTREAM}__URL": f"https://127.0.0.1:{port}"}


@asynccontextmanager
async def stranger(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with tls_server(inside.pair("shelf", host="127.0.0.1"), None) as server:
        yield {f"{UPSTREAM}__URL": f"https://127.0.0.1:{server.port}"}


@asynccontextmanager
async def other_name(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with tls_server(inside.pair("shelf", host="shelf.test"), None) as server:
        yield {f"{UPSTREAM}__URL": f"https://127.0.0.1:{server.port}", "BFF_NETWORK__CA": str(inside.file)}


@asynccontextmanager
async def expired(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with tls_server(inside.pair("shelf", host="127.0.0.1", days=-1), None) as server:
        yield {f"{UPSTREAM}__URL": f"https://127.0.0.1:{server.port}", "BFF_NETWORK__CA": str(inside.file)}


@asynccontextmanager
async def asks_for_ours(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with tls_server(inside.pair("shelf", host="127.0.0.1"), inside) as server:
        yield {f"{UPSTREAM}__URL": f"https://127.0.0.1:{server.port}", "BFF_NETWORK__CA": str(inside.file)}


@asynccontextmanager
async def proxy_password(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with forward_proxy({}, ("me", "right")) as proxy:
        yield {
            f"{UPSTREAM}__URL": "https://shelf.test",
            "BFF_NETWORK__PROXY": proxy.url,
            "BFF_NETWORK__PROXY_USERNAME": "me",
            "BFF_NETWORK__PROXY_PASSWORD": "hunter2",
        }


@asynccontextmanager
async def proxy_refuses(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with forward_proxy({}) as proxy:
        yield {f"{UPSTREAM}__URL": "https://shelf.test", "BFF_NETWORK__PROXY": proxy.url}


@asynccontextmanager
async def proxy_away(inside: Authority, folder: Path) -> AsyncIterator[dict[str, str]]:
    yield {
        f"{UPSTREAM}__URL": "https://shelf.test",
        "BFF_NETWORK__PROXY": f"http://127.0.0.1:{closed_port()}",
    }


FAULTS: list[tuple[Address, str, str]] = [
    (refusing, "it refuses connections", f"{UPSTREAM}__URL: start it"),
    (unknown, "its host is not known", f"{UPSTREAM}__URL: correct the name"),
    (silent, "it does not answer within 2 s", f"{UPSTREAM}__URL: check host and port"),
    (no_http, "it gives no HTTP answer", f"{UPSTREAM}__URL"),
    (no_tls, "it does not speak TLS there", f"{UPSTREAM}__URL: check the scheme"),
    (stranger, "not trusted (issued by CN=inside", f"set {UPSTREAM}__TLS__CA or BFF_NETWORK__CA"),
    (other_name, "its certificate is for other names", f"{UPSTREAM}__URL: use a name that it has"),
    (expired, "its certificate has expired", "renew it there"),
    (asks_for_ours, "it ends the connection instead of answering", f"set {UPSTREAM}__TLS__CERT"),
    (proxy_password, "the proxy asks for a user and password", "BFF_NETWORK__PROXY_PASSWORD"),
    (proxy_refuses, "the proxy refuses it (502)", "BFF_NETWORK__NO_PROXY"),
    (proxy_away, "the proxy refuses connections", "BFF_NETWORK__PROXY: start it"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "fault", "cure"), FAULTS, ids=[one[0].__name__ for one in FAULTS])
async def test_what_is_wrong_with_an_address_is_named_with_the_cure(
    check: Check, inside: Authority, tmp_path: Path, address: Address, fault: str, cure: str
) -> None:
    # A refused handshake is for this test to see.
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: None)
    async with address(inside, tmp_path) as settings:
        found = await check.only(
            "upstream shelf", **{name.removeprefix("BFF_"): value for name, value in settings.items()}
        )
    assert check.code == 1 and found["ok"] is False
    assert fault in found["fault"] and cure in found["cure"], found
    assert "hunter2" not in check.text


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def certificate(inside: Authority) -> Pair:
    return inside.pair("everything", host="127.0.0.1")


async def test_a_configuration_that_works_is_shown_with_certificates_and_latencies(
    check: Check,
    inside: Authority,
    certificate: Pair,
    tmp_path: Path,
    nats_server: Nats,
    capsys: pytest.CaptureFixture[str],
) -> None:
    provider = OidcProvider("http://localhost:8000/bff/callback")
    provider.issuer = "https://id.test"
    client = await nats.connect(nats_server.url)
    with contextlib.suppress(Exception):
        await client.jetstream().add_stream(name="CONNECT", subjects=["connect.>"])
    await client.close()
    async with (
        served(provider.app, cert=certificate.cert, key=certificate.key) as inner,
        served(Accepting(), cert=certificate.cert, key=certificate.key) as other,
        forward_proxy({"shelf.test:443": int(other.rpartition(":")[2])}) as proxy,
    ):
        shelf = inside.pair("shelf", host="shelf.test")
        async with tls_server(shelf, None) as behind:
            proxy.hosts["shelf.test:443"] = behind.port
            settings = {
                "NETWORK__CA": str(inside.file),
                "NETWORK__PROXY": proxy.url,
                "UPSTREAMS__SHELF__URL": "https://shelf.test",
                "UPSTREAMS__SHELF__BALANCE__URLS": json.dumps([other]),
                "OIDC__ISSUER": provider.issuer,
                "OIDC__INTERNAL_URL": inner,
                "OIDC__CLIENT_ID": "bff",
                "OIDC__CLIENT_SECRET": "hunter2",
                "LIVE__NATS__URL": nats_server.url.replace("//", "//me:hunter2@"),
                "LIVE__NATS__STREAM": "CONNECT",
                "TELEMETRY__OTLP": other,
                "TELEMETRY__HEADERS": '{"x-key": "hunter2"}',
            }
            found = await check(**settings)
            assert check.code == 0, check.text
            assert [one["what"] for one in found] == [
                *("Redis", "proxy", "upstream shelf", "upstream shelf", "sign-in", "NATS", "traces"),
            ]
            assert all(one["ok"] and one["latency_ms"] > 0 for one in found), found
            with_tls = [one["certificate_until"] is not None for one in found]
            assert with_tls == [False, False, True, True, True, False, True]
            assert "hunter2" not in check.text
            code = await asyncio.to_thread(main, ["check", "--connect", "connects_module:app"])
            table = capsys.readouterr().out
            assert code == 0 and "hunter2" not in table
            line = next(one for one in table.splitlines() if one.startswith("sign-in"))
            assert f"https://id.test ({inner})" in line and " yes " in line and line.endswith(" ms")
            assert "CONNECT shelf.test:443 HTTP/1.1" in proxy.asked


class Accepting:
    """Answers everything with this status."""

    def __init__(self, status: int = 200) -> None:
        self.status = status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def oidc(issuer: str) -> dict[str, str]:
    return {"OIDC__ISSUER": issuer, "OIDC__CLIENT_ID": "bff", "OIDC__CLIENT_SECRET": "hunter2"}


async def test_a_provider_without_a_discovery_document_is_named(check: Check) -> None:
    async with served(Accepting(404)) as url:
        found = await check.only("sign-in", **oidc(url))
        assert f"{url}/.well-known/openid-configuration answered 404" in found["fault"]


async def test_a_provider_with_another_issuer_is_named_with_both(check: Check) -> None:
    provider = OidcProvider("http://localhost:8000/bff/callback")
    async with served(provider.app) as url:
        provider.issuer = f"{url}/"
        found = await check.only("sign-in", **oidc(url))
        assert f"'{url}/'" in found["fault"] and f"not '{url}'" in found["cure"]


async def test_a_clock_that_differs_is_named_with_the_seconds(check: Check) -> None:
    late = formatdate(time.time() - 300, usegmt=True).encode()
    provider = OidcProvider("http://localhost:8000/bff/callback")

    async def delayed(scope: Any, receive: Any, send: Any) -> None:
        async def dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", late)]
            await send(message)

        await provider.app(scope, receive, dated)

    async with served(delayed) as url:
        provider.issuer = url
        found = await check.only("sign-in", **oidc(url))
        assert "behind this one" in found["fault"] and "NTP" in found["cure"]


async def test_an_issuer_whose_keys_cannot_be_used_is_named(check: Check) -> None:
    provider = OidcProvider("http://localhost:8000/bff/callback")
    async with served(provider.app) as url:
        provider.issuer = url
        issuer = {"issuer": url, "audience": "x", "algorithms": ["EdDSA"]}
        found = await check.only("issuer", ISSUERS=json.dumps([issuer]))
        assert f"no key at {url}/keys can be used" in found["fault"]


async def test_redis_with_a_wrong_password_is_named(check: Check, tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    server = Valkey(tmp_path / "valkey", args=("--requirepass", "right")).start()
    try:
        found = await check.only("Redis", REDIS__URL=server.url, REDIS__PASSWORD="hunter2")
        assert "WRONGPASS" in found["fault"] and "hunter2" not in check.text
    finally:
        server.stop()


async def test_redis_that_refuses_or_cannot_be_trusted_is_named(
    check: Check, inside: Authority, redis_url: str
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: None)
    found = await check.only("Redis", REDIS__URL=f"redis://:hunter2@127.0.0.1:{closed_port()}")
    assert "refuses connections" in found["fault"] and "hunter2" not in check.text
    async with tls_server(inside.pair("redis", host="127.0.0.1"), None) as server:
        found = await check.only("Redis", REDIS__URL=f"rediss://127.0.0.1:{server.port}")
        assert "not trusted" in found["fault"] and "BFF_REDIS__TLS__CA" in found["cure"]


async def test_a_broker_that_refuses_the_password_or_lacks_the_stream_is_named(
    check: Check, tmp_path: Path, nats_server: Nats
) -> None:
    (tmp_path / "nats").mkdir()
    own = Nats(tmp_path / "nats", args=("--user", "me", "--pass", "right"))
    own.start()
    try:
        settings = {"LIVE__NATS__STREAM": "NOTHING"}
        address = own.url.replace("//", "//me:hunter2@")
        found = await check.only("NATS", LIVE__NATS__URL=address, **settings)
        assert "refuses user and password" in found["fault"] and "hunter2" not in check.text
        found = await check.only("NATS", LIVE__NATS__URL=nats_server.url, **settings)
        assert "stream not found" in found["fault"]
        found = await check.only("NATS", LIVE__NATS__URL=f"nats://127.0.0.1:{closed_port()}", **settings)
        assert "refuses connections" in found["fault"] and "BFF_LIVE__NATS__URL" in found["cure"]
    finally:
        own.kill()


@pytest.mark.parametrize(
    ("status", "fault", "cure"),
    [
        (401, "it refuses the credentials (401)", "BFF_TELEMETRY__HEADERS"),
        (404, "it answers 404", "BFF_TELEMETRY__OTLP"),
    ],
)
async def test_a_collector_that_refuses_is_named(check: Check, status: int, fault: str, cure: str) -> None:
    async with served(Accepting(status)) as url:
        for what, setting in (
            ("traces", "TELEMETRY__OTLP"),
            ("metrics", "TELEMETRY__OTLP_METRICS"),
            ("logs", "TELEMETRY__OTLP_LOGS"),
        ):
            found = await check.only(what, **{setting: url})
            assert fault in found["fault"] and cure in found["cure"]


async def test_a_collector_over_grpc_is_connected_to_and_one_that_is_away_is_named(check: Check) -> None:
    async with answering(None) as port:
        found = await check.only(
            "traces", TELEMETRY__OTLP=f"http://127.0.0.1:{port}", TELEMETRY__PROTOCOL="grpc"
        )
        assert not found.get("fault"), found
    away = f"http://127.0.0.1:{closed_port()}"
    found = await check.only("traces", TELEMETRY__OTLP=away, TELEMETRY__PROTOCOL="grpc")
    assert "refuses connections" in found["fault"] and "BFF_TELEMETRY__OTLP" in found["cure"]


async def test_silent_addresses_are_tried_together_within_the_time_for_one(check: Check) -> None:
    async with answering(None) as port:
        # One listener under many addresses of loopback.
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(60)]
        started = time.monotonic()
        found = await check(
            "--timeout",
            "1",
            UPSTREAMS__SHELF__URL=urls[0],
            UPSTREAMS__SHELF__BALANCE__URLS=json.dumps(urls[1:]),
        )
        # One after the other would take a minute; 32 at once take two rounds.
        assert time.monotonic() - started < 30
    assert sum("does not answer within 1 s" in (one["fault"] or "") for one in found) == 60


async def test_a_proxy_of_the_environment_is_not_used_and_that_is_said(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:9")
    async with answering(http(200, b"{}")) as port:
        await check(UPSTREAMS__SHELF__URL=f"http://127.0.0.1:{port}")
    assert check.code == 0 and "HTTPS_PROXY is set in the environment" in check.text
    assert "hunter2" not in check.text
