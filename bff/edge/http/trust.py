"""What is believed of a request before it is looked at: the client's address, the host it is for, and which other
sites' pages may read the answer.

Nothing is made from these headers but these decisions: how browsers reach the gateway is the setting `public_url`.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problem import Problem
from ..settings.http import HttpSettings
from .admission import EXEMPT
from .networks import client_of, networks_of
from .security import Pairs

_ALLOWED = (
    b"authorization, content-type, idempotency-key, last-event-id, traceparent, tracestate, x-correlation-id"
)
_READABLE = (
    b"bff-complete, idempotency-replayed, link, location, ratelimit, ratelimit-policy, retry-after, server-timing, "
    b"x-correlation-id"
)
# Seconds a browser may remember a preflight's answer; Chromium caps it at two hours.
_MAX_AGE = b"7200"


class Trust:
    """An ASGI layer: sets `client`, refuses hosts that are not ours, answers preflights. `marks` are the headers that
    every answer to this request gets, a refusal too.

    Another site's page may call with a bearer token (CORS without credentials). The header X-BFF is never granted: it
    is what proves that a write with a cookie comes from our own page.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._proxies = networks_of(settings.proxies)
        self._hosts = frozenset(one for one in settings.hosts if not one.startswith("*"))
        self._domains = tuple(one[1:] for one in settings.hosts if one.startswith("*"))
        self._origins = frozenset(one.encode() for one in settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxies and scope.get("client"):
            forwarded = _values(scope, b"x-forwarded-for")
            peer, port = scope["client"]
            client = client_of(peer, forwarded, self._proxies)
            scope["client"] = (client, port if client == peer else 0)
        if (self._hosts or self._domains) and not self._served(scope):
            raise Problem(421, "misdirected", "Send it to a host this server answers for.")
        if self.preflight(scope):
            headers = [
                (b"access-control-allow-methods", b"GET, HEAD, POST"),
                (b"access-control-allow-headers", _ALLOWED),
                (b"access-control-max-age", _MAX_AGE),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)

    def marks(self, scope: Scope) -> Pairs:
        """The headers that let another site's page read the answer, where it may."""
        if not self._origins:
            return ()
        vary = (b"vary", b"Origin")
        origin = _values(scope, b"origin")
        if len(origin) != 1 or origin[0] not in self._origins:
            return (vary,)
        return (
            vary,
            (b"access-control-allow-origin", origin[0]),
            (b"access-control-expose-headers", _READABLE),
        )

    def preflight(self, scope: Scope) -> bool:
        """Whether a browser asks what another site's page may send, and is told."""
        return (
            scope["method"] == "OPTIONS"
            and len(self.marks(scope)) > 1
            and bool(_values(scope, b"access-control-request-method"))
        )

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
