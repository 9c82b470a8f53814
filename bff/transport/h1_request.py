"""Encodes a request as HTTP/1.1. No value in it can end a line, begin a header or frame a body (request smuggling).

A request that cannot be encoded raises ValueError, because it is the caller's mistake and not the service's.
"""

from __future__ import annotations

import re

from .wire import WireRequest

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Set by the wire, which frames the body and manages the connection. A second, different value would be ambiguous.
_WIRE_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Names that were checked before.
_CHECKED: set[str] = set()
_CHECKED_AT_MOST = 256
# RFC 9110 section 8.6: where the method gives a body a meaning, its absence is sent as a length of 0.
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


def encode_request(request: WireRequest, prefix: str, host: str) -> bytes:
    """Head and body in one piece. prefix: path in front of the target; host: the Host header's value.

    Raises ValueError for a target, name or value that would break its line.
    """
    method, body = request.method, request.body
    target = prefix + request.target
    if not (target.isascii() and target.isprintable() and target[:1] == "/" and " " not in target):
        raise ValueError("the target is not an escaped path and query")
    if not (method.isascii() and method.isalpha()):
        raise ValueError("the method is not a token")
    if not _CHECKED.issuperset(request.headers):
        for name in request.headers:
            _check(name)
    lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
    if body is not None:
        lines.append(f"content-length: {len(body)}\r\n")
    elif method in _BODY_EXPECTED:
        lines.append("content-length: 0\r\n")
    line_ends = len(lines) + 3
    text = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{''.join(lines)}\r\n"
    if text.count("\r") != line_ends or text.count("\n") != line_ends or "\0" in text:
        raise ValueError("the value of a header contains a line break or a zero byte")
    head = text.encode("latin-1")
    return head + body if body else head


def _check(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header")
    if name.lower() in _WIRE_HEADERS:
        raise ValueError(f"the header {name!r} is set by the wire")
    if len(_CHECKED) < _CHECKED_AT_MOST:
        _CHECKED.add(name)
