"""Takes gzip and deflate off a body, within a bound: none is asked for, but some services send them all the same.

A coding that is not known here stays as it came, with the header that names it.
"""

from __future__ import annotations

import zlib

from .wire import WireBroken, WireTooLarge

_GZIP = 16 + zlib.MAX_WBITS


def decoded(body: bytes, coding: str, max_body: int) -> bytes:
    """coding: the Content-Encoding; max_body: bytes, never exceeded in memory by more than one.

    Raises WireBroken for a body that is cut, damaged or followed by something, WireTooLarge.
    """
    coding = coding.strip().lower()
    if coding in ("gzip", "x-gzip"):
        bits = _GZIP
    elif coding == "deflate":
        # RFC 9110 section 8.4.1.2: some senders leave out the zlib format around it; compression method 8 shows it.
        bits = zlib.MAX_WBITS if body[0] & 0x0F == 8 else -zlib.MAX_WBITS
    else:
        return body
    stream = zlib.decompressobj(bits)
    try:
        plain = stream.decompress(body, max_body + 1)
    except zlib.error:
        raise WireBroken(f"its body is no {coding}", dropped=False) from None
    if len(plain) > max_body:
        raise WireTooLarge(f"more than {max_body} bytes")
    if not stream.eof or stream.unused_data:
        raise WireBroken(f"its body is not exactly one {coding}", dropped=False)
    return plain
