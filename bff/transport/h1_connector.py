"""Opens connections to one host: asks DNS, tries each of its addresses, and remembers for a moment which one worked.

Waiting is the caller's: cancelling `open` leaves no socket and no task behind. One question to DNS at a time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from .h1_connection import Connection

# Seconds an answer of DNS is used for new connections.
KNOWN_FOR = 10.0
# Seconds one of several addresses may take before the next is tried (RFC 8305 section 5 recommends this); twice as long
# in each further round.
PATIENCE = 0.25
# Addresses of one host that are tried.
MOST = 8

Family = int
Found = tuple[Family, str]


class Connector:
    """host: a name or an IP address; at: connect to this IP address instead of asking DNS for the host."""

    def __init__(self, host: str, port: int, at: str | None = None) -> None:
        self._host = at or host
        self._port = port
        self._known: list[Found] = []
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def open(self, make: Callable[[], Connection]) -> Connection:
        """A connection `make` made, open. Raises OSError: of an address that was tried, or of DNS."""
        left = list(await self._addresses())
        failure: OSError | None = None
        patience = PATIENCE
        while len(left) > 1:
            for one in list(left):
                try:
                    async with asyncio.timeout(patience):
                        return await self._try(one, make)
                except TimeoutError:
                    continue
                except OSError as error:
                    failure = error
                    left.remove(one)
            patience *= 2
        if left:
            return await self._try(left[0], make)
        raise failure or OSError("the host has no address")

    async def _try(self, one: Found, make: Callable[[], Connection]) -> Connection:
        connection = make()
        family, ip = one
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, ip, self._port, family=family)
        except BaseException:
            connection.abort()
            self._until = 0.0
            raise
        if len(self._known) > 1 and self._known[0] != one:
            self._known = [one] + [other for other in self._known if other != one]
        return connection

    async def _addresses(self) -> list[Found]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            return self._known
        async with self._asking:
            if loop.time() >= self._until:
                answers = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                found = list(
                    dict.fromkeys((int(family), str(place[0])) for family, _, _, _, place in answers)
                )
                self._known = found[:MOST]
                self._until = loop.time() + KNOWN_FOR
            return self._known
