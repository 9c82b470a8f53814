from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from bff import Principal
from bff.edge.http.compression import CODINGS, INLINE, Compression, chosen
from bff.edge.state import state_of

TEXT = b'{"text":"' + b"long " * 1000 + b'"}'
JSON = [(b"content-type", b"application/json"), (b"etag", b'"abc"')]


async def answered(
    *pieces: bytes,
    headers: list[tuple[bytes, bytes]] | None = None,
    request: list[tuple[bytes, bytes]] | None = None,
    status: int = 200,
    method: str = "GET",
    session: str | None = None,
    frontend: str | None = None,
    length: bool = True,
    seen: list[Any] | None = None,
) -> tuple[dict[bytes, bytes], bytes]:
    """The headers and the body of the answer. pieces: of the body; session: of a person with a cookie; frontend: the
    server that asks; length: the answer has a Content-Length; seen: gets the headers of the request as the application
    sees them."""
    body = pieces or (TEXT,)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if seen is not None:
            seen.extend(scope["headers"])
        if session:
            state_of(scope).principal = Principal("https://issuer", "ada", "token", 0.0, session=session)
        found = list(JSON if headers is None else headers)
        if length:
            found.append((b"content-length", str(sum(map(len, body))).encode()))
        await send({"type": "http.response.start", "status": status, "headers": found})
        for number, piece in enumerate(body, 1):
            data = b"" if method == "HEAD" else piece
            await send({"type": "http.response.body", "body": data, "more_body": number < len(body)})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    asked = [(b"accept-encoding", b"gzip")] if request is None else request
    scope = {"type": "http", "method": method, "headers": asked}
    state_of(scope).frontend = frontend
    await Compression(app, 1024)(scope, receive, send)
    return dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


async def test_a_long_text_is_compressed_and_has_an_etag_of_its_own() -> None:
    headers, body = await answered()
    assert headers == {
        b"content-type": b"application/json",
        b"etag": b'"abc-gzip"',
        b"vary": b"Accept-Encoding",
        b"content-encoding": b"gzip",
    }
    assert gzip.decompress(body) == TEXT and len(body) < len(TEXT) / 10


async def test_a_body_in_pieces_is_one_compressed_stream() -> None:
    pieces = [TEXT, b"x" * (INLINE + 1), b""]
    _, body = await answered(*pieces)
    assert gzip.decompress(body) == b"".join(pieces)


@pytest.mark.parametrize(
    "change",
    [
        {"request": []},
        {"request": [(b"accept-encoding", b"identity, gzip;q=0")]},
        {"pieces": [b"short"]},
        {"headers": [(b"content-type", b"text/event-stream")]},
        {"headers": [(b"content-type", b"image/png")]},
        {"headers": [*JSON, (b"content-encoding", b"br")]},
        {"headers": [*JSON, (b"content-range", b"bytes 0-1/2")]},
        {"headers": [*JSON, (b"cache-control", b"private, no-transform")]},
        {"headers": []},
        {"status": 206},
        {"length": False},
    ],
)
async def test_everything_else_passes_as_it_is(change: dict[str, Any]) -> None:
    pieces = change.pop("pieces", [TEXT])
    headers, body = await answered(*pieces, **change)
    assert body == b"".join(pieces)
    assert headers.get(b"content-encoding") in (None, b"br")


@pytest.mark.parametrize(
    ("site", "compressed"),
    [(None, False), (b"cross-site", False), (b"same-site", False), (b"same-origin", True)],
)
async def test_an_answer_to_a_cookie_is_compressed_only_for_this_sites_own_page(
    site: bytes | None, compressed: bool
) -> None:
    request = [(b"accept-encoding", b"gzip"), *([(b"sec-fetch-site", site)] if site else [])]
    headers, body = await answered(request=request, session="s1")
    assert (b"content-encoding" in headers, body == TEXT) == (compressed, not compressed)
    assert headers[b"vary"] == b"Accept-Encoding"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (b'"abc-gzip"', b'"abc-gzip", "abc"'),
        (b'"x", "abc-gzip"', b'"x", "abc-gzip", "abc"'),
        (b'"abc"', b'"abc"'),
        (b"*", b"*"),
        (b"", b""),
    ],
)
async def test_an_if_match_with_the_tag_of_a_coding_names_the_plain_one_too(
    given: bytes, seen: bytes
) -> None:
    found: list[Any] = []
    # A client need not accept the coding again when it writes.
    await answered(method="PUT", request=[(b"if-match", given), (b"x", b'"abc-gzip"')], seen=found)
    assert found == [(b"if-match", seen), (b"x", b'"abc-gzip"')]


async def test_an_answer_to_a_cookie_is_compressed_for_a_frontend_server() -> None:
    headers, body = await answered(session="s1", frontend="web")
    assert headers[b"content-encoding"] == b"gzip" and gzip.decompress(body) == TEXT


async def test_the_etag_of_a_coding_is_known_again() -> None:
    seen: list[Any] = []
    request = [(b"accept-encoding", b"gzip"), (b"if-none-match", b'"other", "abc-gzip"')]
    headers, _ = await answered(b"", request=request, status=304, length=False, seen=seen)
    assert (b"if-none-match", b'"other", "abc"') in seen
    assert headers[b"etag"] == b'"abc-gzip"'
    plain, _ = await answered(
        b"",
        request=[(b"accept-encoding", b"gzip"), (b"if-none-match", b'"abc"')],
        status=304,
        length=False,
    )
    assert plain[b"etag"] == b'"abc"'
    # Without the coding its tag names no answer that this client could get.
    unknown: list[Any] = []
    await answered(request=[(b"if-none-match", b'"abc-gzip"')], seen=unknown)
    assert (b"if-none-match", b'"abc-gzip"') in unknown


async def test_a_head_has_the_headers_of_the_compressed_answer_and_no_body() -> None:
    headers, body = await answered(method="HEAD")
    assert (headers[b"content-encoding"], headers[b"etag"], body) == (b"gzip", b'"abc-gzip"', b"")
    assert b"content-length" not in headers


async def test_accept_encoding_is_added_to_vary() -> None:
    headers, _ = await answered(headers=[*JSON, (b"vary", b"Cookie")])
    assert headers[b"vary"] == b"Cookie, Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", "gzip"),
        (b"GZIP;q=0.5", "gzip"),
        (b"gzip; q=0.001", "gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=nonsense", None),
        (b"deflate", None),
        (b"*", next(iter(CODINGS))),
        (b"*;q=0", None),
        (b"identity", None),
        (b"identity;q=1, gzip;q=0.5", None),
        (b"", None),
    ],
)
def test_the_coding_is_the_one_that_the_client_prefers(accepted: bytes, coding: str | None) -> None:
    assert chosen([accepted]) == coding


@pytest.mark.parametrize("coding", list(CODINGS))
def test_every_coding_gives_the_text_back(coding: str) -> None:
    compressor = CODINGS[coding]()
    data = compressor.compress(TEXT[:100]) + compressor.compress(TEXT[100:]) + compressor.flush()
    if coding == "gzip":
        assert zlib.decompress(data, 16 + zlib.MAX_WBITS) == TEXT
    elif coding == "br":
        import brotli

        assert brotli.decompress(data) == TEXT
    else:
        import zstandard

        assert zstandard.ZstdDecompressor().decompressobj().decompress(data) == TEXT
