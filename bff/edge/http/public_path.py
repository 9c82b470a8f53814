"""Where browsers reach the gateway: the path of its public URL, `/desk` in `https://example.org/desk`, or none.

A proxy in front may send requests on with that prefix or without it. Both are understood, and inside the gateway every
request looks as if it were mounted there (ASGI's `root_path`). What the gateway tells browsers begins with the prefix:
addresses, redirects, and cookies by their names. A cookie with `__Host-` has `Path=/` (RFC 6265bis section 4.1.3.2),
so only the cookie's name distinguishes two gateways below one host.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class PublicPath:
    """prefix: the path, without a slash at its end."""

    prefix: str

    @classmethod
    def of(cls, public_url: str) -> PublicPath:
        return cls(urlsplit(public_url).path.rstrip("/"))

    @property
    def home(self) -> str:
        """Where the site begins."""
        return f"{self.prefix}/"

    @property
    def session_cookie(self) -> str:
        return f"__Host-bff{self.prefix.replace('/', '.')}"

    @property
    def login_cookies(self) -> str:
        """The prefix of the names of the cookies that belong to sign-ins under way."""
        return f"{self.session_cookie}-login-"

    def holds(self, path: str) -> bool:
        """Whether an address of this host belongs to the gateway's own part of it."""
        bare = path.partition("?")[0].partition("#")[0]
        return not self.prefix or bare == self.prefix or bare.startswith(f"{self.prefix}/")

    def enter(self, scope: MutableMapping[str, Any]) -> None:
        """Make the request one below `root_path`, once. A gateway that is mounted has its root_path already."""
        if not self.prefix or scope.get("root_path") or not scope["path"].startswith("/"):
            return
        plain = unquote(self.prefix)
        path, raw = scope["path"], scope.get("raw_path") or quote(scope["path"]).encode()
        if path == plain:
            path, raw = f"{path}/", raw + b"/"
        elif not path.startswith(f"{plain}/"):
            path, raw = plain + path, self.prefix.encode() + raw
        scope["root_path"], scope["path"], scope["raw_path"] = plain, path, raw
