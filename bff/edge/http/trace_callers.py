"""Whose word counts about whether a trace is recorded: callers inside the networks of the proxies, and services that
hold an internal token of this gateway. Anybody else could make the gateway and all services record every request.

A browser behind a proxy is not inside: its address is read from `X-Forwarded-For`, as for limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.types import Scope

from .networks import address_of, is_inside, networks_of
from .request import header_values
from .request_checks import client_of

IDENTITY = b"bff-identity"


class TraceCallers:
    """Called with a request; True: its caller decides. proxies: networks; proxies_decide: a request that comes through
    one of them counts whoever sent it to them; is_ours: whether a token is a valid internal one, None: there are
    none."""

    def __init__(
        self,
        proxies: Iterable[str],
        *,
        proxies_decide: bool = False,
        is_ours: Callable[[str], bool] | None = None,
    ) -> None:
        self._networks = networks_of(proxies)
        self._proxies_decide = proxies_decide
        self._is_ours = is_ours

    def __call__(self, scope: Scope) -> bool:
        if self._networks and scope.get("client"):
            address = scope["client"][0]
            if not self._proxies_decide:
                address = client_of(address, header_values(scope, b"x-forwarded-for"), self._networks)
            if is_inside(address_of(address), self._networks):
                return True
        return self._is_ours is not None and any(map(self._is_ours, _tokens(scope)))


def _tokens(scope: Scope) -> list[str]:
    tokens = [value.decode("latin-1") for value in header_values(scope, IDENTITY)]
    for value in header_values(scope, b"authorization"):
        scheme, _, token = value.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            tokens.append(token.strip(" "))
    # One of each is a request as a service sends it.
    return tokens if len(tokens) <= 2 else []
