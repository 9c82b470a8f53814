"""The security headers of every answer (OWASP Secure Headers): what a browser must not do with it.

A header that the answer has already is not replaced: a page has a wider Content-Security-Policy (page.py) than data.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

HeaderPairs = tuple[tuple[bytes, bytes], ...]

PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "camera": (),
    "geolocation": (),
    "microphone": (),
    "payment": (),
    "usb": (),
}
"""Features of a browser, and the origins that may use each: none."""


def permissions_header(features: Mapping[str, tuple[str, ...]]) -> str:
    """A Permissions-Policy (W3C, structured field): `camera=(), geolocation=(self "https://maps.example.org")`."""
    return ", ".join(
        f"{name}=*"
        if origins == ("*",)
        else f"{name}=({' '.join(one if one in ('self', '*') else f'{chr(34)}{one}{chr(34)}' for one in origins)})"
        for name, origins in features.items()
    )


_ALWAYS: HeaderPairs = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", permissions_header(PERMISSIONS).encode()),
    # If a browser is led to show data or a problem, it must not run or frame it. The last three directives do not fall
    # back to default-src (Content Security Policy Level 3 section 6).
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
# A year in seconds, as preload lists require. Only where browsers use https.
_HSTS = (b"strict-transport-security", b"max-age=31536000")

NAMES = frozenset(name for name, _ in (*_ALWAYS, _HSTS))


@lru_cache(maxsize=16)
def security_headers(public_url: str) -> HeaderPairs:
    """All of them, for a gateway that browsers reach at this address."""
    return (*_ALWAYS, _HSTS) if public_url.startswith("https://") else _ALWAYS


def with_security_headers(headers: list[tuple[bytes, bytes]], public_url: str) -> list[tuple[bytes, bytes]]:
    """The headers, and the security headers whose names are not among them."""
    pairs = security_headers(public_url)
    given = {name for name, _ in headers}
    if NAMES.isdisjoint(given):
        return [*headers, *pairs]
    return [*headers, *(pair for pair in pairs if pair[0] not in given)]
