"""Checks of a request's head that the parser does not make, and the canonical form of a path.

A proxy in front and this gateway must agree where a request ends, which host it is for and what its address is. A head
that two readers could read differently is refused (RFC 9112 sections 3.2, 6.1 and 11.2); a path that is not in
canonical form gets 404. Pure: these functions decide, and the connection answers.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ..problem import Problem

Headers = list[tuple[bytes, bytes]]

# RFC 9112 section 3.2 and RFC 3986 section 3.2.2: a name or an address, and a port, which may be empty; no user
# information. Names are those of DNS: a comma or an escape, which the grammar of URIs would allow, names no host.
_HOST = re.compile(rb"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::(?P<port>[0-9]{0,8}))?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_PORTS = {b"http": 80, b"https": 443}

_SUSPECT = re.compile(rb"[%\\\x00-\x20\x7f-\xff]|//|/\.")
# Bytes that must be escaped, and broken escapes.
_MALFORMED = re.compile(rb"[\\\x00-\x20\x7f-\xff]|%(?![0-9A-Fa-f]{2})")
# In an unescaped segment: slashes and control characters, plain or escaped once more.
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f/\\]|%(?:2[EeFf]|5[Cc]|7[Ff]|[01][0-9A-Fa-f])")


class Head(NamedTuple):
    """target: path and query, or `*`; length: announced bytes of body; chunked: the body comes in chunks."""

    target: bytes
    length: int
    chunked: bool

    @property
    def framing(self) -> bytes:
        """The header that announces the body."""
        return b"transfer-encoding: chunked" if self.chunked else b"content-length: %d" % self.length


def read_head(method: bytes, version: str, target: bytes, headers: Headers) -> Head:
    """The address of this request and the size of its body. Raises the Problem that refuses it."""
    fields: dict[bytes, list[bytes]] = {b"host": [], b"transfer-encoding": [], b"content-length": []}
    for name, value in headers:
        if name in fields:
            fields[name].append(value)
    hosts, codings, lengths = fields.values()
    if version not in ("1.0", "1.1"):
        raise unreadable("This server speaks only HTTP/1.1 and HTTP/1.0.")
    if method == b"CONNECT":
        raise Problem(
            405, "method-not-allowed", "This server is no proxy.", headers={"allow": "GET, HEAD, POST"}
        )
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise unreadable("There must be exactly one Host header.")
    if hosts and _host_and_port(hosts[0], b"http") is None:
        raise unreadable("The Host header is not the name of a host.")
    if codings and (version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]):
        raise unreadable("A body's Transfer-Encoding is `chunked`, once, and only in HTTP/1.1.")
    # The parser accepts only a single number.
    length = int(lengths[0]) if lengths else 0
    return Head(_origin_form(method, target, hosts[0] if hosts else None), length, bool(codings))


def unreadable(detail: str) -> Problem:
    """400: readers may understand this request differently."""
    return Problem(400, "invalid-request", detail)


def too_large(detail: str) -> Problem:
    """431: the headers are beyond a bound."""
    return Problem(431, "head-too-large", f"The headers are larger than this server accepts. {detail}")


def _host_and_port(authority: bytes, scheme: bytes) -> tuple[bytes, int] | None:
    """None: this is no authority. An empty port is the scheme's own (RFC 3986 section 6.2.3)."""
    match = _HOST.fullmatch(authority)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    return (match["name"].lower(), port) if port <= 65_535 else None


def _origin_form(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """The target as path and query. An absolute one must name the host that `Host` names; `*` is for OPTIONS only
    (RFC 9112 section 3.2.4). Raises Problem 400."""
    if b"#" in target:
        raise unreadable("The address in the request line has a fragment.")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise unreadable("The address in the request line is neither a path nor a whole http address.")
    scheme, authority, rest = absolute.groups()
    named = _host_and_port(authority, scheme.lower())
    if named is None:
        raise unreadable("The address in the request line names no host.")
    if host is not None and named != _host_and_port(host, scheme.lower()):
        raise unreadable("The address in the request line and the Host header name different hosts.")
    if not rest and method == b"OPTIONS":
        # A proxy sends this on as `*` (RFC 9112 section 3.2.4).
        return b"*"
    return rest if rest.startswith(b"/") else b"/" + rest


def is_canonical(raw: bytes) -> bool:
    """Whether this path, as it was sent, is in canonical form. Takes 0.2 µs where nothing is escaped.

    Not canonical: encoded slashes and backslashes, dot segments, empty segments, control characters, broken escapes,
    bytes that are no UTF-8, and what would become one of these if it were decoded once more (RFC 3986 section 6, RFC
    9110 section 4.2.3). An escaped letter is that letter: it is the same address everywhere.
    """
    if _SUSPECT.search(raw) is None:
        return True
    if _MALFORMED.search(raw):
        return False
    # A slash at the end is part of the address; the routes decide whether that address exists.
    for segment in raw.removesuffix(b"/")[1:].split(b"/"):
        text = unquote_to_bytes(segment)
        if text in (b"", b".", b"..") or _FORBIDDEN.search(text):
            return False
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
    return True
