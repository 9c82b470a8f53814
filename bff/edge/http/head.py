"""What a request's head may look like, where the parser would let two readings pass.

A proxy in front and this gateway must agree where a request ends, whom it is for and what its address is. A head on
which two readers could differ is refused (RFC 9112 sections 3.2, 6.1 and 11.2). Pure: it judges, and the connection
answers.
"""

from __future__ import annotations

import re

from ..problem import Problem

Headers = list[tuple[bytes, bytes]]

# RFC 9112 section 3.2: a name or an address, and a port; nobody's name and password.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{1,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


def unreadable(detail: str) -> Problem:
    """400: this is not a request that everybody would read alike."""
    return Problem(400, "invalid-request", detail)


def origin_form(target: bytes, host: bytes | None) -> bytes:
    """The target as path and query. An absolute one must name the host that `Host` names. Raises Problem 400."""
    if b"#" in target:
        raise unreadable("The address in the request line has a fragment.")
    if target.startswith(b"/"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise unreadable("The address in the request line is neither a path nor a whole http address.")
    authority, rest = absolute.groups()
    if host is not None and authority.lower() != host.lower():
        raise unreadable("The address in the request line and the Host header name different hosts.")
    return rest if rest.startswith(b"/") else b"/" + rest


def judge(
    method: bytes, version: str, target: bytes, headers: Headers, *, upgrade: bool
) -> tuple[bytes, int]:
    """The target as path and query, and the body's announced length; raises the Problem that refuses this head.

    upgrade  the parser takes what follows for another protocol: there must be no body then
    """
    hosts: list[bytes] = []
    codings: list[bytes] = []
    length = 0
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"content-length":
            # The parser has taken care that it is a number, and one.
            length = int(value)
    if version not in ("1.0", "1.1"):
        raise unreadable("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method == b"CONNECT":
        raise Problem(
            405,
            "method-not-allowed",
            "This is no proxy.",
            headers={"allow": "GET, HEAD, POST"},
        )
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise unreadable("There must be exactly one Host header.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise unreadable("The Host header is not the name of a host.")
    if codings and (version == "1.0" or [one.lower() for one in codings] != [b"chunked"]):
        raise unreadable("A body's Transfer-Encoding is `chunked`, once, and only in HTTP/1.1.")
    if upgrade and (length or codings):
        raise unreadable("A request that asks for another protocol has no body here.")
    return origin_form(target, hosts[0] if hosts else None), length


def too_large(detail: str) -> Problem:
    """The refusal of headers beyond a bound."""
    return Problem(431, "head-too-large", f"The headers are more than this server takes. {detail}")
