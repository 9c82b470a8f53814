"""What is read from a request: its headers, whether a person navigates with it, and its body.

`Sec-Fetch-Mode: navigate` marks a navigation where a browser sends it (Fetch Metadata, section 2.3); a script's
request has another mode. Without that header, an `Accept` that names HTML marks one: programs send `*/*`, or the type
they want. A body is bounded in bytes and in time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from ..problem import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing (RFC 9110 section 9.2.1)."""

VARY = "Accept, Sec-Fetch-Mode"
"""What the choice between a page and a problem document depends on."""

# Values of Sec-Fetch-Dest (Fetch Metadata section 2.1).
_RUN_BY_PAGES = (
    b"audioworklet",
    b"paintworklet",
    b"script",
    b"serviceworker",
    b"sharedworker",
    b"style",
    b"worker",
    b"xslt",
)

_HTML = ("text/html", "application/xhtml+xml")
_JSON = ("application/json", "application/problem+json")
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{1,3})?|1(?:\.0{1,3})?)")
# Characters of `Accept` that are read.
_MOST = 2_000

_BLANKS = b" \t"
"""The bytes that RFC 6265 section 5.2 strips from a name and a value. `str.strip` would also strip 0x85 and 0xA0, and a
sibling site may set a cookie with such a name."""


def header_values(scope: MutableMapping[str, Any], name: bytes) -> list[bytes]:
    """All values of the header, in their order."""
    return [value for key, value in scope["headers"] if key == name]


def cookies(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """All cookies of the request in their order, from every Cookie header; names may repeat."""
    pairs = [pair.partition(b"=") for key, line in headers if key == b"cookie" for pair in line.split(b";")]
    return [(name.strip(_BLANKS), value.strip(_BLANKS)) for name, sign, value in pairs if sign]


def cookie_values(headers: Iterable[tuple[bytes, bytes]], name: str) -> list[str]:
    """The values of all cookies of exactly this name."""
    wanted = name.encode("ascii")
    return [value.decode("latin-1") for key, value in cookies(headers) if key == wanted]


def is_navigation(scope: MutableMapping[str, Any]) -> bool:
    """Whether the answer is shown to a person as a page."""
    modes = header_values(scope, b"sec-fetch-mode")
    if modes != [b"navigate"] and (modes or scope["method"] not in ("GET", "HEAD")):
        return False
    accept = b",".join(header_values(scope, b"accept"))[:_MOST].decode("latin-1")
    html = _weight(accept, _HTML)
    return html > 0 and html >= _weight(accept, _JSON)


def is_run_by_page(scope: MutableMapping[str, Any]) -> bool:
    """Whether the answer would act as a part of the page that asks, as its script, worker or style. For such an answer
    neither a sandbox nor Content-Disposition means anything."""
    return any(value in _RUN_BY_PAGES for value in header_values(scope, b"sec-fetch-dest"))


def _weight(accept: str, types: tuple[str, ...]) -> float:
    """The best weight with which one of these types is named (RFC 9110 section 12.5.1); 0 where none is."""
    best = 0.0
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        if kind in types:
            weights = [found for part in parameters if (found := _WEIGHT.fullmatch(part))]
            best = max(best, float(weights[0][1]) if weights else 1.0)
    return best


def body_too_large(most: int) -> Problem:
    """413; most: bytes that are accepted."""
    return Problem(413, "body-too-large", f"The body may have at most {most} bytes.")


@dataclass(frozen=True, slots=True)
class BodyReader:
    """`await reader(scope, receive)` returns the whole body. most: bytes; seconds: for all of it to arrive."""

    most: int
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive) -> bytes:
        """Raises Problem 413 for a body that is too large, 408 for one that does not arrive in time, and
        ClientDisconnect."""
        for length in header_values(scope, b"content-length"):
            if length.isdigit() and int(length) > self.most:
                raise body_too_large(self.most)
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self.most:
                        raise body_too_large(self.most)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Problem(
                408,
                "too-slow",
                f"The body did not arrive within {self.seconds:g} s.",
                headers={"connection": "close"},
            ) from None
