"""Settings of the HTTP side: limits of size, number and time, and which proxies, hosts and other sites are trusted."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from .fields import Section


def _matching(pattern: str, message: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(message)
        return text

    return AfterValidator(check)


def _no_proof(name: str) -> str:
    if name in ("x-bff", "cookie"):
        raise ValueError(f"{name} cannot be allowed to other sites: it is what proves this site's own page")
    if name in ("bff-frontend", "bff-client-address"):
        raise ValueError(f"{name} is for frontend servers alone")
    return name


def _secret(value: SecretStr) -> SecretStr:
    # The message must not show the value.
    if not re.fullmatch(r"[\x21-\x7e]{32,256}", value.get_secret_value()):
        raise ValueError(
            "a secret of a frontend has 32 to 256 visible ASCII characters; make one with `openssl rand -hex 32`"
        )
    return value


_LowerCase = Annotated[str, StringConstraints(to_lower=True)]
# Strict: 10.1.2.3/8 is more likely a slip than a wish for all of 10.0.0.0/8.
Network = Annotated[str, AfterValidator(ip_network), AfterValidator(str)]
Host = Annotated[
    _LowerCase,
    _matching(
        r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]",
        "a host is a name such as shop.example.org or *.example.org, without a port",
    ),
]
Origin = Annotated[
    str,
    _matching(
        r"https?://[a-z0-9._-]+(:[0-9]{1,5})?",
        "an origin is a scheme and a host in lower case, such as https://desk.example.org",
    ),
]
HeaderName = Annotated[
    _LowerCase,
    # RFC 9110 section 5.6.2, without the characters that no header in use has.
    _matching(
        r"[a-z0-9_-]{1,100}",
        "a header is one name, such as sentry-trace; * is not taken, for it would allow all",
    ),
    AfterValidator(_no_proof),
]


class ForwardSettings(Section):
    """The bounds of forwarded exchanges; a forward declares the bytes of its requests itself."""

    idle: float = Field(30.0, gt=0, le=3600)
    """Seconds that a piece of a body may take, in both directions."""
    rate: int = Field(500, ge=0, le=1_000_000)
    """Bytes a second that a client must send or take on average, once the gateway has waited for it for
    `idle` seconds in all; 0: any. A slower one would hold a permit of the service for hours."""
    download: int = Field(10_000_000_000, ge=1_000)
    """Bytes of an answer at most."""


class FrontendSettings(Section):
    """A frontend server that asks for people whose requests it answers (server-side rendering). It proves itself by a
    secret in `BFF-Frontend`, from its own networks."""

    secrets: tuple[Annotated[SecretStr, AfterValidator(_secret)], ...] = Field(min_length=1, max_length=2)
    """The secret, at least 32 visible ASCII characters; two while it is being changed. In files: `secrets_file` is a
    path, or a list of two, which may hold the same secret."""
    networks: tuple[Network, ...] = Field(min_length=1)
    """Networks of its servers, the only ones from which the secret is accepted; `["0.0.0.0/0", "::/0"]` where
    they are not known."""


class HttpSettings(Section):
    """The bounds of a connection of `bff serve` (the first nine), and what every gateway trusts in a request."""

    head_timeout: float = Field(5.0, gt=0, le=60)
    """Seconds from the first byte of a request, or from connecting, to the end of its headers."""
    body_timeout: float = Field(6.0, gt=0, le=300)
    """Seconds from the end of the headers to the end of the body."""
    keep_alive: int = Field(75, ge=1, le=3600)
    """Seconds that a connection may be idle between two requests; set more than a proxy in front does."""
    unread: float = Field(30.0, gt=0, le=300)
    """Seconds that a client may read nothing of an answer that does not fit the buffers."""
    head_bytes: int = Field(32_768, ge=4_096, le=1_048_576)
    """Bytes of all headers together; more is answered 431."""
    target_bytes: int = Field(8_192, ge=256, le=65_536)
    """Bytes of the address in the request line; more is answered 414."""
    headers: int = Field(100, ge=16, le=1_000)
    """Number of headers; more is answered 431."""
    connections: int = Field(20_000, ge=1, le=1_000_000)
    """Connections open at once in one process, so in each worker; each stream is one of them for minutes. The next one
    gets 503 and is closed. Fewer where the process may not open as many files."""
    linger: float | None = Field(None, ge=0, le=300)
    """Seconds for which `bff serve` still serves, unready, after the signal to stop. Unset: 5, and 0 at a
    terminal. Also the seconds, at least 1, after which a worker that has a successor closes connections without a
    request."""
    compress_from: int | None = Field(1_024, ge=256, le=10_000_000)
    """Bytes from which answers are compressed; unset (`null`): never."""
    compress_to: int = Field(4_000_000, ge=256, le=100_000_000)
    """Bytes up to which answers are compressed; longer ones are files, which cost too much time: 10 ms for each MB."""
    forward: ForwardSettings = ForwardSettings()
    proxies: tuple[Network, ...] = ()
    """Networks of the proxies in front; `X-Forwarded-For` is used only from them."""
    frontends: dict[str, FrontendSettings] = Field(default_factory=dict, max_length=8)
    """By name, the frontend servers that ask for people, at most 8."""
    hosts: tuple[Host, ...] = ()
    """Names in `Host` that are served, `*.example.org` for all names below one; others get 421. Empty: any,
    because no answer is made from that header. Health pages are exempt."""
    origins: tuple[Origin, ...] = ()
    """Other sites whose pages may call with a bearer token (CORS); their cookies are never accepted."""
    cors_headers: tuple[HeaderName, ...] = Field((), max_length=50)
    """Request headers that those pages may send beside the contract's own, at most 50: what their tools
    add, such as `baggage`, `sentry-trace`, `cache-control`. Never `X-BFF`, which proves that a request comes
    from this site's own page."""
    networks: dict[str, tuple[Network, ...]] = Field(default_factory=dict)
    """Names for networks, which routes declare as the only ones they serve (`network="office"`)."""
