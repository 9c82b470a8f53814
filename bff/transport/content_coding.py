"""Takes gzip and deflate off a body, within a bound: none is asked for, but some services send them all the same.

The same for every wire. A gzip body may have several members, one after the other, and zeros behind the last one
(RFC 1952 section 2.2; gzip pads so on tapes and blocks). What cannot be undone, or is not known here, was said wrongly
by the service: it is invalid, and no fault of the connection.
"""

from __future__ import annotations

import zlib

from .wire import WireInvalidResponse, WireResponseTooLarge

_GZIP = 16 + zlib.MAX_WBITS
# What is behind a member is copied for the next one, so a body is handed over in pieces of this many bytes.
_PIECE = 65_536
MAX_MEMBERS = 1_000
"""Members of one gzip body. Each may be 20 bytes, so the bound on the body alone would leave too many."""


def decode_body(body: bytes, coding: str | None, max_body: int) -> bytes:
    """coding: the Content-Encoding, None where there is none; max_body: bytes, never exceeded in memory by more than
    one.

    Raises WireTooLarge; WireInvalid for a body that is cut, damaged or followed by something, or of an unknown coding.
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
    # RFC 9110 section 8.4.1.2: some senders leave out the zlib format around it; compression method 8 shows it.
    stream = zlib.decompressobj(zlib.MAX_WBITS if body[0] & 0x0F == 8 else -zlib.MAX_WBITS)
    plain = _step(stream, body, "deflate", max_body)
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
            found = _step(stream, piece, "gzip", room)
            plain.append(found)
            room -= len(found)
            at += len(piece) - len(stream.unused_data)
        if body[at : at + 1] != b"\x1f":
            if body[at:].strip(b"\0"):
                raise WireInvalidResponse("something else follows its gzip body")
            return plain[0] if len(plain) == 1 else b"".join(plain)
    raise WireInvalidResponse(f"its gzip body has more than {MAX_MEMBERS} members")


def _step(stream: zlib._Decompress, piece: bytes, coding: str, room: int) -> bytes:
    try:
        found = stream.decompress(piece, room + 1)
    except zlib.error:
        raise WireInvalidResponse(f"its body is no {coding}") from None
    if len(found) > room:
        raise WireResponseTooLarge("more bytes than are taken once its coding is undone")
    return found
