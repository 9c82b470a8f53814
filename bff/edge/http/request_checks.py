"""What is checked before a request has a route: the client's address, whether a frontend server sent it, the host, and
whether it is a preflight.

The headers of a request decide nothing else: how browsers reach the gateway is the setting `public_url`.
`X-Forwarded-For` is used only from a proxy that the settings name, and only back to the first address that is no such
proxy, because any client could have written the addresses before it.
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problem import Problem
from ..settings.http import HttpSettings
from .admission import EXEMPT
from .cors import Cors
from .frontends import Frontends
from .networks import Networks, address_of, is_inside, networks_of
from .request import header_values

log = logging.getLogger("bff.edge")

# Proxies in a row that are followed.
_HOPS = 16


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


class RequestChecks:
    """An ASGI layer that sets `client` to the client's address behind the proxies and a frontend server, refuses
    requests for other hosts (421) and of unknown frontend servers (403), and answers preflights. Health pages are
    served under any host: probes use the address of the process."""

    def __init__(self, app: ASGIApp, settings: HttpSettings, cors: Cors) -> None:
        self._app = app
        self._cors = cors
        self._proxies = networks_of(settings.proxies)
        self._frontends = Frontends(settings.frontends)
        self._hosts = frozenset(host for host in settings.hosts if not host.startswith("*"))
        self._domains = tuple(host[1:] for host in settings.hosts if host.startswith("*"))
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
        if self._frontends.identify(scope):
            send = self._frontends.personal(scope, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if (self._hosts or self._domains) and path not in EXEMPT and not self._is_allowed(scope):
            raise Problem(421, "misdirected", "Send it to a host this server answers for.")
        if self._cors.is_preflight(scope):
            await send({"type": "http.response.start", "status": 204, "headers": list(self._cors.granted)})
            await send({"type": "http.response.body", "body": b""})
            return
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

    def _is_allowed(self, scope: Scope) -> bool:
        given = header_values(scope, b"host")
        if len(given) != 1:
            return False
        host = given[0].decode("latin-1").lower()
        name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].rstrip(".")
        return name in self._hosts or name.endswith(self._domains)
