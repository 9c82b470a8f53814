"""Erases what is stored about one person: everything in their owner's slot, their private cached answers and values,
which sagas of theirs are open, and dead letters that name them.

Guarantees that nothing of it is left at the keys that existed when it began, however many there are: the keys are found
with SCAN, in batches, and unlinked, so that Redis is not held up. What is written meanwhile may be left. Sessions are
ended by `SessionStore`, and event streams of services are not the gateway's: the service that wrote an event erases it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

from .cache import CHANNEL
from .dead_letters import DEAD, REPLAYED
from .keys import owner_tag, redis_key
from .redis.client import RedisClient, raise_refusals, store_errors

_BATCH = 500
_NAMES = {"claim": "stored answers", "rate": "limits", "part": "cached answers", "value": "values"}


class PersonStore:
    """Raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def erase(self, person: str) -> dict[str, int]:
        """Erase a person, by the id `<iss>|<sub>`; returns how many keys or entries of each kind were erased. Gateways
        drop their cached answers, too."""
        tag = owner_tag(person)
        pseudonym = hashlib.sha256(person.encode()).hexdigest()[:32]
        erased: Counter[str] = Counter()
        for pattern in (redis_key(tag, "*"), redis_key(f"part:*.{tag}"), redis_key(f"value:*{pseudonym}*")):
            async for found in self._redis.scan_keys(pattern):
                for start in range(0, len(found), _BATCH):
                    keys = found[start : start + _BATCH]
                    with store_errors("erasing a person"):
                        raise_refusals(await self._redis.batch([("UNLINK", key) for key in keys]))
                    erased.update(_kinds(keys))
        async for found in self._redis.scan_keys(redis_key("sagas:*", "touched")):
            for key in found:
                erased["sagas"] += await self._erase_sagas(key.decode(), f"{tag}/*")
        for stream in (DEAD, REPLAYED):
            erased["dead letters"] += await self._erase_entries(stream, person)
        with store_errors("erasing a person"):
            await self._redis.call("PUBLISH", CHANNEL, f"0 {json.dumps(['forgotten', tag])}")
        return {kind: number for kind, number in erased.items() if number}

    async def _erase_sagas(self, touched: str, pattern: str) -> int:
        """Forget the sagas of one type with these names, see sagas.py; `touched` has all of them."""
        start = touched.removesuffix("touched")
        erased, cursor = 0, b"0"
        with store_errors("erasing a person"):
            while True:
                cursor, pairs = await self._redis.call(
                    "ZSCAN", touched, cursor, "MATCH", pattern, "COUNT", _BATCH
                )
                if names := pairs[::2]:
                    erased += len(names)
                    commands = [
                        ("ZREM", f"{start}{name}", *names) for name in ("open", "attention", "touched")
                    ]
                    raise_refusals(await self._redis.batch([*commands, ("HDEL", f"{start}versions", *names)]))
                if cursor in (b"0", 0):
                    return erased

    async def _erase_entries(self, stream: str, person: str) -> int:
        """Delete the entries of a stream that name the person, as JSON has it."""
        marks = {json.dumps(person, ensure_ascii=ascii)[1:-1].encode() for ascii in (True, False)}
        erased, after = 0, "-"
        with store_errors("erasing a person"):
            while entries := await self._redis.call("XRANGE", stream, after, "+", "COUNT", _BATCH):
                named = [id for id, fields in entries if any(mark in b"\0".join(fields) for mark in marks)]
                if named:
                    erased += int(await self._redis.call("XDEL", stream, *named))
                after = "(" + entries[-1][0].decode()
        return erased


def _kinds(keys: Iterable[bytes]) -> Iterable[str]:
    for key in keys:
        tag, _, name = key.decode().partition("}")
        kind = name.strip(":").partition(":")[0] or tag.partition("{")[2].partition(":")[0]
        yield _NAMES.get(tag.partition("{")[2].partition(":")[0], _NAMES.get(kind, "journal"))
