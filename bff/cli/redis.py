"""The client of Redis for one command, such as `bff revoke`: with the login of the settings, or with the one that the
gateway's function fetches (`Gateway(redis_credentials=…)`).

The first login is fetched before the first attempt to connect, because the function may take longer (10 s) than a
connection may (`redis.timeout`), and a command tries once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..calls import DeclarationError
from ..edge.app.network import Connections
from ..edge.app.redis import redis_client
from ..edge.settings import Settings
from ..stores.redis.client import RedisClient
from ..stores.redis.login import FetchedLogin, RedisCredentials, RedisLogin
from .target import load


def credentials_of(target: str | None) -> RedisCredentials | None:
    """The function of the gateway that is named as `module:gateway`; None where none is named, or it has no such
    function. Raises DeclarationError."""
    return None if target is None else load(target).extensions.redis_credentials


@asynccontextmanager
async def open_redis(settings: Settings, credentials: RedisCredentials | None) -> AsyncIterator[RedisClient]:
    """credentials: fetch each login, in place of the settings'. Raises DeclarationError where the first one cannot be
    fetched."""
    async with redis_client(
        settings, Connections(settings.network), None if credentials is None else await _fetched(credentials)
    ) as redis:
        yield redis


async def _fetched(credentials: RedisCredentials) -> RedisCredentials:
    """The same function, whose first login is there already."""
    first = FetchedLogin(credentials)
    try:
        ready = [await first.current()]
    except OSError as error:
        raise DeclarationError(f"redis_credentials of the gateway: {error}") from None
    finally:
        await first.close()

    async def fetch() -> RedisLogin:
        return ready.pop() if ready else await credentials()

    return fetch
