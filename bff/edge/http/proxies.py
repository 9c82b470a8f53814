"""Whose word counts before a request is looked at: proxies for the client's address, `Host` for this server's name.

The headers of a request decide nothing else: how browsers reach the gateway is the setting `public_url`. What a proxy
says counts only if the proxy is one of ours, and only back to the first address that is not: anybody could have written
what stands before it in `X-Forwarded-For`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problem import Problem
from ..settings.http import HttpSettings
from .admission import EXEMPT
from .cors import Cors, Preflights
from .networks import Networks, address_of, is_inside, networks_of
from .request import header_values

log = logging.getLogger("bff.edge")

# Proxies in a row that are followed.
_HOPS = 16


def request_checks(app: ASGIApp, settings: HttpSettings, cors: Cors) -> ASGIApp:
    """`app` behind the checks that these settings ask for: proxies, then hosts, then preflights."""
    if settings.origins:
        app = Preflights(app, cors)
    if settings.hosts:
        app = AllowedHosts(app, settings.hosts)
    return TrustedProxies(app, networks_of(settings.proxies))


def client_of(peer: str, forwarded: list[bytes], proxies: Networks) -> str:
    """The client's address. peer: who is connected; forwarded: the values of `X-Forwarded-For` in their order."""
    client = address_of(peer)
    if client is None:
        return peer
    hops = b",".join(forwarded).decode("latin-1").split(",") if forwarded else []
    for hop in reversed(hops[-_HOPS:]):
        before = address_of(hop) if is_inside(client, proxies) else None
        if before is None:
            # Not one of our proxies, or not an address: the last one that is known is the client's.
            break
        client = before
    return str(client)


class TrustedProxies:
    """An ASGI layer that sets `client` to the client's address behind these proxies."""

    def __init__(self, app: ASGIApp, proxies: Networks) -> None:
        self._app = app
        self._proxies = proxies
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            forwarded = header_values(scope, b"x-forwarded-for")
            peer, port = scope["client"]
            if forwarded and not self._warned:
                self._warn(peer)
            if self._proxies:
                client = client_of(peer, forwarded, self._proxies)
                scope["client"] = (client, port if client == peer else 0)
        await self._app(scope, receive, send)

    def _warn(self, peer: str) -> None:
        """Log once that there seems to be a proxy in front that no setting names."""
        address = address_of(peer)
        if address is None or address.is_global or is_inside(address, self._proxies):
            return
        self._warned = True
        log.warning(
            "%s sends X-Forwarded-For and is not in BFF_HTTP__PROXIES: everybody behind it counts as one address. "
            "If it is your proxy, set BFF_HTTP__PROXIES='[\"%s\"]' or its network.",
            *(address, address),
        )


class AllowedHosts:
    """An ASGI layer that refuses requests for other hosts (421). hosts: names, `*.example.org` for all below one.
    Health pages are exempt: whatever looks after the process asks by its address."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(host for host in hosts if not host.startswith("*"))
        self._domains = tuple(host[1:] for host in hosts if host.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path not in EXEMPT and not self._is_allowed(header_values(scope, b"host")):
            raise Problem(421, "misdirected", "Send it to a host this server answers for.")
        await self._app(scope, receive, send)

    def _is_allowed(self, given: list[bytes]) -> bool:
        if len(given) != 1:
            return False
        host = given[0].decode("latin-1").lower()
        name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].rstrip(".")
        return name in self._hosts or name.endswith(self._domains or "\0")
