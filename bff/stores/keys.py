"""The names of all keys and channels that the gateway has in Redis.

Every name begins with `PREFIX`, which carries the version of what is stored. No other file writes the prefix. A release
reads and writes names of its own version only, so it never meets data in a format that it does not know. Raise
`VERSION` when a release stores something that the release before it cannot read, or reads in another meaning;
docs/redis.md says what that costs. What in braces follows the prefix is the hash tag: in a cluster it decides the slot.

Event streams of services (`events:…`) and keys of other programs do not have the prefix.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

VERSION = 1
PREFIX = f"bff:{VERSION}:"


def redis_key(tag: str, name: str = "") -> str:
    """`<PREFIX>{tag}:name`. Keys with the same tag are in one slot, so one script may use them together."""
    return f"{PREFIX}{{{tag}}}:{name}" if name else f"{PREFIX}{{{tag}}}"


def plain_name(name: str) -> str:
    """`<PREFIX>name`: a key that no script uses with another one, or a channel that every gateway listens to."""
    return PREFIX + name


@lru_cache(4096)
def owner_tag(owner: str) -> str:
    """The hash tag of everything that belongs to one principal (its id): 16 hex digits of SHA-256."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def hashed(issuer: str, value: str) -> str:
    """A name for a subject, a session or a token of an issuer that does not reveal it: 32 hex digits."""
    return hashlib.sha256(f"{len(issuer)}:{issuer}{value}".encode()).hexdigest()[:32]
