"""Whether browsers can sign in at a public URL."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit


def no_sign_in_at(public_url: str) -> Iterator[str]:
    """The mistake of a public URL at which no browser can sign in, if it is one: the cookies are Secure, and the
    provider's answer holds the code, which must not cross a network in plain text (RFC 9700 section 2.6). Browsers
    trust plain http on this machine alone."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    local = host == "localhost" or host.endswith(".localhost") or _is_loopback(host)
    if parts.scheme == "http" and not local:
        yield (
            f"nobody can sign in at {public_url}, because browsers store the session's cookie over https only: "
            "set BFF_PUBLIC_URL to the https address of the proxy in front"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
