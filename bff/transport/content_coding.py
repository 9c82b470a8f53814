"""Undoes the content codings gzip and deflate, within a bound. The gateway asks for neither, but some services send
them all the same.

All wires use this. A gzip body may have several members, one after the other, and zeros after the last one (RFC 1952
section 2.2; gzip pads blocks so). A coding that cannot be undone, or is unknown, is an invalid response and not a fault
of the connection.
"""

from __future__ import annotations

import zlib

from .wire import WireInvalidResponse, WireResponseTooLarge

_GZIP = 16 + zlib.MAX_WBITS
# zlib copies what follows a member for the next one, so it gets the body in pieces of this many bytes.
_PIECE = 65_536
MAX_MEMBERS = 1_000
"""Members of one gzip body. A member may have only 20 bytes, so the bound on the body alone would allow too many."""


def decode_body(body: bytes, coding: str | None, max_body: int) -> bytes:
    """The body without its coding. coding: the Content-Encoding, None where there is none; max_body: bytes, exceeded in
    memory by at most one.

    Raises WireResponseTooLarge; WireInvalidResponse for a body that is cut, damaged, followed by other bytes or in an
    unknown coding.
    """
    if coding is None or not body:
        return body
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip"):
        return _members(body, max_body)
    if coding != "deflate":
        raise WireInvalidResponse(f"its body is in the coding {coding[:40]!r}, which was not asked for")
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
                raise WireInvalidResponse("its gzip body is cut")
            part = _decompress(stream, piece, "gzip", room)
            plain.append(part)
            room -= len(part)
            at += len(piece) - len(stream.unused_data)
        if body[at : at + 1] != b"\x1f":
            if body[at:].strip(b"\0"):
                raise WireInvalidResponse("something else follows its gzip body")
            return plain[0] if len(plain) == 1 else b"".join(plain)
    raise WireInvalidResponse(f"its gzip body has more than {MAX_MEMBERS} members")


def _decompress(stream: zlib._Decompress, piece: bytes, coding: str, room: int) -> bytes:
    try:
        plain = stream.decompress(piece, room + 1)
    except zlib.error:
        raise WireInvalidResponse(f"its body is no {coding}") from None
    if len(plain) > room:
        raise WireResponseTooLarge("more bytes than are taken once its coding is undone")
    return plain
