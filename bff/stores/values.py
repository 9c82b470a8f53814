"""Values: named data of which only the newest version counts, the same for everybody who may see it. No history.

Key (after the prefix of keys.py): `{value:<name>}`, hash: version, payload; TTL 7 days from the last change. Each
change is published to the channel `{value:<name>}:channel`, in the same slot, as `<version> <payload>`. The payload is
one line of JSON, `{name, version, data, at}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..calls.codec import encode
from .keys import redis_key
from .redis.client import RedisClient, raise_refusals, store_errors

TTL = 7 * 86_400
_NAME = re.compile(r"[A-Za-z0-9._/-]{1,200}")
VALUE_BYTES = 4 * 1024 * 1024
"""Size limit of a payload. An event is smaller; a value that a service loads may be larger."""
_HIGHEST = 2**53 - 1  # what Lua's numbers hold exactly


def valid_name(name: str) -> bool:
    """Whether a name has 1 to 200 characters, which are letters, digits or `._/-`."""
    return _NAME.fullmatch(name) is not None


def value_channel(name: str) -> str:
    """The pub/sub channel of one value."""
    return redis_key(f"value:{name}", "channel")


@dataclass(frozen=True, slots=True)
class Value:
    """version: a higher one replaces a lower one; payload: one line of JSON, the data of the event `value` in
    docs/contract.md."""

    version: int
    payload: bytes


def unpack_value(frame: bytes) -> Value | None:
    """A published value, None for anything else."""
    version, _, payload = frame.partition(b" ")
    return Value(int(version), payload) if version.isdigit() else None


class Values:
    """Every method raises StoreUnavailable when Redis is away, and ValueError for a name, version or size that is not
    allowed."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._put = redis.script("value_put")

    async def put(self, name: str, version: int, data: Any, at: str) -> bool:
        """Store and publish this version unless the same or a higher one is stored. Returns whether it was stored.
        data: a JSON value, or `Raw`, which is JSON already."""
        if not valid_name(name):
            raise ValueError("a value's name has at most 200 letters, digits and ._/-")
        if not 0 <= version <= _HIGHEST:
            raise ValueError(f"a value's version is a whole number from 0 to {_HIGHEST}")
        payload = encode({"name": name, "version": version, "data": data, "at": at})
        if len(payload) > VALUE_BYTES:
            raise ValueError(f"a value takes {len(payload)} bytes; the limit is {VALUE_BYTES}")
        return await self.put_payload(name, Value(version, payload))

    async def put_payload(self, name: str, value: Value) -> bool:
        """As `put`, for a value as it was published. Used to write back a value that Redis lost."""
        args: list[str | bytes | int] = [value.version, value.payload, TTL]
        args += [value_channel(name), self._redis.publish_command]
        return bool(await self._put([redis_key(f"value:{name}")], args))

    async def get(self, names: Sequence[str]) -> dict[str, Value]:
        """Read the values of these names, in one round trip. Names without a value are left out."""
        asked = [("HMGET", redis_key(f"value:{name}"), "version", "payload") for name in names]
        with store_errors("values"):
            answers = raise_refusals(await self._redis.batch(asked))
        return {
            name: Value(int(version), payload)
            for name, (version, payload) in zip(names, answers, strict=True)
            if version is not None
        }
