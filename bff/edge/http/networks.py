"""Addresses and networks, and routes that serve some networks only."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problem import Problem
from ..state import state_of

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]


def networks_of(texts: Iterable[str]) -> Networks:
    return tuple(ip_network(text) for text in texts)


def address_of(text: str) -> Address | None:
    """An address with or without a port; an IPv4-mapped IPv6 address is the IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(4096)
def network_of(text: str) -> str:
    """The text under which an address is counted: an IPv4 address itself, for IPv6 its network of 64 bits, because one
    host can use all of its 2**64 addresses. A text that is no address is returned as it is."""
    address = address_of(text.partition("%")[0])
    if address is None:
        return text
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def is_inside(address: Address | None, networks: Networks) -> bool:
    """False for an address that could not be read."""
    return address is not None and any(address in network for network in networks)


class IpAllowlist:
    """`app` for clients in these networks; others get 403 before authentication and limits. route, kind: name the
    route in metrics and the log."""

    def __init__(self, app: ASGIApp, route: str, networks: Networks, kind: str = "other") -> None:
        self._app = app
        self._route = route
        self._kind = kind
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if not is_inside(address_of(client[0]) if client else None, self._networks):
            state = state_of(scope)
            state.route, state.kind = self._route, self._kind
            raise Problem(403, "forbidden", "This address is not served to the network you come from.")
        await self._app(scope, receive, send)
