"""The settings of the development sign-in, and the rule that all its addresses are on this machine.

Guarantees an issuer and a public URL without a trailing slash whose hosts are loopback. Raises DeclarationError for any
other host.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ....calls import DeclarationError

HOST = "127.0.0.1"
"""The only address that it listens on."""
SECRET = "SIGN_IN_CLIENT_SECRET"  # noqa: S105 - the name of a variable
"""The environment variable with the secret of the gateway's client."""
CLIENT_ID = "bff"
"""The gateway's client id at the development sign-in."""
AUDIENCE = "dev"
"""The `aud` of its access tokens, unless another one is given."""


@dataclass(frozen=True, slots=True)
class SignInSettings:
    """issuer          its own address, as browsers and services reach it, and the `iss` of its tokens
    public_url         the gateway's address: people return to `/bff/callback` below it
    client_secret      the secret of the gateway's client
    audience           the `aud` of access tokens
    people             a TOML file with people and further clients; None or absent: the default people
    state              an SQLite file that survives a restart; None: in memory
    logout_url         where the gateway takes back-channel logouts; None: `/bff/backchannel-logout` below public_url
    access_seconds     lifetime of access tokens, and of ID tokens
    refresh_seconds    lifetime of a sign-in since its last refresh
    code_seconds       how long an authorization code can be redeemed (RFC 6749 section 4.1.2: at most ten minutes)
    choice_seconds     how long the page with the people may stay open

    Raises DeclarationError for an address that is not on this machine.
    """

    issuer: str
    public_url: str
    client_secret: str
    audience: str = AUDIENCE
    people: Path | None = None
    state: Path | None = None
    logout_url: str | None = None
    access_seconds: int = 300
    refresh_seconds: int = 8 * 3600
    code_seconds: int = 60
    choice_seconds: int = 900

    def __post_init__(self) -> None:
        for name, url in (("issuer", self.issuer), ("public URL", self.public_url)):
            if not is_loopback_url(url):
                raise DeclarationError(
                    f"the development sign-in asks for no password, so it serves this machine only: its {name} "
                    f"is {url}; use an address such as http://localhost:8000, or configure a real provider "
                    "(BFF_OIDC__ISSUER)"
                )
            if url.endswith("/"):
                raise DeclarationError(
                    f"the development sign-in: write {url.rstrip('/')} without a slash at the end"
                )
        if urlsplit(self.issuer).path:
            raise DeclarationError(
                f"the development sign-in has no path below its address, as in {self.issuer}"
            )

    @property
    def backchannel_logout_uri(self) -> str:
        """Where the gateway takes logout tokens."""
        return self.logout_url or f"{self.public_url}/bff/backchannel-logout"


def is_loopback_url(url: str) -> bool:
    """Whether it is an http or https address of this machine: `localhost`, a name below it (RFC 6761 section 6.3), or a
    loopback IP address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    if (
        parts.scheme not in ("http", "https")
        or parts.username
        or parts.query
        or parts.fragment
        or not good_port
    ):
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
