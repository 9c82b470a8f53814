"""`bff events dead` lists the events that could not be used, as JSON lines; `bff events replay` puts them back once
what was wrong with them has been mended. An event that is still wrong comes back here."""

from __future__ import annotations

import asyncio
import json

from ..calls import DeclarationError
from ..edge.settings import Settings
from ..stores.dead_letters import DeadLetters
from ..stores.redis.client import RedisClient, StoreUnavailable

PAGE = 100


def dead(settings: Settings, count: int) -> int:
    """Print at most `count`, oldest first. Returns the exit code."""
    return asyncio.run(_dead(settings, count))


def replay(settings: Settings, ids: list[str]) -> int:
    """Put these back, or every one there is for `all`. Returns the exit code: 1 when an id is unknown."""
    return asyncio.run(_replay(settings, ids))


async def _dead(settings: Settings, count: int) -> int:
    async with RedisClient(settings.redis.url, timeout=settings.redis.timeout) as redis:
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
                # In ASCII: what somebody sent must not control the terminal it is read on.
                print(json.dumps(line | {"body": body}))
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
    return 0


async def _replay(settings: Settings, ids: list[str]) -> int:
    unknown = 0
    async with RedisClient(settings.redis.url, timeout=settings.redis.timeout) as redis:
        letters = DeadLetters(redis)
        try:
            if ids == ["all"]:
                # Only what is there now: what fails again is set aside behind these and must not be sent in circles.
                ids, after = [], "-"
                while page := await letters.page(PAGE, after=after):
                    ids += [letter.id for letter in page]
                    after = page[-1].id
            for id in ids:
                done = await letters.replay(id)
                unknown += not done
                print(f"{id} {'replayed' if done else 'is not among the dead letters'}")
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
    return 1 if unknown else 0
