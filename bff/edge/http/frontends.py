"""Frontend servers: they render pages on the server (server-side rendering), and ask the gateway with the cookie of the
person whose request they answer.

A server proves itself by a secret in the header `BFF-Frontend`, from a network of its settings. That permits two things
and no more: `BFF-Client-Address` is the person's address, and answers to the person's cookie may be compressed without
`Sec-Fetch-Site`, which only browsers send. Who the person is, and what they may do, is decided by their cookie alone.
What is personal is answered to a frontend server with `no-store`, because frameworks cache for everybody.

A secret that is not known, or is sent from elsewhere, is refused. So is a request with `Sec-Fetch-Dest`: a browser has
sent it, or a server has passed on a browser's headers as they are. Nothing behind this layer sees the secret. Without a
secret the address is ignored: any client could have written it.

The address has a header of its own, because `X-Forwarded-For` is written by the proxies in front of the gateway: in it
a person's address could not be distinguished from one that a client has made up.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from starlette.types import Message, Scope, Send

from ..problem import Problem
from ..settings.http import FrontendSettings
from ..state import state_of
from .networks import Networks, address_of, is_inside, networks_of
from .request import header_values

log = logging.getLogger("bff.edge")

HEADER = b"bff-frontend"
ADDRESS = b"bff-client-address"


class Frontends:
    """The frontend servers of one gateway's settings, by name."""

    def __init__(self, settings: Mapping[str, FrontendSettings]) -> None:
        # Their values are read for each request, because a secret from a file may change.
        self._secrets = [(name, secret) for name, frontend in settings.items() for secret in frontend.secrets]
        self._networks: dict[str, Networks] = {
            name: networks_of(frontend.networks) for name, frontend in settings.items()
        }

    def identify(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a frontend server sent this request; then its name is in the request's state, and `client` is the
        person's address, where the server says it. Before, `client` is the server's. Raises Problem 403."""
        given = header_values(scope, HEADER)
        if not given:
            return False
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != HEADER]
        # All are compared, so a wrong one takes the same time whatever it is.
        matches = [
            name
            for name, secret in self._secrets
            if hmac.compare_digest(secret.get_secret_value().encode(), given[0])
        ]
        server = address_of(scope["client"][0]) if scope.get("client") else None
        if len(given) != 1 or not matches or not is_inside(server, self._networks[matches[0]]):
            raise _refused(
                "it must be one secret of BFF_HTTP__FRONTENDS, sent from one of the networks there"
            )
        name = matches[0]
        if header_values(scope, b"sec-fetch-dest"):
            log.error(
                "a request with the secret of frontend %s has a browser's headers. If browsers can read the secret, "
                "replace it; if its server passes all headers on, let it pass only those of the documentation.",
                name,
            )
            raise _refused("it is for servers, and only browsers send Sec-Fetch-Dest")
        if addresses := header_values(scope, ADDRESS):
            person = address_of(addresses[0].decode("latin-1"))
            if len(addresses) != 1 or person is None:
                raise _refused("BFF-Client-Address must be one IP address, the person's")
            scope["client"] = (str(person), 0)
        state_of(scope).frontend = name
        return True

    def personal(self, scope: Scope, send: Send) -> Send:
        """A `send` that forbids to store what is answered to a person."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and state_of(scope).principal is not None:
                message = {**message, "headers": _not_stored(message.get("headers", ()))}
            await send(message)

        return sending


def _not_stored(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    pairs = list(headers)
    if any(name == b"cache-control" and b"no-store" in value for name, value in pairs):
        return pairs
    return [*(pair for pair in pairs if pair[0] != b"cache-control"), (b"cache-control", b"no-store")]


def _refused(why: str) -> Problem:
    return Problem(403, "invalid-frontend", f"The header BFF-Frontend is refused: {why}.")
