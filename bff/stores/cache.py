"""The cache's second level, and when what it shows last changed.

Keys:

    bff:{part:<digest>}         string, one kept answer (see `pack`); TTL as long as it is of use, at most a day
    bff:{tag:<sha256>}          hash `*` → stamp: when what this tag stands for last changed; TTL 2 days
    bff:{<owner>}:changed       hash tag → stamp: what this principal's commands changed; TTL 2 days

A stamp is microseconds of this server's clock. Each change is published on `bff:cache` as `<stamp> <JSON>`, the JSON
being `["tag", <tag>]` or `["owner", <owner>]`. A stamp outlives every answer it could forbid.
Ages count on the gateways' own clocks: by as much as these differ, one takes another's answer for younger or older.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..calls import LONGEST
from ..policies.cache import Entry, Key
from .journal import owner_tag
from .redis.client import RedisClient, raise_refusals, store_errors
from .redis.connection import Packable

CHANNEL = "bff:cache"
_TTL = int(2 * LONGEST)
_WHOLE = "*"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class CacheRead:
    """packed: the kept answer or None; seen: the server's clock, before anything was asked for (0 where no tag needs
    it); tags, own: stamps of the tags asked about, 0 for none."""

    packed: bytes | None
    read_at: int
    tag_stamps: dict[str, int] = field(default_factory=dict)
    owner_stamps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A published change: of a tag for everybody, or of something of one owner's (its `owner_tag`)."""

    stamp: int
    tag: str | None = None
    owner: str | None = None


def digest(key: Key) -> str:
    """A kept answer's name in the store (64 hex digits); says nothing of whose it is."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def pack(entry: Entry) -> bytes:
    """An entry as bytes: one line of JSON, then the body."""
    head = {name: value for name, value in asdict(entry).items() if name != "body"}
    return json.dumps([_VERSION, head]).encode() + b"\n" + entry.body


def unpack(packed: bytes) -> Entry | None:
    """The entry, None for what another version of this program wrote."""
    head, _, body = packed.partition(b"\n")
    try:
        version, fields = json.loads(head)
        return Entry(body=body, **fields) if version == _VERSION else None
    except (ValueError, TypeError):
        return None


def unpack_change(message: bytes) -> Change | None:
    """A published change, None for anything else."""
    stamp, _, rest = message.partition(b" ")
    try:
        kind, name = json.loads(rest)
        return Change(int(stamp), **{kind: name})
    except (ValueError, TypeError):
        return None


def _part_key(name: str) -> str:
    return f"bff:{{part:{name}}}"


def _tag_key(tag: str) -> str:
    return f"bff:{{tag:{hashlib.sha256(tag.encode('utf-8', 'surrogatepass')).hexdigest()}}}"


def _own_key(owner: str) -> str:
    return f"bff:{{{owner_tag(owner)}}}:changed"


class CacheStore:
    """Every method raises StoreUnavailable when Redis is away, or slower than `wait` seconds (default 0.1): a cache
    that is slow to ask is worse than none."""

    def __init__(self, redis: RedisClient, *, wait: float = 0.1) -> None:
        self._redis = redis
        self._wait = wait
        self._change = redis.script("cache_change")

    async def read(self, name: str | None, tags: Sequence[str], owner: str | None) -> CacheRead:
        """One round trip for all that decides about one read. name: a `digest`, None when only the stamps matter;
        owner: a principal id, whose own changes of these tags are asked for."""
        if not tags:
            return CacheRead(None if name is None else await self._ask("GET", _part_key(name)), 0)
        asked: list[tuple[Packable, ...]] = [("TIME",), *(("HGET", _tag_key(tag), _WHOLE) for tag in tags)]
        if owner is not None:
            asked.append(("HMGET", _own_key(owner), *tags))
        if name is not None:
            asked.append(("GET", _part_key(name)))
        with store_errors("the cache"):
            answers = iter(raise_refusals(await self._redis.batch(asked, limit=self._wait)))
        seconds, micros = next(answers)
        stamps = {tag: int(next(answers) or 0) for tag in tags}
        own: dict[str, int] = {}
        if owner is not None:
            own = {tag: int(stamp or 0) for tag, stamp in zip(tags, next(answers), strict=True)}
        packed = next(answers) if name is not None else None
        return CacheRead(packed, int(seconds) * 1_000_000 + int(micros), stamps, own)

    async def owner_stamps(self, owner: str, tags: Sequence[str]) -> dict[str, int]:
        """When this principal (its id) changed these tags, 0 for never: half the price of a look."""
        stamps = await self._ask("HMGET", _own_key(owner), *tags)
        return {tag: int(stamp or 0) for tag, stamp in zip(tags, stamps, strict=True)}

    async def put(self, name: str, packed: bytes, seconds: float) -> None:
        """Keep it for this long."""
        await self._ask("SET", _part_key(name), packed, "PX", max(1, int(seconds * 1000)))

    async def delete(self, name: str) -> None:
        """Keep it no longer."""
        await self._ask("DEL", _part_key(name))

    async def _ask(self, *command: Packable) -> Any:
        with store_errors("the cache"):
            return await self._redis.call(*command, limit=self._wait)

    async def invalidate(self, tags: Sequence[str]) -> dict[str, int]:
        """What these tags stand for has changed: every answer asked for before this moment is void, everywhere.
        Answers their stamps. Takes as long as the link allows: an invalidation is not given up for speed."""
        stamps = {}
        for tag in tags:
            message = json.dumps(["tag", tag])
            stamps[tag] = int(await self._change([_tag_key(tag)], [_TTL, CHANNEL, message, _WHOLE]))
        return stamps

    async def invalidate_for_owner(self, owner: str, tags: Sequence[str]) -> int:
        """A principal (its id) changed what these tags stand for: to it, earlier answers are void. Answers the
        stamp."""
        message = json.dumps(["owner", owner_tag(owner)])
        answer = await self._change([_own_key(owner)], [_TTL, CHANNEL, message, *tags])
        return int(answer)
