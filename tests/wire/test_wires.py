"""All wires behave alike: the same answers, the same three errors, no cookies, nothing sent twice."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from bff.transport.aiohttp_wire import AiohttpWire
from bff.transport.h1_wire import H1Wire
from bff.transport.httpx_wire import HttpxWire
from bff.transport.wire import (
    Wire,
    WireConnectionError,
    WireInvalidResponse,
    WireRequest,
    WireResponseTooLarge,
)

from ..conftest import closed_port
from .upstream import RawServer, http, raw_server

KINDS = (H1Wire, AiohttpWire, HttpxWire)
GOOD = b'{"name":"good"}'
JSON = "content-type: application/json\r\n"
# Headers that a service may send and that are not passed on.
UNASKED = "".join(
    f"{name}: x\r\n"
    for name in (
        "set-cookie",
        "server",
        "x-powered-by",
        "location",
        "refresh",
        "link",
        "access-control-allow-origin",
        "strict-transport-security",
        "clear-site-data",
        "content-security-policy",
        "x-correlation-id",
        "bff-complete",
        "idempotency-replayed",
        "x_internal",
    )
)
BYTES = {
    "/ok": http(200, GOOD, JSON + "cache-control: private\r\nCache-Control: max-age=3\r\n" + UNASKED),
    "/early-hints": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + http(200, GOOD),
    "/zipped": http(200, gzip.compress(GOOD), JSON + "content-encoding: gzip\r\n"),
    "/chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"nam\r\na\r\ne\":\"good\"}\r\n0\r\n\r\n",
    "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/elsewhere": http(302, b"", "location: /ok\r\n"),
    "/large": http(200, b"a" * 50_000),
    "/bomb": http(200, gzip.compress(b"a" * 5_000_000), JSON + "content-encoding: gzip\r\n"),
    "/endless": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + 6 * (b"1000\r\n" + b"a" * 4096 + b"\r\n"),
    "/half": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + GOOD,
    "/half-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\n" + GOOD,
    "/garbage": b"\x00\x01\x02 what\r\n\r\n",
    "/hugehead": b"HTTP/1.1 200 OK\r\nx-big: " + b"a" * 200_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "/switch": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "/two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\ncontent-length: 3\r\n\r\n" + GOOD,
}  # fmt: skip
CUT = {"/half", "/half-chunk", "/garbage"}
_ONE, _TWO = gzip.compress(GOOD[:7]), gzip.compress(GOOD[7:])
CODED: dict[str, tuple[bytes, str, bytes | type[Exception]]] = {
    "one member": (gzip.compress(GOOD), "gzip", GOOD),
    "two members": (_ONE + _TWO, "gzip", GOOD),
    "an empty member between": (_ONE + gzip.compress(b"") + _TWO, "x-gzip", GOOD),
    "padding": (gzip.compress(GOOD) + bytes(500), "gzip", GOOD),
    "members and padding": (_ONE + _TWO + bytes(1), "GZIP", GOOD),
    "deflate": (zlib.compress(GOOD), "deflate", GOOD),
    "deflate without its format": (zlib.compress(GOOD)[2:-4], "deflate", GOOD),
    "identity": (GOOD, "identity", GOOD),
    "no coding named": (GOOD, "", GOOD),
    "nothing in gzip": (b"", "gzip", b""),
    "cut": (gzip.compress(GOOD)[:-1], "gzip", WireInvalidResponse),
    "cut in the second member": (_ONE + _TWO[:-9], "gzip", WireInvalidResponse),
    "only the head of a second member": (_ONE + _TWO[:5], "gzip", WireInvalidResponse),
    "damaged": (_ONE[:-8] + bytes(8), "gzip", WireInvalidResponse),
    "followed by text": (_ONE + b"more", "gzip", WireInvalidResponse),
    "padding and text": (_ONE + bytes(3) + b"x", "gzip", WireInvalidResponse),
    "zeros only": (bytes(30), "gzip", WireInvalidResponse),
    "not gzip": (GOOD, "gzip", WireInvalidResponse),
    "not deflate": (b"\xff" + GOOD, "deflate", WireInvalidResponse),
    "deflate and more": (zlib.compress(GOOD) + b"x", "deflate", WireInvalidResponse),
    "unknown": (GOOD, "br", WireInvalidResponse),
    "two codings": (gzip.compress(gzip.compress(GOOD)), "gzip, gzip", WireInvalidResponse),
    "a bomb in the second member": (_ONE + gzip.compress(b"a" * 5_000_000), "gzip", WireResponseTooLarge),
    "just within the bound": (gzip.compress(b"a" * 10_000) * 2, "gzip", b"a" * 20_000),
    "just beyond the bound": (
        gzip.compress(b"a" * 10_000) * 2 + gzip.compress(b"a"),
        "gzip",
        WireResponseTooLarge,
    ),
}
BYTES |= {
    f"/coded/{number}": http(200, body, JSON + f"content-encoding: {coding}\r\n")
    for number, (body, coding, _) in enumerate(CODED.values())
}


async def answer(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
    if path == "/reset":
        writer.transport.abort()
    elif path == "/close":
        writer.close()
    elif path == "/silent":
        await asyncio.sleep(30)
    else:
        writer.write(BYTES.get(path, http(200, GOOD)))
        if path in CUT:
            await writer.drain()
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(answer) as running:
        yield running


@pytest.fixture(params=KINDS)
async def wire(request: pytest.FixtureRequest, server: RawServer) -> AsyncIterator[Wire]:
    made: Wire = request.param(f"http://127.0.0.1:{server.port}", connections=4, max_body=20_000)
    yield made
    await made.close()


def get(target: str) -> WireRequest:
    return WireRequest("GET", target, {"accept": "application/json", "user-agent": "bff"})


@pytest.mark.parametrize("path", ["/ok", "/early-hints", "/zipped", "/chunked"])
async def test_a_response_is_returned_whole(wire: Wire, path: str) -> None:
    found = await wire.send(get(path))
    assert (found.status, found.body) == (200, GOOD)


async def test_headers_have_lower_case_names_and_repeated_ones_are_joined(wire: Wire) -> None:
    assert (await wire.send(get("/ok"))).headers["cache-control"] == "private, max-age=3"


async def test_only_listed_response_headers_are_passed_on(wire: Wire) -> None:
    assert set((await wire.send(get("/ok"))).headers) == {"content-type", "cache-control"}


async def test_an_empty_response_and_a_redirect_are_responses_like_others(wire: Wire) -> None:
    assert (await wire.send(get("/none"))).body == b""
    assert (await wire.send(get("/elsewhere"))).status == 302


async def test_only_given_headers_are_sent(wire: Wire, server: RawServer) -> None:
    await wire.send(get("/ok"))
    await wire.send(WireRequest("POST", "/a%2Fb/%C3%A9?x=1&x=a+b", {"accept": "*/*"}, b"{}"))
    line, *rest = server.requests[-1].decode().strip().split("\r\n")
    assert line == "POST /a%2Fb/%C3%A9?x=1&x=a+b HTTP/1.1"
    names = {one.partition(":")[0].lower() for one in rest}
    assert names == {"host", "accept", "content-length"}, (
        "no cookie, user agent or encoding that was not given"
    )


@pytest.mark.parametrize("path", ["/large", "/bomb", "/endless"])
async def test_a_body_over_the_limit_is_not_read_to_its_end(wire: Wire, server: RawServer, path: str) -> None:
    with pytest.raises(WireResponseTooLarge):
        await wire.send(get(path))
    assert (await wire.send(get("/ok"))).status == 200


@pytest.mark.parametrize("name", CODED)
async def test_every_wire_decodes_content_codings_alike(wire: Wire, name: str) -> None:
    expected = CODED[name][2]
    path = f"/coded/{list(CODED).index(name)}"
    if isinstance(expected, bytes):
        assert (await wire.send(get(path))).body == expected
    else:
        with pytest.raises(expected):
            await wire.send(get(path))
    assert (await wire.send(get("/ok"))).body == GOOD


@pytest.mark.parametrize("path", ["/garbage", "/hugehead", "/switch", "/two-lengths"])
async def test_malformed_http_is_invalid_and_does_not_affect_the_next_call(wire: Wire, path: str) -> None:
    with pytest.raises(WireInvalidResponse):
        await wire.send(get(path))
    assert (await wire.send(get("/ok"))).body == GOOD


@pytest.mark.parametrize("path", ["/half", "/half-chunk", "/reset", "/close"])
async def test_an_incomplete_response_is_a_connection_error_and_does_not_affect_the_next_call(
    wire: Wire, path: str
) -> None:
    with pytest.raises(WireConnectionError) as raised:
        await wire.send(get(path))
    assert not raised.value.stale, "the connection had just been opened"
    assert (await wire.send(get("/ok"))).body == GOOD


async def test_a_refused_connection_is_a_connection_error(wire: Wire) -> None:
    nobody = type(wire)(f"http://127.0.0.1:{closed_port()}", connections=4, max_body=20_000)  # type: ignore[call-arg]
    with pytest.raises(WireConnectionError) as raised:
        await nobody.send(get("/ok"))
    assert not raised.value.stale
    await nobody.close()


async def test_a_stale_keep_alive_connection_is_distinguished_from_a_service_that_is_down(
    wire: Wire,
) -> None:
    await wire.send(get("/ok"))
    with pytest.raises(WireConnectionError) as raised:
        await wire.send(get("/close"))
    assert raised.value.stale


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_wire_never_sends_a_request_twice(wire: Wire, server: RawServer, method: str) -> None:
    await wire.send(get("/ok"))
    with pytest.raises(WireConnectionError):
        await wire.send(WireRequest(method, "/close", {}, None if method == "GET" else b"{}"))
    assert len(server.requests) == 2


async def test_a_cancelled_call_frees_its_connection(wire: Wire, server: RawServer) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.send(get("/silent"))
    assert (await wire.send(get("/ok"))).body == GOOD


async def test_a_base_address_may_have_a_path_prefix(server: RawServer) -> None:
    for kind in KINDS:
        wire = kind(f"http://127.0.0.1:{server.port}/v1", connections=4, max_body=20_000)
        for target in ("/a%2Fb?q=%C3%A9", "/a"):
            assert (await wire.send(get(target))).status == 200
            assert server.requests[-1].split(b" ")[1] == f"/v1{target}".encode()
        await wire.close()


async def test_a_name_can_be_pinned_to_an_address(server: RawServer) -> None:
    for kind in KINDS:
        wire = kind(f"http://stock.invalid:{server.port}", connections=4, max_body=20_000, at="127.0.0.1")
        assert (await wire.send(get("/ok"))).status == 200
        assert b"stock.invalid" in server.requests[-1]
        await wire.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_header_that_the_call_takes_is_passed_on_and_no_other(kind: type[Wire]) -> None:
    link = "link: </a>; rel=next\r\nLink: </b>; rel=last\r\nx-total-count: 7\r\nset-cookie: a=b\r\n"

    async def answer(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, GOOD, JSON + link))

    async with raw_server(answer) as server:
        wire = kind(f"http://127.0.0.1:{server.port}", connections=1, max_body=1000)  # type: ignore[call-arg]
        response = await wire.send(WireRequest("GET", "/", {}, takes=("link", "missing")))
        assert response.headers == {
            "content-type": "application/json",
            "link": "</a>; rel=next, </b>; rel=last",
        }
        await wire.close()
