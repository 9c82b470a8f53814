"""Decodes the content codings gzip and deflate, up to a maximum size. The gateway requests neither of them, but some
services send them anyway.

All wires use it. A gzip body may have several members, one after the other, and zeros after the last one (RFC 1952
section 2.2; tools pad gzip files with zeros). A body that cannot be decoded, or has an unknown coding, is an invalid
response, not a failure of the connection.
"""

from __future__ import annotations

import zlib

from .wire import WireInvalidResponse, WireResponseTooLarge

_GZIP = 16 + zlib.MAX_WBITS
# zlib copies the bytes after a member, so it gets the body in pieces of this many bytes.
_PIECE = 65_536
MAX_MEMBERS = 1_000
"""Members of one gzip body. A member may have only 20 bytes, so the bound on the body alone would allow too many."""


def decode_body(body: bytes, coding: str | None, max_body: int) -> bytes:
    """The decoded body. coding: the Content-Encoding, None for none; max_body: bytes after decoding (at most one byte
    more is in memory).

    Raises WireResponseTooLarge; WireInvalidResponse for a body that is incomplete, damaged, followed by other bytes or
    in an unknown coding.
    """
    if coding is None or not body:
        return body
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip"):
        return _members(body, max_body)
    if coding != "deflate":
        raise WireInvalidResponse(f"its body has the coding {coding[:40]!r}, which was not requested")
    # RFC 9110 section 8.4.1.2: some senders leave out the zlib header, which begins with compression method 8.
    stream = zlib.decompressobj(zlib.MAX_WBITS if body[0] & 0x0F == 8 else -zlib.MAX_WBITS)
    plain = _decompress(stream, body, "deflate", max_body)
    if not stream.eof or stream.unused_data:
        raise WireInvalidResponse("its body is not exactly one deflate stream")
    return plain


def _members(body: bytes, max_body: int) -> bytes:
    plain: list[bytes] = []
    room = max_body
    at = 0
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(_GZIP)
        while not stream.eof:
            piece = body[at : at + _PIECE]
            if not piece:
                raise WireInvalidResponse("its gzip body is incomplete")
            part = _decompress(stream, piece, "gzip", room)
            plain.append(part)
            room -= len(part)
            at += len(piece) - len(stream.unused_data)
        if body[at : at + 1] != b"\x1f":
            if body[at:].strip(b"\0"):
                raise WireInvalidResponse("other bytes follow its gzip body")
            return plain[0] if len(plain) == 1 else b"".join(plain)
    raise WireInvalidResponse(f"its gzip body has more than {MAX_MEMBERS} members")


def _decompress(stream: zlib._Decompress, piece: bytes, coding: str, room: int) -> bytes:
    try:
        plain = stream.decompress(piece, room + 1)
    except zlib.error:
        raise WireInvalidResponse(f"its body is not valid {coding}") from None
    if len(plain) > room:
        raise WireResponseTooLarge("more bytes after decoding than are allowed")
    return plain
