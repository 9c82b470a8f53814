"""Requests to an identity provider: a real server on loopback answers them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bff.edge.access import fetcher as fetching
from bff.edge.access.fetch import FetchFailed, FetchTarget, fetch_json, fetch_nothing
from bff.edge.access.fetcher import Fetcher
from bff.network import Network, Proxy, TlsTrust
from tests.conftest import closed_port
from tests.wire.authority import Authority

from ....waiting import close_listener

OUTER = "https://id.test"


@dataclass
class Server:
    """Answers every request with `answer`. asked: head and body of each; open: connections now; gate: unset, no
    request is answered."""

    answer: bytes = b""
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    open: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()
        self.says({"name": "ok"})

    def says(self, document: Any, status: int = 200) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        self.answer = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = [one for one in head.lower().split("\r\n") if one.startswith("content-length:")]
                body = await reader.readexactly(int(length[0].partition(":")[2]) if length else 0)
                self.asked.append((head, body))
                self.news.set()
                await self.gate.wait()
                tunnel = head.startswith("CONNECT ")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if tunnel else self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self.news.set()
            writer.close()

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not met():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    served = Server()
    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    served.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        await close_listener(server)
        served.gate.set()
        await served.until(lambda: served.open == 0)


@asynccontextmanager
async def fetcher(**settings: Any) -> AsyncIterator[Fetcher]:
    fetch = Fetcher(**settings)
    try:
        yield fetch
    finally:
        await fetch.close()


async def failure(asking: Awaitable[object]) -> str:
    with pytest.raises(FetchFailed) as caught:
        await asking
    assert caught.value.code == "unreachable"
    return str(caught.value)


def fields(head: str) -> dict[str, str]:
    pairs = [line.partition(": ") for line in head.strip().split("\r\n")[1:]]
    return {name.lower(): value for name, _, value in pairs}


async def test_an_answer_has_its_status_headers_in_lower_case_and_its_body() -> None:
    async with serving() as server, fetcher() as fetch:
        server.says(b"<gone>", status=404)
        status, headers, body = await fetch(f"{server.url}/keys?x=a%2Fb#part")
        assert (status, headers["content-type"], body) == (404, "application/json", b"<gone>")
        head, sent = server.asked[0]
        assert head.startswith("GET /keys?x=a%2Fb HTTP/1.1\r\n") and sent == b""
        assert fields(head)["accept"] == "application/json"
        assert "x-forwarded-host" not in fields(head)
        assert fields(head)["host"] == server.url.removeprefix("http://")


async def test_a_form_is_posted_with_its_own_headers_to_the_root_where_there_is_no_path() -> None:
    async with serving() as server, fetcher() as fetch:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/jwt"}
        await fetch(server.url, method="POST", headers=headers, body=b"a=b")
        head, sent = server.asked[0]
        assert head.startswith("POST / HTTP/1.1\r\n") and sent == b"a=b"
        assert headers.items() <= fields(head).items()


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with serving() as server, fetcher() as fetch:
        server.answer = b"HTTP/1.1 302 X\r\nlocation: /evil\r\ncontent-length: 0\r\n\r\n"
        assert (await fetch(f"{server.url}/keys"))[0] == 302
        assert len(server.asked) == 1


async def test_an_answer_that_takes_too_long_fails_with_the_time_it_had() -> None:
    async with serving() as server, fetcher(timeout=0.05) as fetch:
        server.gate.clear()
        url = f"{server.url}/keys"
        assert await failure(fetch(url)) == f"{url} did not answer within 0.05 s"


async def test_an_answer_has_two_seconds_unless_the_settings_say_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[float] = []
    real = asyncio.timeout

    def timeout(seconds: float) -> asyncio.Timeout:
        given.append(seconds)
        return real(0)

    async with fetcher() as fetch:
        monkeypatch.setattr(asyncio, "timeout", timeout)
        assert (await failure(fetch("http://127.0.0.1:1/keys"))).endswith("did not answer within 2 s")
        monkeypatch.undo()
    assert given[0] == 2.0


@pytest.mark.parametrize(("settings", "most"), [({}, 65_536), ({"max_body": 100}, 100)])
async def test_a_body_has_a_bounded_size(settings: dict[str, Any], most: int) -> None:
    async with serving() as server, fetcher(**settings) as fetch:
        server.says(b"x" * most)
        assert len((await fetch(server.url))[2]) == most
        server.says(b"x" * (most + 1))
        assert await failure(fetch(server.url)) == (
            f"{server.url}: WireResponseTooLarge: more than {most} bytes"
        )


@pytest.mark.parametrize(("settings", "most"), [({}, 16), ({"connections": 1}, 1)])
async def test_connections_to_one_origin_are_bounded(settings: dict[str, Any], most: int) -> None:
    async with serving() as server, fetcher(timeout=10, **settings) as fetch:
        server.gate.clear()
        many = [asyncio.create_task(fetch(server.url)) for _ in range(most + 2)]
        await server.until(lambda: len(server.asked) == most)
        server.gate.set()
        await asyncio.gather(*many)
        assert (len(server.asked), server.open) == (most + 2, most)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://id.test/keys",
        "/keys",
        "https:///keys",
        "https://ada:secret@id.test/keys",
        "https://ada@id.test/",
        "",
    ],
)
async def test_what_is_no_web_address_is_not_fetched(url: str) -> None:
    async with fetcher() as fetch:
        assert await failure(fetch(url)) == f"{url}: ValueError: not an http:// or https:// address"


async def test_a_provider_that_cannot_be_reached_is_named_with_the_failure() -> None:
    async with fetcher() as fetch:
        url = f"http://127.0.0.1:{closed_port()}/keys"
        told = await failure(fetch(url))
        assert told.startswith(f"{url}: WireConnectionError: ")


async def test_an_inner_address_is_asked_in_the_name_of_the_outer_one_and_only_for_its_own_origin() -> None:
    async with serving() as server:
        target = FetchTarget(OUTER, server.url, Network())
        async with fetcher(targets=[target]) as fetch:
            await fetch(f"{OUTER}/keys", headers={"host": "evil.test"})
            head = fields(server.asked[0][0])
            assert (head["host"], head["x-forwarded-host"], head["x-forwarded-proto"]) == (
                "id.test",
                "id.test",
                "https",
            )
            await fetch(f"{server.url}/keys")
            assert "x-forwarded-host" not in fields(server.asked[1][0])
        async with fetcher(targets=[FetchTarget(server.url, server.url, Network())]) as fetch:
            await fetch(f"{server.url}/keys")
            assert "x-forwarded-host" not in fields(server.asked[2][0])


async def test_the_proxy_of_the_network_or_of_the_target_leads_to_an_origin() -> None:
    async with serving() as proxy, serving() as other:
        network, own = (Network(proxy=Proxy(one.url)) for one in (proxy, other))
        target = FetchTarget("http://own.test", "http://inner.test:8080", own)
        async with fetcher(network=network, targets=[target]) as fetch:
            await fetch("http://id.test/keys")
            await fetch("http://own.test/keys")
        assert "id.test" in proxy.asked[0][0].split("\r\n")[0]
        assert "inner.test:8080" in other.asked[0][0].split("\r\n")[0]


async def test_an_own_authority_of_the_network_is_trusted_and_another_certificate_is_named(
    tmp_path: Path,
) -> None:
    inside = Authority(tmp_path)
    pair = inside.pair("inner", host="127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.cert, pair.key)
    async with serving(tls) as server:
        async with fetcher(network=Network(TlsTrust("id", ca=inside.file))) as fetch:
            assert (await fetch(f"{server.url}/keys"))[0] == 200
        async with fetcher() as fetch:
            told = await failure(fetch(f"{server.url}/keys"))
        assert told.startswith(f"{server.url}/keys: its certificate is not accepted: ")
        assert "unable to get local issuer certificate" in told


async def test_the_least_recently_used_origin_loses_its_connections_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "MAX_ORIGINS", 2)
    async with serving() as one, serving() as two, serving() as three, fetcher() as fetch:
        for server in (one, two, one, three):
            await fetch(server.url)
        await two.until(lambda: two.open == 0)
        assert (one.open, three.open) == (1, 1)
        await fetch(one.url)
        assert one.open == 1, "its connection is used again"


async def test_its_end_closes_every_connection() -> None:
    async with serving() as one, serving() as two:
        async with fetcher() as fetch:
            await fetch(one.url)
            await fetch(two.url)
            assert (one.open, two.open) == (1, 1)
        await one.until(lambda: one.open == 0)
        await two.until(lambda: two.open == 0)


# ---- documents


def fixed(status: int, body: bytes) -> Any:
    async def fetch(url: str, **request: Any) -> Any:
        return status, {}, body

    return fetch


async def test_a_json_document_is_read_whatever_its_type() -> None:
    assert await fetch_json(fixed(200, b'{"keys": [1, {"a": 2}]}'), OUTER) == {"keys": [1, {"a": 2}]}
    assert await fetch_json(fixed(200, b"[]"), OUTER) == []


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (201, b"{}", f"{OUTER} answered 201"),
        (404, b"{}", f"{OUTER} answered 404"),
        (200, b"<html>", f"the answer of {OUTER} is not JSON: "),
        (200, b"\xff", f"the answer of {OUTER} is not JSON: "),
        (200, b"[" * 100_000, f"the answer of {OUTER} is not JSON: "),
        (200, b'{"a": {"b": 1, "b": 2}}', f"the answer of {OUTER} is not JSON: it names a member twice"),
    ],
    ids=range(6),
)
async def test_what_is_no_usable_document_fails_with_the_cause(status: int, body: bytes, told: str) -> None:
    said = await failure(fetch_json(fixed(status, body), OUTER))
    assert said.startswith(told) and said != f"the answer of {OUTER} is not JSON: None"


def test_the_deepest_cause_that_says_what_to_do_is_told() -> None:
    inner = ssl.SSLCertVerificationError(1, "certificate verify failed")
    inner.verify_message = "certificate has expired"
    outer = OSError("cannot connect")
    outer.os_error = inner  # type: ignore[attr-defined]
    whole = RuntimeError("failed")
    whole.__cause__ = outer
    assert fetching._reason(whole) == "its certificate is not accepted: certificate has expired"
    bare = ssl.SSLCertVerificationError("Hostname mismatch")
    assert fetching._reason(bare).startswith("its certificate is not accepted: ")
    assert "Hostname mismatch" in fetching._reason(bare)
    assert fetching._reason(OSError("cannot connect")) == "OSError: cannot connect"


async def test_a_gateway_without_a_provider_asks_nobody_and_names_the_address() -> None:
    with pytest.raises(FetchFailed, match=r"^https://id\.test/keys: no identity provider is set$"):
        await fetch_nothing("https://id.test/keys")


async def test_a_document_is_asked_for_at_its_address() -> None:
    asked = []

    async def fetch(url: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
        asked.append(url)
        return 200, {}, b"{}"

    assert await fetch_json(fetch, "https://id.test/keys") == {}
    assert asked == ["https://id.test/keys"]
