"""Opens connections to one host: asks DNS, tries the addresses one after the other, and remembers which one worked.

Cancelling `open` leaves no socket and no task. There is one DNS request at a time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from .h1_connection import Connection

DNS_TTL = 10.0
"""Seconds for which a DNS answer is used for new connections."""
ATTEMPT_DELAY = 0.25
"""Seconds that one of several addresses may take before the next one is tried (the value that RFC 8305 section 5
recommends); it doubles in each further round."""
MAX_ADDRESSES = 8
"""Addresses of one host that are tried."""

_Address = tuple[int, str]  # family, IP address


class Connector:
    """host: a name or an IP address; at: connect to this IP address instead of asking DNS for the host."""

    def __init__(self, host: str, port: int, at: str | None = None) -> None:
        self._host = at or host
        self._port = port
        self._known: list[_Address] = []
        self._known_until = 0.0
        self._asking = asyncio.Lock()

    async def open(self, make: Callable[[], Connection]) -> Connection:
        """Open a connection that `make` creates. Raises OSError from the last failed address, or from DNS."""
        untried = list(await self._addresses())
        failure: OSError | None = None
        delay = ATTEMPT_DELAY
        while len(untried) > 1:
            for address in list(untried):
                try:
                    async with asyncio.timeout(delay):
                        return await self._open_at(address, make)
                except TimeoutError:
                    continue
                except OSError as error:
                    failure = error
                    untried.remove(address)
            delay *= 2
        if untried:
            return await self._open_at(untried[0], make)
        raise failure or OSError("the host has no address")

    async def _open_at(self, address: _Address, make: Callable[[], Connection]) -> Connection:
        connection = make()
        family, ip = address
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, ip, self._port, family=family)
        except BaseException:
            connection.abort()
            self._known_until = 0.0
            raise
        if len(self._known) > 1 and self._known[0] != address:
            # The address that worked is tried first next time.
            self._known = [address] + [other for other in self._known if other != address]
        return connection

    async def _addresses(self) -> list[_Address]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._known_until:
            return self._known
        async with self._asking:
            if loop.time() >= self._known_until:
                infos = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                found = dict.fromkeys((int(family), str(where[0])) for family, _, _, _, where in infos)
                self._known = list(found)[:MAX_ADDRESSES]
                self._known_until = loop.time() + DNS_TTL
            return self._known
