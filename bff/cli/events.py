"""`bff events dead` lists the dead letters (events that could not be used) as JSON lines. `bff events replay` puts them
back into their streams after the cause was fixed. An event that still cannot be used becomes a dead letter again."""

from __future__ import annotations

import asyncio
import json

from ..calls import DeclarationError
from ..edge.settings import Settings
from ..stores.dead_letters import DeadLetters
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.login import RedisCredentials
from .redis import open_redis

PAGE = 100


def dead(settings: Settings, count: int, credentials: RedisCredentials | None = None) -> int:
    """Print at most `count` dead letters, oldest first. credentials: see `open_redis`. Returns the exit code. Raises
    DeclarationError when Redis is away."""
    return asyncio.run(_dead(settings, credentials, count))


def replay(settings: Settings, ids: list[str], credentials: RedisCredentials | None = None) -> int:
    """Put the dead letters with these ids back into their streams, or all for `["all"]`. credentials: see `open_redis`.
    Returns the exit code: 1 when an id is unknown. Raises DeclarationError when Redis is away."""
    return asyncio.run(_replay(settings, credentials, ids))


async def _dead(settings: Settings, credentials: RedisCredentials | None, count: int) -> int:
    async with open_redis(settings, credentials) as redis:
        try:
            for letter in await DeadLetters(redis).page(count):
                body = (letter.event.body or b"").decode("utf-8", "replace")
                line = {
                    "id": letter.id,
                    "bus": letter.event.broker,
                    "stream": letter.event.partition,
                    "was": letter.event.id,
                    "why": letter.reason,
                }
                # Printed in ASCII, so that the data of an event cannot control the terminal.
                print(json.dumps(line | {"body": body}))
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
    return 0


async def _replay(settings: Settings, credentials: RedisCredentials | None, ids: list[str]) -> int:
    unknown = 0
    async with open_redis(settings, credentials) as redis:
        letters = DeadLetters(redis)
        try:
            if ids == ["all"]:
                # All ids are read first: an event that fails again is appended to the dead letters, and must not be
                # replayed in an endless loop.
                ids, after = [], "-"
                while page := await letters.page(PAGE, after=after):
                    ids += [letter.id for letter in page]
                    after = page[-1].id
            for id in ids:
                replayed = await letters.replay(id)
                unknown += not replayed
                print(f"{id} {'replayed' if replayed else 'is not a dead letter'}")
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
    return 1 if unknown else 0
