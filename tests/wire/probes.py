"""Hostile bytes and the required answers: a table of raw requests, each with the statuses of the answers and the paths
that the upstream may have been asked for."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace

from ..waiting import GUARD
from .gateway import bearer

CRLF = "\r\n"
OK = ("/things/ok",)


@dataclass(frozen=True)
class Probe:
    """sends: the bytes on the wire; answers: the statuses that must come back before the connection ends; asked: the
    upstream's paths; pause: seconds between two pieces, for slow probes."""

    name: str
    sends: tuple[bytes, ...]
    answers: tuple[int, ...]
    asked: tuple[str, ...] = ()
    pause: float = 0.0


def head(line: str, *headers: str, host: str | None = "x", close: bool = True, user: bool = True) -> bytes:
    """A request's head. close: the connection must end with its answer; user: it has a token."""
    lines = [line]
    if host is not None:
        lines.append(f"host: {host}")
    if user:
        lines += [f"{name}: {value}" for name, value in bearer().items()]
    if close:
        lines.append("connection: close")
    return CRLF.join([*lines, *headers, "", ""]).encode("latin-1")


def get(path: str = "/api/required/ok", *headers: str, **how: object) -> bytes:
    return head(f"GET {path} HTTP/1.1", *headers, **how)  # type: ignore[arg-type]


def post(*headers: str, path: str = "/api/things/ok", version: str = "1.1", **how: object) -> bytes:
    """A command's head; the probe adds the body and its framing."""
    mine = (f'idempotency-key: "{uuid.uuid4()}"', "content-type: application/json", *headers)
    return head(f"POST {path} HTTP/{version}", *mine, **how)  # type: ignore[arg-type]


WISH = b'{"name":"x"}'
SMUGGLED = get("/api/required/smuggled")
CHUNKED = b"c\r\n" + WISH + b"\r\n0\r\n\r\n"
TE = "transfer-encoding: chunked"
CL = f"content-length: {len(WISH)}"


def one(name: str, data: bytes, *answers: int, asked: tuple[str, ...] = ()) -> Probe:
    return Probe(name, (data,), answers, asked)


def plain() -> list[Probe]:
    """Valid requests that must keep working."""
    return [
        one("a plain request", get(), 200, asked=OK),
        one("a command with a length", post(CL) + WISH, 200, asked=OK),
        one("a command in chunks", post(TE) + CHUNKED, 200, asked=OK),
        one("chunks with extensions", post(TE) + b"c;a=b\r\n" + WISH + b"\r\n0\r\n\r\n", 200, asked=OK),
        one("HTTP/1.0 with a host", head("GET /api/required/ok HTTP/1.0"), 200, asked=OK),
        one("an escaped letter", get("/%61pi/required/%6fk"), 200, asked=OK),
        one("an absolute address", get("http://x/api/required/ok"), 200, asked=OK),
        one("HEAD", head("HEAD /api/required/ok HTTP/1.1"), 200, asked=OK),
        one("a body on a GET", get("/api/required/ok", CL) + WISH, 200, asked=OK),
        one("two in a row", get(close=False) + get(), 200, 200, asked=OK * 2),
        one(
            "trailers with credentials",
            post(TE, user=False)
            + CHUNKED[:-2]
            + f"authorization: {bearer()['authorization']}\r\n\r\n".encode(),
            401,
        ),
        Probe("a byte at a time", tuple(bytes([b]) for b in get()), (200,), OK),
        Probe("an announced body", (post(CL, "expect: 100-continue"), WISH), (100, 200), OK),
    ]


def framing() -> list[Probe]:
    """Heads in which two readers could find different ends of a request."""
    return [
        one("length and chunks", post(CL, TE) + CHUNKED + SMUGGLED, 400),
        one("chunks and length", post(TE, CL) + CHUNKED + SMUGGLED, 400),
        one("CL.TE", post("content-length: 4", TE) + b"0\r\n\r\n" + SMUGGLED, 400),
        one("two equal lengths", post(CL, CL) + WISH, 400),
        one("two different lengths", post(CL, "content-length: 0") + WISH + SMUGGLED, 400),
        one("a list of lengths", post("content-length: 12, 12") + WISH, 400),
        one("a signed length", post("content-length: +12") + WISH, 400),
        one("a negative length", post("content-length: -1") + WISH, 400),
        one("a hexadecimal length", post("content-length: 0xc") + WISH, 400),
        one("a length with a point", post("content-length: 12.0") + WISH, 400),
        one("an empty length", post("content-length:") + WISH, 400),
        one("a length with a space", post("content-length: 1 2") + WISH, 400),
        one("a length of too many digits", post("content-length: " + "9" * 30) + WISH, 400),
        one("a length of 10^18", post("content-length: " + "9" * 18), 413),
        one("gzip, chunked", post("transfer-encoding: gzip, chunked") + CHUNKED, 400),
        one("chunked, gzip", post("transfer-encoding: chunked, gzip") + CHUNKED, 400),
        one("chunked, chunked", post("transfer-encoding: chunked, chunked") + CHUNKED, 400),
        one("chunked twice", post(TE, TE) + CHUNKED, 400),
        one("chunked and identity", post(TE, "transfer-encoding: identity") + CHUNKED, 400),
        one("identity", post("transfer-encoding: identity", CL) + WISH, 400),
        one("an unknown coding", post("transfer-encoding: xchunked") + CHUNKED, 400),
        one("a coding with a tab", post("transfer-encoding:\x0bchunked") + CHUNKED, 400),
        one("a space before the colon", post("transfer-encoding : chunked") + CHUNKED, 400),
        one("quoted chunked", post('transfer-encoding: "chunked"') + CHUNKED, 400),
        one("chunks in HTTP/1.0", post(TE, version="1.0") + CHUNKED, 400),
        one("an invalid chunk size", post(TE) + b"zz\r\n" + WISH + b"\r\n0\r\n\r\n", 400),
        one("a signed chunk size", post(TE) + b"+c\r\n" + WISH + b"\r\n0\r\n\r\n", 400),
        one("a chunk size with 0x", post(TE) + b"0xc\r\n" + WISH + b"\r\n0\r\n\r\n", 400),
        one("a chunk size of too many digits", post(TE) + b"f" * 20 + b"\r\n" + WISH, 400),
        one("a chunk longer than it says", post(TE) + b"3\r\n" + WISH + b"\r\n0\r\n\r\n", 400),
        one("a chunk size ended by LF", post(TE) + b"c\n" + WISH + b"\r\n0\r\n\r\n", 400),
        one("a chunk ended by LF", post(TE) + b"c\r\n" + WISH + b"\n0\r\n\r\n", 400),
        one("a chunk size with a space", post(TE) + b"c \r\n" + WISH + b"\r\n0\r\n\r\n", 400),
        one("an invalid upgrade", post("upgrade: h2c", CL) + WISH, 200, asked=OK),
        one("an upgrade that hides a body", post("upgrade: x", "connection: upgrade", CL) + SMUGGLED, 422),
        one("an upgrade with bad chunks", post(*H2C, TE) + b"zz\r\n" + WISH, 400),
        one("an upgrade with two lengths", post(*H2C, CL, "content-length: 0") + WISH + SMUGGLED, 400),
        one("an upgrade with length and chunks", post(*H2C, CL, TE) + CHUNKED + SMUGGLED, 400),
    ]


H2C = ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA")


def upgrades() -> list[Probe]:
    """Offers of another protocol with a body (RFC 9110 section 7.8): the request is answered as it is, and is the last
    one of its connection."""

    def whole() -> bytes:
        return post(*H2C, CL, close=False) + WISH

    return [
        one("h2c and a length", whole(), 200, asked=OK),
        one("h2c and chunks", post(*H2C, TE, close=False) + CHUNKED, 200, asked=OK),
        one("h2c and chunks with trailers", post(*H2C, TE) + CHUNKED[:-2] + b"a: b\r\n\r\n", 200, asked=OK),
        one("h2c and an empty body", post(*H2C, "content-length: 0", close=False), 422),
        one("h2c and empty chunks", post(*H2C, TE, close=False) + b"0\r\n\r\n", 422),
        one("h2c, a body, another request", whole() + SMUGGLED, 200, asked=OK),
        one("h2c, chunks, another request", post(*H2C, TE) + CHUNKED + SMUGGLED, 200, asked=OK),
        one("h2c and a body after a request", get(close=False) + whole(), 200, 200, asked=OK * 2),
        one(
            "a WebSocket and a body",
            post("connection: upgrade", "upgrade: websocket", CL) + WISH,
            200,
            asked=OK,
        ),
        one("TLS and a body", post("connection: upgrade", "upgrade: TLS/1.2", CL) + WISH, 200, asked=OK),
        one("h2c in HTTP/1.0", post(*H2C, CL, version="1.0") + WISH, 200, asked=OK),
        one("h2c and a body on a GET", get("/api/required/ok", *H2C, CL, close=False) + WISH, 200, asked=OK),
        one("h2c and a body for a route without one", post(*H2C, CL, user=False, close=False) + WISH, 401),
        one("h2c and a body that is too large", post(*H2C, "content-length: 70000") + b"x" * 70_000, 413),
        one("h2c and chunks that are too large", post(*H2C, TE) + b"11170\r\n" + b"x" * 70_000, 413),
        one("h2c and extensions that are too large", post(*H2C, TE) + EXTENDED, 431),
        Probe("h2c and an announced body", (post(*H2C, CL, "expect: 100-continue"), WISH), (100, 200), OK),
        Probe("h2c and a body a byte at a time", (post(*H2C, CL), *(bytes([b]) for b in WISH)), (200,), OK),
    ]


# Each of them is small.
EXTENDED = b"".join(b"1;a=%b\r\nx\r\n" % (b"b" * 900) for _ in range(60)) + b"0\r\n\r\n"


def lines() -> list[Probe]:
    """Header lines, names and values."""
    return [
        one("bare LF", get().replace(b"\r\n", b"\n"), 400),
        one("bare CR", get("/api/required/ok", "a: b\rc: d"), 400),
        one("LF CR", get().replace(b"\r\n", b"\n\r"), 400),
        one("obs-fold", get("/api/required/ok", "a: b\r\n c"), 400),
        one("obs-fold of the first header", b"GET / HTTP/1.1\r\n host: x\r\n\r\n", 400),
        one("NUL in a value", get("/api/required/ok", "a: b\0c"), 400),
        one("NUL in a name", get("/api/required/ok", "a\0: b"), 400),
        one("a name with a space", get("/api/required/ok", "a b: c"), 400),
        one("an empty name", get("/api/required/ok", ": c"), 400),
        one("a line without a colon", get("/api/required/ok", "abc"), 400),
        one("no version", b"GET /\r\n\r\n", 400),
        one("HTTP/0.9", head("GET / HTTP/0.9"), 400),
        one("HTTP/2.0", head("GET / HTTP/2.0"), 400),
        one("HTTP/1.2", head("GET / HTTP/1.2"), 400),
        one("HTTP/1.1 misspelt", head("GET / HTTPS/1.1"), 400),
        one("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        one("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        one("nonsense", b"\x00" * 100, 400),
        one("two spaces, which RFC 9112 lets pass", get().replace(b"GET ", b"GET  "), 200, asked=OK),
        one("an unknown method", head("BREW /api/me HTTP/1.1"), 400),
        one("a method in lower case", head("get /api/me HTTP/1.1"), 400),
        one("a method that a route does not have", head("DELETE /api/me HTTP/1.1"), 405),
        one("TRACE", head("TRACE /api/me HTTP/1.1"), 405),
        one("PROPFIND", head("PROPFIND / HTTP/1.1"), 405),
        one("CONNECT", head("CONNECT x:80 HTTP/1.1"), 405),
        one("OPTIONS *", head("OPTIONS * HTTP/1.1"), 204),
        one("OPTIONS * in absolute form", head("OPTIONS http://x HTTP/1.1"), 204),
        one("GET *", head("GET * HTTP/1.1"), 400),
    ]


def addresses() -> list[Probe]:
    """Hosts and addresses of a request."""
    elsewhere = [
        ("an encoded slash", "/api/required%2Fok"),
        ("an encoded slash in a parameter", "/api/required/a%2fb"),
        ("an encoded backslash", "/api/required/a%5Cb"),
        ("a backslash", "/api/required/a\\b"),
        ("dot-dot", "/api/x/../required/ok"),
        ("dot-dot in a parameter", "/api/required/.."),
        ("encoded dot-dot", "/api/required/%2e%2e"),
        ("half encoded dot-dot", "/api/required/.%2E"),
        ("a dot", "/api/./required/ok"),
        ("encoded twice", "/api/required/%252e%252e"),
        ("an encoded NUL", "/api/required/a%00b"),
        ("an encoded line's end", "/api/required/a%0d%0ahost:y"),
        ("two slashes", "//api/required/ok"),
        ("two slashes inside", "/api//required/ok"),
        ("a slash at the end", "/api/required/ok/"),
        ("no UTF-8", "/api/required/%ff"),
        ("overlong UTF-8", "/api/required/%c0%ae%c0%ae"),
        ("an invalid escape", "/api/required/%zz"),
        ("a file above the folder", "/assets/..%2f..%2fpyproject.toml"),
    ]
    return [
        *(one(name, get(path), 404) for name, path in elsewhere),
        one("a fragment", get("/api/required/ok#x"), 400),
        one("raw UTF-8", get("/api/required/\xc3\xa4"), 400),
        one("a range beyond the end", get("/assets/upstream.py", "range: bytes=9999999-"), 200),
        one("an invalid range", get("/", "range: bytes=x"), 200),
        one("no host", get(host=None), 400),
        one("two hosts", get("/api/required/ok", "host: y"), 400),
        one("two equal hosts", get("/api/required/ok", "host: x"), 400),
        one("an empty host", get(host=""), 400),
        one("a host with an empty port", get(host="x:"), 200, asked=OK),
        one("an absolute host with its port", get("http://x:80/api/required/ok", host="x:"), 200, asked=OK),
        one("a port above 65535", get(host="x:65536"), 400),
        one("a host with a path", get(host="x/y"), 400),
        one("a host with a name and password", get(host="a:b@x"), 400),
        one("a list of hosts", get(host="x, y"), 400),
        one("another absolute host", get("http://evil.test/api/required/ok"), 400),
        one("an absolute address of another kind", get("ftp://x/api/required/ok"), 400),
        one("an address with a password", get("http://a:b@x/api/required/ok"), 400),
        one("a forged client", get("/api/me", "x-forwarded-for: 127.0.0.1", "forwarded: for=y"), 200),
        one("a query without UTF-8", get("/api/search?tag=%ff"), 400),
        one("a parameter twice", get("/api/search?page=1&page=2"), 422),
        one("200 parameters", get("/api/search?" + "&".join(f"a{n}=" for n in range(200))), 400),
    ]


ONES = b"".join(b"1\r\n%c\r\n" % byte for byte in WISH + b" " * 20_000) + b"0\r\n\r\n"


def sizes() -> list[Probe]:
    """Requests, parts or numbers that are too large."""
    return [
        one("an address of 9 KB", get("/" + "a" * 9_000), 414),
        one("an address of 1 MB", get("/" + "a" * 1_000_000), 414),
        one("a header of 40 KB", get("/api/me", "a: " + "b" * 40_000), 431),
        one("a header of 1 MB", get("/api/me", "a: " + "b" * 1_000_000), 431),
        one("a name of 40 KB", get("/api/me", "b" * 40_000 + ": a"), 431),
        one("200 headers", get("/api/me", *(f"a{n}: b" for n in range(200))), 431),
        one("5,000 headers", get("/api/me", *(f"a{n}: b" for n in range(5_000))), 431),
        one("a body larger than it may be", post("content-length: 70000") + b"x" * 70_000, 413),
        one("chunks larger than they may be", post(TE) + b"11170\r\n" + b"x" * 70_000 + b"\r\n", 413),
        one("a million empty lines", b"\r\n" * 500_000, 431),
        one("a body for a route without one", head("POST /x HTTP/1.1", "content-length: 99999"), 413),
        one("an extension of 1 MB", post(TE) + b"c;a=" + b"b" * 1_000_000 + b"\r\n" + WISH, 431),
        one("extensions that are too large together", post(TE) + EXTENDED, 431),
        one("sizes with many zeros", post(TE) + (b"0" * 900 + b"1\r\nx\r\n") * 60, 431),
        one("values that are mostly blanks", get("/api/me", *(f"a{n}:{' ' * 900}b" for n in range(60))), 431),
        one("a body of bytes in chunks of one", post(TE) + ONES, 200, asked=OK),
        one("trailers without end", post(TE) + b"0\r\n" + b"a: b\r\n" * 9_000, 431),
        one("refused before it is sent", post("content-length: 70000", "expect: 100-continue"), 413),
    ]


def rows() -> list[Probe]:
    """Several requests on one connection, and other protocols."""
    ok, out = get(close=False), ("/things/ok",)
    h2c = ("upgrade: h2c", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA")
    socket = (
        "upgrade: websocket",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version: 13",
    )
    upgrade = "connection: upgrade"
    return [
        one("garbage after a request", ok + b"garbage\r\n\r\n", 200, 400, asked=out),
        one("a second without a host", ok + get(host=None), 200, 400, asked=out),
        one("a second that is too long", ok + get("/" + "a" * 9_000), 200, 414, asked=out),
        one("a third with a bad body", ok * 2 + post(TE) + b"zz\r\n", 200, 200, 400, asked=out * 2),
        one("50 in a row", ok * 50, *[200] * 17, 400, asked=out * 17),
        one("a second after the last", get() + SMUGGLED, 200, asked=out),
        one("a request in a body", post(f"content-length: {len(SMUGGLED)}") + SMUGGLED, 422),
        one("a rest after a body", post(CL, close=False) + WISH + b"x" + SMUGGLED, 200, 400, asked=out),
        one("16 in a row", ok * 15 + get(), *[200] * 16, asked=out * 16),
        one("h2c", get("/api/required/ok", *h2c, upgrade, close=False) + SMUGGLED, 200, asked=out),
        one("a WebSocket", get("/api/required/ok", *socket, upgrade, close=False), 200, asked=out),
        one("a WebSocket to the stream", get("/bff/live", *socket, upgrade, close=False, user=False), 401),
    ]


def slow() -> list[Probe]:
    """Slow clients; the server's timeouts are a second here."""
    return [
        Probe("silence", (), ()),
        Probe("half a head", (get()[:-2],), (408,)),
        Probe("a head a byte at a time", tuple(bytes([b]) for b in get()), (408,), pause=0.2),
        Probe("a header that never ends", (get()[:-4], *(b"a" for _ in range(40))), (408,), pause=0.2),
        Probe("empty lines for ever", tuple(b"\r\n" for _ in range(40)), (), pause=0.2),
        Probe("a body that does not come", (post(CL),), (408,)),
        Probe("a body a byte at a time", (post(CL), *(b"x" for _ in range(11))), (408,), pause=0.3),
        Probe("a body after h2c that does not come", (post(*H2C, CL),), (408,)),
        Probe(
            "a body after h2c a byte at a time",
            (post(*H2C, CL), *(b"x" for _ in range(11))),
            (408,),
            pause=0.3,
        ),
        Probe("chunks that do not come", (post(TE) + b"c\r\n{",), (408,)),
        Probe("a body that is not read", (post(CL, user=False, close=False),), (401,)),
        Probe("a second head that does not end", (get(close=False) + get()[:-2],), (200, 408), OK),
        Probe("rest after a request", (get(close=False),), (200,), OK),
    ]


def in_pieces(probe: Probe, size: int) -> Probe:
    """The same bytes in small pieces."""
    whole = b"".join(probe.sends)
    pieces = tuple(whole[start : start + size] for start in range(0, len(whole), size))
    return replace(probe, name=f"{probe.name}, {size} bytes at a time", sends=pieces, pause=0.001)


async def play(port: int, probe: Probe, seconds: float = GUARD) -> tuple[int, ...]:
    """The statuses of the answers, in order, once the server has ended the connection. Raises TimeoutError when it does
    not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        try:
            for piece in probe.sends:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(probe.pause)
        except ConnectionError:
            pass  # The server reads nothing more.

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(seconds):
            return tuple([status async for status in _statuses(reader, probe)])
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def _statuses(reader: asyncio.StreamReader, probe: Probe):  # type: ignore[no-untyped-def]
    while True:
        try:
            first = await reader.readuntil(b"\r\n\r\n")
        except ConnectionResetError:
            # The server cut it off in the middle, as it does with clients that never stop sending.
            return
        except asyncio.IncompleteReadError as left:
            if left.partial:
                raise AssertionError(f"half an answer: {left.partial[:200]!r}") from None
            return
        line, *rest = first.decode("latin-1").strip().split(CRLF)
        status = int(line.split(" ")[1])
        headers = dict(each.lower().split(": ", 1) for each in rest)
        if status != 100 and not probe.sends[0].startswith(b"HEAD"):
            body = await reader.readexactly(0 if status == 204 else int(headers["content-length"]))
            if status >= 400 and (
                headers["content-type"] != "application/problem+json" or b'"correlation_id"' not in body
            ):
                raise AssertionError(f"no problem document: {first!r}")
        if status != 100 and not {"x-correlation-id", "x-content-type-options"} <= headers.keys():
            raise AssertionError(f"headers are missing: {first!r}")
        yield status
