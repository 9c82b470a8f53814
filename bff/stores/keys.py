"""The names of all keys and channels of the gateway in Redis.

Every name begins with `PREFIX`, which contains the version of the stored formats. No other file uses the prefix. A
release reads and writes only names of its version, so it never reads data in an unknown format. Raise `VERSION` when a
release stores something that the release before it cannot read, or reads with another meaning; docs/redis.md says what
that costs. The part in braces after the prefix is the hash tag: in a cluster it decides the slot.

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
    """`<PREFIX>name`: a key that no script uses together with another key, or a channel for all gateways."""
    return PREFIX + name


@lru_cache(4096)
def owner_tag(owner: str) -> str:
    """The hash tag of everything that belongs to one principal (its id): 16 hex digits of SHA-256."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def hashed(issuer: str, value: str) -> str:
    """A name that does not reveal the value: 32 hex digits. value: a subject, a session or a token of the issuer, in
    any characters that JSON may hold."""
    return hashlib.sha256(f"{len(issuer)}:{issuer}{value}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
