"""Settings of the HTTP side: how large, how many and how slow, and whom the gateway believes."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"https?://[a-z0-9._-]+(:[0-9]{1,5})?")

# RFC 9110 section 5.6.2, but for the characters that no header in use has.
_HEADER = re.compile(r"[a-z0-9_-]{1,100}")


def _network(text: str) -> str:
    # Strict: 10.1.2.3/8 is more likely a slip than a wish for all of 10.0.0.0/8.
    return str(ip_network(text))


def _host(text: str) -> str:
    if not _HOST.fullmatch(text.lower()):
        raise ValueError("a host is a name such as shop.example.org or *.example.org, without a port")
    return text.lower()


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("an origin is a scheme and a host in lower case, such as https://desk.example.org")
    return text


def _header(text: str) -> str:
    name = text.lower()
    if not _HEADER.fullmatch(name):
        raise ValueError("a header is one name, such as sentry-trace; * is not taken, for it would allow all")
    if name in ("x-bff", "cookie"):
        raise ValueError(f"{name} cannot be allowed to other sites: it is what proves this site's own page")
    return name


Network = Annotated[str, AfterValidator(_network)]
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
HeaderName = Annotated[str, AfterValidator(_header)]


class HttpSettings(BaseModel):
    """What `bff serve` takes from a connection (the first nine), and what every gateway believes of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head_timeout: float = Field(5.0, gt=0, le=60)
    """Seconds from the first byte of a request, or from connecting, to the end of its headers."""
    body_timeout: float = Field(6.0, gt=0, le=300)
    """Seconds from there to the end of the body."""
    keep_alive: int = Field(75, ge=1, le=3600)
    """Seconds a connection may be idle between two requests; more than a proxy in front keeps one."""
    unread: float = Field(30.0, gt=0, le=300)
    """Seconds that a client may read nothing of an answer that does not fit the buffers."""
    head_bytes: int = Field(32_768, ge=4_096, le=1_048_576)
    """Bytes of all headers together; more is answered 431."""
    target_bytes: int = Field(8_192, ge=256, le=65_536)
    """Bytes of the address in the request line; more is answered 414."""
    headers: int = Field(100, ge=16, le=1_000)
    """Number of headers; more is answered 431."""
    connections: int = Field(20_000, ge=1, le=1_000_000)
    """Open at once in one process, each stream one of them for minutes; the next one is told 503 and
    closed; fewer where the process may not open as many files."""
    linger: float | None = Field(None, ge=0, le=300)
    """Seconds for which `bff serve` serves on, unready, after it is told to stop. Unset: 5, and 0 at a
    terminal."""
    proxies: tuple[Network, ...] = ()
    """Networks of the proxies in front; `X-Forwarded-For` is used only from them."""
    hosts: tuple[Host, ...] = ()
    """Names in `Host` that are served, `*.example.org` for all below one, others are answered 421; empty:
    any, since nothing the gateway says is made from that header. Health pages are exempt."""
    origins: tuple[Origin, ...] = ()
    """Other sites whose pages may call with a bearer token (CORS); cookies are never taken from them."""
    cors_headers: tuple[HeaderName, ...] = Field((), max_length=50)
    """Request headers that those pages may send beside the contract's own, at most 50: what their tools
    add, such as `baggage`, `sentry-trace`, `cache-control`. Never `X-BFF`, which proves our own page."""
    networks: dict[str, tuple[Network, ...]] = Field(default_factory=dict)
    """Names for networks, which routes declare as the only ones they serve (`network="office"`)."""
