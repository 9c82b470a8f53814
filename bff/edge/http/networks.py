"""Addresses and networks: who a client is behind the proxies in front, and routes that serve some networks only.

A proxy's word counts only when the proxy is one of ours, and only as far back as the first address that is none: what
stands before it in `X-Forwarded-For` was written by whoever liked to.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problem import Problem
from ..state import state_of

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

# Proxies in a row that are gone through.
_HOPS = 16


def networks_of(texts: Iterable[str]) -> Networks:
    return tuple(ip_network(text) for text in texts)


def address_of(text: str) -> Address | None:
    """An address with or without a port; an IPv4 address in IPv6's clothes is the IPv4 address."""
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


def network_of(text: str) -> str:
    """Whom an address counts as: an IPv4 address is itself, of an IPv6 host's the first 64 bits, for it has 2**64
    addresses of its own to ask from. What cannot be read is itself."""
    address = address_of(text.partition("%")[0])
    if address is None:
        return text
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def inside(address: Address | None, networks: Networks) -> bool:
    """False for an address that could not be read."""
    return address is not None and any(address in network for network in networks)


def client_of(peer: str, forwarded: list[bytes], proxies: Networks) -> str:
    """The client's address. peer: who is connected; forwarded: the values of `X-Forwarded-For` in their order."""
    client = address_of(peer)
    if client is None:
        return peer
    hops = b",".join(forwarded).decode("latin-1").split(",") if forwarded else []
    for hop in reversed(hops[-_HOPS:]):
        if not inside(client, proxies):
            break
        before = address_of(hop)
        if before is None:
            # Not an address: the last one that is known stands.
            break
        client = before
    return str(client)


class IpAllowlist:
    """`app` for clients of these networks; others get 403 before anything is asked or counted."""

    def __init__(self, app: ASGIApp, route: str, networks: Networks) -> None:
        self._app = app
        self._route = route
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if not inside(address_of(client[0]) if client else None, self._networks):
            state_of(scope).route = self._route
            raise Problem(403, "forbidden", "This address is not served to the network you come from.")
        await self._app(scope, receive, send)
