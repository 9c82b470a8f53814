"""Users and passwords of Redis that change: passwords from files, and tokens that a cloud issues for some minutes.

Guarantees that each new connection authenticates with the newest login, that long-lived connections authenticate again
before Redis would end them, and that one fetch at a time is under way, however many connections wait for it. While no
login can be fetched, Redis counts as away. A password appears in no log, error or representation.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ...calls.shutdown import cancel_tasks

log = logging.getLogger("bff.stores")

FETCH_TIMEOUT = 10.0
"""Seconds that fetching one login may take."""
SHARE = 0.75
"""Share of its time after which a login is replaced."""


@dataclass(frozen=True, slots=True)
class RedisLogin:
    """How a connection to Redis authenticates (AUTH).

    password        a secret: a password, or a token of the cloud
    username        None: the default user
    valid_for       seconds for which new connections may use it; None: for one connection, the next one fetches again
    connection_for  seconds after which Redis ends a connection that has not authenticated again; None: never
    """

    password: str = field(repr=False)
    username: str | None = None
    valid_for: float | None = None
    connection_for: float | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """AUTH with its arguments."""
        return ("AUTH", *([self.username] if self.username else []), self.password)


class RedisCredentials(Protocol):
    """Returns the login for connections to Redis, for `Gateway(redis_credentials=…)`: an async function without
    arguments, such as one that signs a token of AWS ElastiCache or asks Entra for one.

    It may take 10 s. An exception counts as Redis being away and is logged by its type alone, because its text might
    hold a secret; it is called again with the next attempt to connect.
    """

    async def __call__(self) -> RedisLogin: ...


class LoginSource(Protocol):
    """Where a client's connections get their login."""

    async def current(self) -> RedisLogin:
        """The login for a new connection. Raises OSError."""

    def replaces(self, used: RedisLogin, at: float) -> bool:
        """Whether a connection that authenticated with `used` at this monotonic time must authenticate again."""

    def generation(self) -> int:
        """Changes when connections that cannot authenticate again, because they are subscribed, must be replaced."""

    async def close(self) -> None:
        """End the fetch under way."""


class StoredLogin:
    """The login of the settings. read: returns it as it is now, since a secret from a file may change."""

    def __init__(self, read: Callable[[], RedisLogin]) -> None:
        self._read = read

    async def current(self) -> RedisLogin:
        return self._read()

    def replaces(self, used: RedisLogin, at: float) -> bool:
        return used != self._read()

    def generation(self) -> int:
        # Redis does not end a connection because a password has changed.
        return 0

    async def close(self) -> None:
        return


class FetchedLogin:
    """The login that a function of the user fetches. clock: monotonic seconds."""

    def __init__(self, fetch: RedisCredentials, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._login: RedisLogin | None = None
        self._fetched_at = 0.0
        self._first_at: float | None = None
        self._flight: asyncio.Task[RedisLogin] | None = None

    async def current(self) -> RedisLogin:
        login = self._login
        if login is not None and self._clock() - self._fetched_at < SHARE * (login.valid_for or 0.0):
            return login
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._fetched(), name="bff-redis-login")
            # When every attempt that waited has ended, nobody takes the failure, which is logged already.
            self._flight.add_done_callback(_take_failure)
        # The attempt to connect has a shorter time limit; the next one gets what this fetch brings.
        return await asyncio.shield(self._flight)

    async def _fetched(self) -> RedisLogin:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                login = await self._fetch()
            if not isinstance(login, RedisLogin) or not login.password:
                raise TypeError("not a RedisLogin with a password")
        except Exception as error:
            log.warning("the login for Redis cannot be fetched: %s", type(error).__name__)
            # Without the cause: its text is not ours and might hold a secret.
            raise ConnectionError(f"the login for Redis cannot be fetched ({type(error).__name__})") from None
        finally:
            self._flight = None
        self._login, self._fetched_at = login, self._clock()
        if self._first_at is None:
            self._first_at = self._fetched_at
        return login

    def replaces(self, used: RedisLogin, at: float) -> bool:
        return used.connection_for is not None and self._clock() - at >= SHARE * used.connection_for

    def generation(self) -> int:
        # 0 before the first login, too: a connection that waits for it is not replaced when it comes.
        login = self._login
        if login is None or login.connection_for is None or self._first_at is None:
            return 0
        return int((self._clock() - self._first_at) / (SHARE * login.connection_for))

    async def close(self) -> None:
        if self._flight is not None:
            await cancel_tasks([self._flight])


def _take_failure(flight: asyncio.Task[RedisLogin]) -> None:
    if not flight.cancelled():
        flight.exception()
