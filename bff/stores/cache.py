"""The shared second level of the cache, and the time of each tag's last invalidation.

Keys (after the prefix of keys.py):

    {part:<digest>}         string, one cached answer (see `pack`); TTL: as long as it can be used, at most a day.
                            An answer for one user: {part:<digest>.<owner>}
    {tag:<sha256>}          hash `*` → stamp of the tag's last invalidation for everybody; TTL 2 days
    {<owner>}:changed       hash tag → stamp of its last invalidation by this principal's commands; TTL 2 days

A stamp is a time of Redis' clock in microseconds. Each invalidation is published to the channel `cache` as
`<stamp> <JSON>`, where the JSON is `["tag", <tag>]`, `["owner", <owner tag>]` or `["forgotten", <owner tag>]`. A stamp
is stored longer than any answer that it invalidates. Ages are measured by the clocks of the gateways: a difference
between these makes an answer that another gateway stored seem younger or older.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..calls import MAX_LIFETIME
from ..policies.cache import CacheEntry, Key
from .keys import owner_tag, plain_name, redis_key
from .redis.client import RedisClient, raise_refusals, store_errors
from .redis.connection import Packable

CHANNEL = plain_name("cache")
_TTL = int(2 * MAX_LIFETIME)
_WHOLE = "*"
_VERSION = 1
# Ends the principal's id in a key of `policies.cache`.
_LINE = "\n"


@dataclass(frozen=True, slots=True)
class CacheRead:
    """packed: the cached answer or None; read_at: Redis' clock before the read, microseconds (0 when there are no
    tags); tag_stamps, owner_stamps: stamps of the requested tags, 0 for none."""

    packed: bytes | None
    read_at: int
    tag_stamps: dict[str, int] = field(default_factory=dict)
    owner_stamps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A published invalidation: of a tag for everybody, or of tags for one owner (its `owner_tag`). forgotten: an owner
    of whom nothing may be cached any more."""

    stamp: int
    tag: str | None = None
    owner: str | None = None
    forgotten: str | None = None


def digest(key: Key) -> str:
    """The name of a cached answer in the store: 64 hex digits, and a dot and the `owner_tag` of an answer for one user.
    It does not reveal the user."""
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    whose = key[-1]
    return name if whose is None else f"{name}.{owner_tag(whose.partition(_LINE)[0])}"


def pack(entry: CacheEntry) -> bytes:
    """An entry as bytes: one line of JSON, then the body."""
    head = {name: value for name, value in asdict(entry).items() if name != "body"}
    return json.dumps([_VERSION, head]).encode() + b"\n" + entry.body


def unpack(packed: bytes) -> CacheEntry | None:
    """The entry, None when it has the format of another release."""
    head, _, body = packed.partition(b"\n")
    try:
        version, fields = json.loads(head)
        return CacheEntry(body=body, **fields) if version == _VERSION else None
    except (ValueError, TypeError):
        return None


def unpack_change(message: bytes) -> Change | None:
    """A published invalidation, None for anything else."""
    stamp, _, rest = message.partition(b" ")
    try:
        kind, name = json.loads(rest)
        return Change(int(stamp), **{kind: name})
    except (ValueError, TypeError):
        return None


def _answer_key(name: str) -> str:
    return redis_key(f"part:{name}")


def _tag_key(tag: str) -> str:
    return redis_key(f"tag:{hashlib.sha256(tag.encode('utf-8', 'surrogatepass')).hexdigest()}")


def _owner_key(owner: str) -> str:
    return redis_key(owner_tag(owner), "changed")


class CacheStore:
    """Every method raises StoreUnavailable when Redis is away, or slower than `wait` seconds (default 0.1), because a
    slow cache is worse than none."""

    def __init__(self, redis: RedisClient, *, wait: float = 0.1) -> None:
        self._redis = redis
        self._wait = wait
        self._change = redis.script("cache_change")

    async def read(self, name: str | None, tags: Sequence[str], owner: str | None) -> CacheRead:
        """Read the answer and the stamps for one request, in one round trip. name: a `digest`, None to read only the
        stamps; owner: a principal id, to read also the stamps of this principal's commands."""
        if not tags:
            return CacheRead(None if name is None else await self._call("GET", _answer_key(name)), 0)
        commands: list[tuple[Packable, ...]] = [("TIME",), *(("HGET", _tag_key(tag), _WHOLE) for tag in tags)]
        if owner is not None:
            commands.append(("HMGET", _owner_key(owner), *tags))
        if name is not None:
            commands.append(("GET", _answer_key(name)))
        with store_errors("the cache"):
            answers = iter(raise_refusals(await self._redis.batch(commands, limit=self._wait)))
        seconds, micros = next(answers)
        stamps = {tag: int(next(answers) or 0) for tag in tags}
        owner_stamps: dict[str, int] = {}
        if owner is not None:
            owner_stamps = {tag: int(stamp or 0) for tag, stamp in zip(tags, next(answers), strict=True)}
        packed = next(answers) if name is not None else None
        return CacheRead(packed, int(seconds) * 1_000_000 + int(micros), stamps, owner_stamps)

    async def owner_stamps(self, owner: str, tags: Sequence[str]) -> dict[str, int]:
        """The stamps at which this principal (its id) invalidated these tags, 0 for never. Takes half the time of
        `read`."""
        stamps = await self._call("HMGET", _owner_key(owner), *tags)
        return {tag: int(stamp or 0) for tag, stamp in zip(tags, stamps, strict=True)}

    async def put(self, name: str, packed: bytes, seconds: float) -> None:
        """Store an answer for this many seconds."""
        await self._call("SET", _answer_key(name), packed, "PX", max(1, int(seconds * 1000)))

    async def delete(self, name: str) -> None:
        """Delete an answer."""
        await self._call("DEL", _answer_key(name))

    async def _call(self, *command: Packable) -> Any:
        with store_errors("the cache"):
            return await self._redis.call(*command, limit=self._wait)

    async def invalidate(self, tags: Sequence[str]) -> dict[str, int]:
        """Invalidate, for all users, the answers with these tags that were requested before now. Returns the stamps.
        Waits up to the client's `timeout`, not `wait`, because an invalidation must not be lost for speed."""
        stamps = {}
        for tag in tags:
            message = json.dumps(["tag", tag])
            stamps[tag] = int(await self._change([_tag_key(tag)], [_TTL, CHANNEL, message, _WHOLE]))
        return stamps

    async def invalidate_for_owner(self, owner: str, tags: Sequence[str]) -> int:
        """Invalidate earlier answers with these tags for one principal (its id). Returns the stamp."""
        message = json.dumps(["owner", owner_tag(owner)])
        answer = await self._change([_owner_key(owner)], [_TTL, CHANNEL, message, *tags])
        return int(answer)
