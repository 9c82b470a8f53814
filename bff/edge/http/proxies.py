"""What is believed of a request before it is looked at: the client's address, and the host it is for. Preflights of
other sites' pages are answered here (cors.py).

Nothing is made from these headers but these decisions: how browsers reach the gateway is the setting `public_url`.
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problem import Problem
from ..settings.http import HttpSettings
from .admission import EXEMPT
from .cors import Cors
from .networks import address_of, client_of, inside, networks_of
from .security_headers import HeaderPairs

log = logging.getLogger("bff.edge")


class Trust:
    """An ASGI layer: sets `client`, refuses hosts that are not ours, answers preflights. `marks` are the headers that
    every answer to this request gets, a refusal too."""

    def __init__(self, app: ASGIApp, settings: HttpSettings, cors: Cors) -> None:
        self._app = app
        self._cors = cors
        self._proxies = networks_of(settings.proxies)
        self._noticed = False
        self._hosts = frozenset(one for one in settings.hosts if not one.startswith("*"))
        self._domains = tuple(one[1:] for one in settings.hosts if one.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            forwarded = _values(scope, b"x-forwarded-for")
            peer, port = scope["client"]
            if forwarded:
                self._notice(peer)
            if self._proxies:
                client = client_of(peer, forwarded, self._proxies)
                scope["client"] = (client, port if client == peer else 0)
        if (self._hosts or self._domains) and not self._served(scope):
            raise Problem(421, "misdirected", "Send it to a host this server answers for.")
        if self.preflight(scope):
            await send({"type": "http.response.start", "status": 204, "headers": list(self._cors.granted)})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)

    def _notice(self, peer: str) -> None:
        """Say once that a proxy seems to stand in front that no setting names."""
        if self._noticed:
            return
        address = address_of(peer)
        if address is None or address.is_global or inside(address, self._proxies):
            return
        self._noticed = True
        log.warning(
            "%s sends X-Forwarded-For and is not in BFF_HTTP__PROXIES: everybody behind it counts as one address. "
            "If it is your proxy, set BFF_HTTP__PROXIES='[\"%s\"]' or its network.",
            *(address, address),
        )

    def marks(self, scope: Scope) -> HeaderPairs:
        """The headers that let another site's page read the answer, where it may."""
        return self._cors.marks(scope["headers"])

    def preflight(self, scope: Scope) -> bool:
        """Whether a browser asks what another site's page may send, and is told."""
        return self._cors.preflight(scope["method"], scope["headers"])

    def _served(self, scope: Scope) -> bool:
        # Whoever looks after the process asks by its address.
        if scope["path"].removeprefix(scope.get("root_path", "")) in EXEMPT:
            return True
        given = _values(scope, b"host")
        if len(given) != 1:
            return False
        host = given[0].decode("latin-1").lower()
        name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].rstrip(".")
        return name in self._hosts or name.endswith(self._domains or "\0")


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
