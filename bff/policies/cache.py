"""What a cached answer may be used for: fresh, stale while a new one is fetched, or stale instead of a failure. Pure.

The declaration (`Call.fresh`) is the upper bound. The upstream's Cache-Control, Age, Expires and Vary (RFC 9111,
RFC 5861) can only shorten it or forbid caching; without these headers the declaration applies. Times are Unix seconds
given by the caller.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from ..calls import MAX_LIFETIME, Call, Principal

Lifetimes: TypeAlias = tuple[float | None, float | None, float | None]
Pairs: TypeAlias = tuple[tuple[str, str], ...]
Asked: TypeAlias = tuple[str, str, Pairs, str | None, Pairs]
Key: TypeAlias = tuple[str, Asked, tuple[str, ...], tuple[str, ...], Lifetimes, str | None]
"""Service, what it is asked (method, path, query, hash of the body, headers), the headers that the call takes of the
answer, tags, the lifetimes that the call declares, and the user it is for (None: for all users)."""

Freshness = Literal["fresh", "revalidate", "error", "expired"]

# Request headers that differ in each request. An answer that varies by one of them is for that one request only.
_EACH_TIME = frozenset({"*", "x-correlation-id", "bff-deadline-ms", "traceparent", "tracestate"})
# Directives that forbid serving a stale answer (RFC 9111 section 4.2.4); two more do so in a shared cache.
_NEVER_STALE = frozenset({"must-revalidate", "no-cache"})
_SHARED_NEVER_STALE = _NEVER_STALE | {"proxy-revalidate", "s-maxage"}
_DIRECTIVE = re.compile(r'([a-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,"]+)))?')
_STORED_HEADERS = ("content-type", "etag", "last-modified", "cache-control", "expires", "date", "vary")
# Memory of an entry beside its body and headers, in bytes, roughly: two tuples, a dict, an entry of the ordered dict.
_OVERHEAD = 1_000


def key_of(call: Call[Any], principal: Principal | None) -> Key:
    """The key under which an answer is cached. It has the principal's rights, because a token with fewer of them may
    get another answer; the tags, because an entry stored without a tag is not invalidated by it; and
    the lifetimes, because another call may require a newer answer."""
    whose = None if principal is None or call.shared else principal.rights
    body = None if call.body is None else hashlib.sha256(call.body).hexdigest()
    asked = (call.method, call.path, call.query, body, call.headers)
    return call.owner.service, asked, call.takes, call.tags, (call.freshness, call.swr, call.sie), whose


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A cached answer.

    headers     the headers needed to decode it and to compute its lifetime; lower-case names
    body        bytes
    since       Unix seconds at which the upstream made it (the time of the request minus the answer's Age)
    fresh       seconds from `since` in which it is fresh; swr, sie: further seconds after that (RFC 5861)
    keep        seconds from `since` after which it is useless, even for a revalidation by its ETag
    seen        time of Redis' clock before the request was sent, in microseconds; the stamps of changes use this clock
    """

    headers: Mapping[str, str]
    body: bytes
    since: float
    fresh: float
    swr: float
    sie: float
    keep: float
    seen: int

    @property
    def cost(self) -> int:
        """Its size in the cache, in bytes."""
        return (
            len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items()) + _OVERHEAD
        )

    def age(self, now: float) -> float:
        """Seconds since the upstream made it, never negative, also when the clock was set back."""
        return max(0.0, now - self.since)

    def left(self, now: float) -> float:
        """Seconds for which it stays fresh. Its age counts in whole seconds, as in HTTP (RFC 9111 section 1.2.2)."""
        return max(0.0, self.fresh - int(self.age(now)))

    def freshness(self, now: float) -> Freshness:
        """``fresh``: serve it; ``revalidate``: serve it and fetch a new one; ``error``: serve it only when the call
        fails; ``expired``: do not serve it."""
        age = self.age(now)
        if age < self.fresh:
            return "fresh"
        if age < self.fresh + self.swr:
            return "revalidate"
        return "error" if age < self.fresh + self.sie else "expired"

    def usable_on_error(self, now: float) -> bool:
        """Whether it may be served when the call fails."""
        return self.age(now) < self.fresh + max(self.swr, self.sie)

    def conditions(self) -> dict[str, str]:
        """Headers of a conditional request that asks whether it is still valid (RFC 9110 section 13.1)."""
        etag, modified = self.headers.get("etag"), self.headers.get("last-modified")
        if etag:
            return {"if-none-match": etag}
        return {"if-modified-since": modified} if modified else {}


@lru_cache(maxsize=1024)
def directives(header: str) -> Mapping[str, str]:
    """The directives of a Cache-Control header with their arguments. The first of two equal names counts (RFC 9111
    section 4.2.1); `private="x"` and `no-cache="x"` count as `private` and `no-cache`, which is stricter."""
    found: dict[str, str] = {}
    for match in _DIRECTIVE.finditer(header.lower()):
        name, quoted, plain = match.groups()
        found.setdefault(name, quoted if quoted is not None else plain or "")
    return MappingProxyType(found)


def _seconds(control: Mapping[str, str], name: str) -> float | None:
    """A directive's seconds, None when it is missing. A value that is not a number counts as 0: stale at once."""
    if name not in control:
        return None
    value = control[name]
    return min(float(value), MAX_LIFETIME) if value.isascii() and value.isdigit() else 0.0


def _timestamp(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _lifetime(headers: Mapping[str, str], control: Mapping[str, str], shared: bool) -> float | None:
    """The freshness lifetime in seconds that the upstream grants (RFC 9111 section 4.2.1), None without a header."""
    lifetime = _seconds(control, "s-maxage") if shared else None
    if lifetime is None:
        lifetime = _seconds(control, "max-age")
    if lifetime is None and "expires" in headers:
        until, made = _timestamp(headers["expires"]), _timestamp(headers.get("date"))
        lifetime = max(0.0, until - made) if until is not None and made is not None else 0.0
    return lifetime


def _granted(declared: float | None, upstream: float | None) -> float:
    """The smaller of the declared seconds and the upstream's; without a declaration the upstream's, otherwise 0."""
    if declared is None:
        return upstream or 0.0
    return declared if upstream is None else min(declared, upstream)


@lru_cache(maxsize=1024)
def _each_time(vary: str) -> bool:
    return bool({name.strip().lower() for name in vary.split(",")} & _EACH_TIME)


def public_by(headers: Mapping[str, str]) -> bool:
    """Whether the upstream allows a shared cache to store the answer: `Call.public` does not override `private`."""
    control = directives(headers.get("cache-control", ""))
    return "private" not in control and "no-store" not in control


def entry_of(
    call: Call[Any], headers: Mapping[str, str], body: bytes, *, asked_at: float, seen: int
) -> CacheEntry | None:
    """The answer as an entry, None when it must not be cached.

    headers   the headers of a 200; lower-case names
    asked_at  Unix seconds before the request was sent; the age counts from then, because the answer may be that old
    seen      see `CacheEntry`
    """
    control = directives(headers.get("cache-control", ""))
    if call.freshness is None or "no-store" in control or ("vary" in headers and _each_time(headers["vary"])):
        return None
    if call.shared and "private" in control:
        return None
    granted = _lifetime(headers, control, call.shared)
    fresh = call.freshness if granted is None else min(call.freshness, granted)
    swr = _granted(call.swr, _seconds(control, "stale-while-revalidate"))
    sie = _granted(call.sie, _seconds(control, "stale-if-error"))
    never_stale = _SHARED_NEVER_STALE if call.shared else _NEVER_STALE
    if not never_stale.isdisjoint(control):
        swr = sie = 0.0
    if "no-cache" in control:
        fresh = 0.0
    since = asked_at
    if "age" in headers and (age := headers["age"].strip()).isascii() and age.isdigit():
        since -= min(float(age), MAX_LIFETIME)
    # An expired entry with a validator is still useful for a conditional request.
    confirmed = call.freshness if headers.get("etag") or headers.get("last-modified") else 0.0
    keep = fresh + max(swr, sie, confirmed)
    if keep <= 0:
        return None
    stored = {name: headers[name] for name in (*_STORED_HEADERS, *call.takes) if name in headers}
    return CacheEntry(stored, body, since, fresh, swr, sie, keep, seen)


def renewed(
    call: Call[Any], entry: CacheEntry, headers: Mapping[str, str], *, asked_at: float, seen: int
) -> CacheEntry | None:
    """The entry after a 304, whose headers replace the stored ones (RFC 9111 section 4.3.4) except the content type;
    None when it must not be cached any longer."""
    fields = {name: value for name, value in headers.items() if name != "content-type"}
    merged = {**entry.headers, **fields}
    if "date" in fields and "expires" not in fields:
        # The stored Expires was relative to the stored Date, which is replaced.
        merged.pop("expires", None)
    return entry_of(call, merged, entry.body, asked_at=asked_at, seen=seen)


class Lru:
    """Entries by key, bounded in bytes. max_bytes: of all entries by `CacheEntry.cost`; beyond it the least recently
    used ones are dropped. max_entry: bytes of one entry; a larger one is not stored."""

    def __init__(self, max_bytes: int, max_entry: int) -> None:
        self.max_bytes = max_bytes
        self.max_entry = min(max_entry, max_bytes)
        self.bytes = 0
        self._entries: OrderedDict[Key, CacheEntry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> CacheEntry | None:
        """The entry, which is then the most recently used one."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: CacheEntry) -> bool:
        """Store an entry; False when it is too large. An earlier entry of the key is removed in both cases, because it
        is older."""
        self.discard(key)
        cost = entry.cost
        if cost > self.max_entry:
            return False
        self._entries[key] = entry
        self.bytes += cost
        while self.bytes > self.max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.bytes -= dropped.cost
        return True

    def discard(self, key: Key) -> None:
        """Remove the entry of this key, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.cost

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self.bytes = 0
