"""Values: named data of which only the newest version counts, the same for everybody who may see it. No history.

Key (after the prefix of keys.py): `{value:<name>}`, hash: version, payload, mutations, changed; TTL 7 days from the
last change. Each change is published to the channel `{value:<name>}:channel`, in the same slot, as
`<version> <payload>`. The payload is one line of JSON, `{name, version, data, at}`, and `mutations` at its end where
the service names them.

`mutations` has the newest 32 commands that the version contains, including those of earlier versions, so that a reader
that misses a version still finds its commands. Of a version that is not newer than the stored one only the commands
that are not stored yet are used: they are added, and the stored version is published again.

A value that its service does not have any more is stored and published as gone: `{name, version, at, gone}`, with the
version that it had. That counts as newer than the value of this version. The value is back with a higher version, or
with the same one when it was loaded from its service afterwards. A value that is marked as changed is not read until a
newer version is stored, or the same one that was loaded afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..calls.codec import encode
from ..calls.saga import MAX_MUTATIONS
from .keys import redis_key
from .redis.client import RedisClient, raise_refusals, store_errors

TTL = 7 * 86_400
_NAME = re.compile(r"[A-Za-z0-9._/-]{1,200}")
VALUE_BYTES = 4 * 1024 * 1024
"""Size limit of a payload. An event is smaller; a value that a service loads may be larger."""
_MUTATIONS = b',"mutations":['
_GONE = b',"gone":true}'
_NAMED = re.compile(rb'(?:"[0-9a-f-]{36}"(?:,"[0-9a-f-]{36}")*)?\]\}')
_HIGHEST = 2**53 - 1  # what Lua's numbers hold exactly


def valid_name(name: str) -> bool:
    """Whether a name has 1 to 200 characters, which are letters, digits or `._/-`."""
    return _NAME.fullmatch(name) is not None


def value_channel(name: str) -> str:
    """The pub/sub channel of one value."""
    return redis_key(f"value:{name}", "channel")


@dataclass(frozen=True, slots=True)
class Value:
    """version: a higher one replaces a lower one; payload: one line of JSON, the data of the event `value` or `gone` in
    docs/contract.md."""

    version: int
    payload: bytes

    @property
    def gone(self) -> bool:
        """Whether its service does not have it any more."""
        return is_gone(self.payload)


def is_gone(payload: bytes) -> bool:
    """Whether a payload says that the value is gone. No other one ends like this: `at` is a text."""
    return payload.endswith(_GONE)


def unpack_value(frame: bytes) -> Value | None:
    """A published value, None for anything else."""
    version, _, payload = frame.partition(b" ")
    return Value(int(version), payload) if version.isdigit() else None


def _joined(payload: bytes, mutations: bytes | None) -> bytes:
    """A payload as it is published. mutations: as they are stored, UUIDs in quotes; None: none were named."""
    return payload if mutations is None else b"%b%b%b]}" % (payload[:-1], _MUTATIONS, mutations)


def _split(payload: bytes) -> tuple[bytes, list[str] | None]:
    """A published payload without its mutations, and these."""
    line, found, mutations = payload.rpartition(_MUTATIONS)
    if not found or not _NAMED.fullmatch(mutations):
        return payload, None
    return line + b"}", [one.strip('"') for one in mutations[:-2].decode().split(",") if one]


class Values:
    """Every method raises StoreUnavailable when Redis is away, and ValueError for a name, version or size that is not
    allowed."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._put = redis.script("value_put")
        self._changed = redis.script("value_changed")

    async def put(
        self,
        name: str,
        version: int,
        data: Any,
        at: str,
        mutations: Sequence[str] | None = None,
        *,
        loaded: bool = False,
    ) -> bool:
        """Store and publish this version unless the same or a higher one is stored. Returns whether it was stored.
        data: a JSON value, or `Raw`, which is JSON already. mutations: the commands that this version contains, UUIDs;
        None: not known. loaded: its service was just asked, so that the same version counts where it was gone; then
        there are no mutations."""
        if not valid_name(name):
            raise ValueError("a value's name has at most 200 letters, digits and ._/-")
        if not 0 <= version <= _HIGHEST:
            raise ValueError(f"a value's version is a whole number from 0 to {_HIGHEST}")
        payload = encode({"name": name, "version": version, "data": data, "at": at})
        if len(payload) > VALUE_BYTES:
            raise ValueError(f"a value takes {len(payload)} bytes; the limit is {VALUE_BYTES}")
        return await self._store(name, version, payload, mutations, loaded=loaded)

    async def put_gone(self, name: str, version: int, at: str) -> bool:
        """Store and publish that this version was the last one, unless a higher one is stored. Returns whether it was
        stored."""
        named = encode({"name": name, "version": version, "at": at})
        return await self._store(name, version, named[:-1] + _GONE, None)

    async def put_payload(self, name: str, value: Value) -> bool:
        """As `put`, for a value as it was published. Used to write back a value that Redis lost."""
        payload, mutations = _split(value.payload)
        return await self._store(name, value.version, payload, mutations)

    async def _store(
        self,
        name: str,
        version: int,
        payload: bytes,
        mutations: Sequence[str] | None,
        *,
        loaded: bool = False,
    ) -> bool:
        source = "loaded" if loaded else int(mutations is not None)
        args: list[str | bytes | int] = [version, payload, TTL, value_channel(name)]
        args += [self._redis.publish_command, MAX_MUTATIONS, source, *(mutations or ())]
        return bool(await self._put([redis_key(f"value:{name}")], args))

    async def get(self, names: Sequence[str]) -> dict[str, Value]:
        """Read the values of these names, in one round trip. Names without a value, or with one that is marked as
        changed, are left out."""
        fields = ("version", "payload", "mutations", "changed")
        asked = [("HMGET", redis_key(f"value:{name}"), *fields) for name in names]
        with store_errors("values"):
            answers = raise_refusals(await self._redis.batch(asked))
        return {
            name: Value(int(version), _joined(payload, mutations))
            for name, (version, payload, mutations, changed) in zip(names, answers, strict=True)
            if version is not None and changed is None
        }

    async def mark_changed(self, name: str) -> bool:
        """The stored version, if there is one, may not be what its service has: `get` leaves it out until then. Returns
        whether there is one."""
        return bool(await self._changed([redis_key(f"value:{name}")], []))

    async def known(self, name: str) -> tuple[int | None, bool]:
        """The stored version of a value, None for none; and whether it is marked as changed."""
        with store_errors("values"):
            (answer,) = raise_refusals(
                await self._redis.batch([("HMGET", redis_key(f"value:{name}"), "version", "changed")])
            )
        return None if answer[0] is None else int(answer[0]), answer[1] is not None
