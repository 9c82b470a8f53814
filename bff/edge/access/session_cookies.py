"""Which session cookies a request has, and where browsers reach the gateway: at the public URL, or at other hosts.

Each provider has a cookie of its own. A cookie of a provider that is not used at the host of the request is not there:
`__Host-` cookies belong to one host, so only a mistake or an attack brings it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..http.public_path import PublicPath
from ..http.request import cookie_values, header_values

_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Site:
    """Where browsers reach the gateway: at `public_url`, or at other hosts in its place."""

    public_url: str
    hosts: frozenset[str] = frozenset()

    def url(self, scope: MutableMapping[str, Any]) -> str:
        """The public URL with the host of this request, where that host is one of `hosts`."""
        host = self.host(scope)
        return self.public_url if host not in self.hosts else self.at(host)

    def at(self, host: str) -> str:
        """The public URL with another host."""
        parts = urlsplit(self.public_url)
        return parts._replace(netloc=host).geturl()

    def host(self, scope: MutableMapping[str, Any]) -> str:
        """The host of a request as settings write it: in lower case, without the scheme's own port."""
        values = header_values(scope, b"host")
        host = values[0].decode("latin-1").lower() if len(values) == 1 else ""
        name, colon, port = host.rpartition(":")
        return name if colon and port == _PORTS[urlsplit(self.public_url).scheme] else host


@dataclass(frozen=True, slots=True)
class SessionCookies:
    """The names of the session cookies, by the provider they belong to. hosts: where each is accepted; a provider that
    is not in it has every host."""

    names: Mapping[str, str]
    site: Site
    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, scope: MutableMapping[str, Any]) -> list[tuple[str, str]]:
        """Provider and value of each session cookie of this request."""
        headers = scope["headers"]
        return [
            (provider, value)
            for provider, name in self.names.items()
            for value in cookie_values(headers, name)
            if self.accepts(provider, scope)
        ]

    def accepts(self, provider: str, scope: MutableMapping[str, Any]) -> bool:
        """Whether this provider is used at the host of this request."""
        hosts = self.hosts.get(provider)
        return hosts is None or self.site.host(scope) in hosts


def session_cookies(public_url: str, hosts: Mapping[str, Iterable[str]]) -> SessionCookies:
    """hosts: by provider, those of its setting; none for a provider that is used at every host."""
    own = PublicPath.of(public_url).session_cookie
    restricted = {name: frozenset(each) for name, each in hosts.items() if each}
    site = Site(public_url, frozenset().union(*restricted.values()))
    return SessionCookies({name: f"{own}~{name}" if name else own for name in hosts}, site, restricted)
