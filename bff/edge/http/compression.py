"""Compresses answers: zstd and br where their libraries are installed (the extra `compression`), gzip always.

An answer is compressed when it is text, has a Content-Length of `compress_from` to `compress_to` bytes, and cannot help
a page of another site to guess a secret in it (BREACH): public answers, answers to bearer tokens, and answers to
session cookies only where the browser says that this site's own page asks (`Sec-Fetch-Site: same-origin`), or to a
frontend server, whose connection nobody sees who could make the person's browser ask. Streams, ranges, and answers that
are encoded already or say `no-transform` pass as they are. An answer that could have been compressed has `Vary:
Accept-Encoding`.

Each coding has a strong ETag of its own (RFC 9110 section 8.8.3): the one of the plain answer with the coding's name at
its end. `If-None-Match` is read accordingly; `If-Match` names the plain answer's tag, too, so that a write for which a
service compares tags works after a compressed read.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol, TypeAlias, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..state import state_of
from .request import header_values

INLINE = 32_768
"""Bytes that are compressed on the event loop, in about 0.1 ms; more is compressed in a thread."""

_TEXT = re.compile(
    rb"text/(?!event-stream)|application/(?:json|javascript|xml|manifest\+json|wasm)|[a-z0-9.+/-]+\+(?:json|xml)"
)
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

# Of every coding: another gateway may have the libraries that this one lacks.
_SUFFIXES = tuple(f'-{coding}"'.encode() for coding in ("zstd", "br", "gzip"))


class Compressor(Protocol):
    """One answer's compressor."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Brotli:
    def __init__(self, library: Any) -> None:
        self._compressor = library.Compressor(quality=4)

    def compress(self, data: bytes, /) -> bytes:
        return bytes(self._compressor.process(data))

    def flush(self) -> bytes:
        return bytes(self._compressor.finish())


Codings: TypeAlias = Mapping[str, Callable[[], Compressor]]
"""What makes a compressor, by the name of its coding, the best coding first."""


def installed(load: Callable[[str], Any] = importlib.import_module) -> Codings:
    """The codings that can be used. load: imports a library.

    The levels give most of what can be gained: the next ones take up to twice the time for 1 to 10 % fewer bytes
    (`python -m benchmarks compression`).
    """
    found: dict[str, Callable[[], Compressor]] = {}
    with contextlib.suppress(ImportError):
        zstandard = load("zstandard")
        found["zstd"] = lambda: cast(Compressor, zstandard.ZstdCompressor(level=3).compressobj())
    with contextlib.suppress(ImportError):
        brotli = load("brotli")
        found["br"] = lambda: _Brotli(brotli)
    # 16 more: a gzip header and trailer around the deflate stream.
    found["gzip"] = lambda: zlib.compressobj(5, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return found


def may_be_compressed(scope: MutableMapping[str, Any]) -> bool:
    """Whether no other site's page can have made this request with the person's cookie. The request must have been
    authenticated."""
    state = state_of(scope)
    if state.principal is None or state.principal.session is None or state.frontend is not None:
        return True
    return header_values(scope, b"sec-fetch-site") == [b"same-origin"]


def chosen(accepted: list[bytes], codings: Iterable[str]) -> str | None:
    """The coding for a client that sends these Accept-Encoding values, None for none (RFC 9110 section 12.5.3).
    codings: those that can be used, the best first."""
    weights: dict[str, float] = {}
    for part in b",".join(accepted).decode("latin-1").lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        if coding == "x-gzip":
            # RFC 9110 section 8.4.1.3
            coding = "gzip"
        if coding:
            weight = _WEIGHT.fullmatch(parameters[0]) if parameters else None
            weights[coding] = float(weight.group(1)) if weight else float(not parameters)
    usable = [(weights.get(coding, weights.get("*", 0.0)), coding) for coding in codings]
    best = max(weight for weight, _ in usable)
    # The client's wish first, ours between equal ones. Without a wish for it, the plain answer is as good.
    plain = weights.get("identity", 0.0)
    return next((coding for weight, coding in usable if weight == best > 0 and weight >= plain), None)


class Compression:
    """An ASGI layer. least, most: bytes of answers that are compressed; codings: default those that are installed."""

    def __init__(self, app: ASGIApp, least: int, most: int, codings: Codings | None = None) -> None:
        self._app = app
        self._bounds = (least, most)
        self._codings = installed() if codings is None else codings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = header_values(scope, b"accept-encoding")
        coding = chosen(accepted, self._codings) if accepted else None
        if b"if-match" in (name for name, _ in scope["headers"]):
            scope["headers"] = [_with_plain_tags(pair) for pair in scope["headers"]]
        answer = _Answer(scope, send, coding, self._codings, self._bounds)
        if coding is not None:
            answer.read_conditions()
        await self._app(scope, receive, answer.send)


class _Answer:
    """One answer on its way out."""

    def __init__(
        self, scope: Scope, send: Send, coding: str | None, codings: Codings, bounds: tuple[int, int]
    ) -> None:
        self._scope = scope
        self._send = send
        self._coding = coding
        self._codings = codings
        self._least, self._most = bounds
        self._compressor: Compressor | None = None
        self._sent_tags: frozenset[bytes] = frozenset()

    @property
    def _suffix(self) -> bytes:
        return f'-{self._coding}"'.encode()

    def read_conditions(self) -> None:
        """Let the layers inside compare the ETags that they know."""
        given = header_values(self._scope, b"if-none-match")
        if not any(self._suffix in value for value in given):
            return
        self._sent_tags = frozenset(tag.strip() for value in given for tag in value.split(b","))
        self._scope["headers"] = [
            (name, value.replace(self._suffix, b'"') if name == b"if-none-match" else value)
            for name, value in self._scope["headers"]
        ]

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._started(message)
        elif self._compressor is not None:
            message = await self._compressed(message)
        await self._send(message)

    def _started(self, message: Message) -> Message:
        headers = message["headers"]
        if message["status"] == 304:
            return (
                {**message, "headers": [self._renamed(pair) for pair in headers]}
                if self._sent_tags
                else message
            )
        found = dict(headers)
        if not self._is_compressible(message["status"], found):
            return message
        headers = _varied(headers, found.get(b"vary"))
        if self._coding is None or not may_be_compressed(self._scope):
            return {**message, "headers": headers}
        self._compressor = self._codings[self._coding]()
        changed = [
            (name, value[:-1] + self._suffix if name == b"etag" else value)
            for name, value in headers
            if name not in (b"content-length", b"accept-ranges")
        ]
        return {**message, "headers": [*changed, (b"content-encoding", self._coding.encode())]}

    def _renamed(self, pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """The ETag of a 304 as the client knows it."""
        name, value = pair
        known = value[:-1] + self._suffix
        return (name, known) if name == b"etag" and known in self._sent_tags else pair

    def _is_compressible(self, status: int, headers: dict[bytes, bytes]) -> bool:
        length = headers.get(b"content-length", b"")
        return (
            200 <= status < 600
            and status != 206
            and length.isdigit()
            and self._least <= int(length) <= self._most
            and _TEXT.match(headers.get(b"content-type", b"")) is not None
            and not {b"content-encoding", b"content-range"} & headers.keys()
            and b"no-transform" not in headers.get(b"cache-control", b"")
            and not headers.get(b"etag", b"").startswith(b"W/")
        )

    async def _compressed(self, message: Message) -> Message:
        compressor, data = self._compressor, message.get("body", b"")
        more = message.get("more_body", False)
        if compressor is None or self._scope["method"] == "HEAD":
            return message

        def work() -> bytes:
            return compressor.compress(data) + (b"" if more else compressor.flush())

        return {**message, "body": work() if len(data) <= INLINE else await asyncio.to_thread(work)}


def _with_plain_tags(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """An If-Match with the plain tags beside those of a coding. Any of its tags may match (RFC 9110 section 13.1.1)."""
    name, value = pair
    if name != b"if-match":
        return pair
    tags = [tag.strip() for tag in value.split(b",")]
    plain = [tag.removesuffix(end) + b'"' for tag in tags for end in _SUFFIXES if tag.endswith(end)]
    return (name, b", ".join((value, *plain)) if plain else value)


def _varied(headers: list[tuple[bytes, bytes]], vary: bytes | None) -> list[tuple[bytes, bytes]]:
    """The headers with `Accept-Encoding` in Vary. vary: None where there is no such header yet."""
    if vary is None:
        return [*headers, (b"vary", b"Accept-Encoding")]
    return [(name, value + b", Accept-Encoding" if name == b"vary" else value) for name, value in headers]
