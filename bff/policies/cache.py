"""What a kept answer may still be used for: fresh, stale while a new one is fetched, stale instead of a failure. Pure.

The declaration (`Call.fresh`) is the upper bound; what the upstream says in Cache-Control, Age, Expires and Vary
(RFC 9111, RFC 5861) can only shorten or forbid. Without a word of the upstream the declaration holds. Nothing here
knows where entries lie; times are Unix seconds given by the caller.
"""

from __future__ import annotations

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
Key: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...], tuple[str, ...], Lifetimes, str | None]
"""Service, path, query, tags, how long the call lets it be kept, and whose it is (None: everybody's)."""

Freshness = Literal["fresh", "revalidate", "error", "expired"]

# What a request header of ours that differs each time would make of Vary: an answer for that one request alone.
_EACH_TIME = frozenset({"*", "x-correlation-id", "bff-deadline-ms", "traceparent", "tracestate"})
# Directives that forbid serving what is no longer fresh; in a shared cache more of them do.
_NEVER_STALE = frozenset({"must-revalidate", "no-cache"})
_SHARED_NEVER_STALE = _NEVER_STALE | {"proxy-revalidate", "s-maxage"}
_DIRECTIVE = re.compile(r'([a-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,"]+)))?')
_STORED_HEADERS = ("content-type", "etag", "last-modified", "cache-control", "expires", "date", "vary")
# What an entry takes beside its bytes, roughly: two tuples, a dict of headers, a place in the order.
_OVERHEAD = 1_000


def key_of(call: Call[Any], principal: Principal | None) -> Key:
    """What must be equal for an answer to be the same. A token of narrower scope, or of another client, is another
    asker though the person is the same; what was kept without a tag knows nothing of that tag's changes; and what one
    call lets be kept for long another may want newer."""
    whose = None
    if principal is not None and not call.shared:
        client = principal.claims.get("client_id", "")
        allowed = (*sorted(principal.scopes), "", *sorted(principal.roles))
        whose = "\n".join((principal.id, str(client), *allowed))
    return call.owner.service, call.path, call.query, call.tags, (call.freshness, call.swr, call.sie), whose


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A kept answer.

    headers     those that say how to decode it and how long it holds; lower-case names
    since       Unix seconds at which the upstream made it (our asking less its Age)
    fresh       seconds from `since`; swr, sie: further seconds from there
    keep        seconds from `since` after which it is of no use, not even to be confirmed by its ETag
    seen        the moment before it was asked for on the clock that changes are stamped with (microseconds)
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
        """Bytes it is counted as."""
        return (
            len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items()) + _OVERHEAD
        )

    def age(self, now: float) -> float:
        """Seconds since the upstream made it; a clock set back makes it young, never negative."""
        return max(0.0, now - self.since)

    def left(self, now: float) -> float:
        """Seconds it stays fresh; its age counts in whole ones, as in HTTP (RFC 9111 section 1.2.2)."""
        return max(0.0, self.fresh - int(self.age(now)))

    def freshness(self, now: float) -> Freshness:
        """What it may be used for."""
        age = self.age(now)
        if age < self.fresh:
            return "fresh"
        if age < self.fresh + self.swr:
            return "revalidate"
        return "error" if age < self.fresh + self.sie else "expired"

    def usable_on_error(self, now: float) -> bool:
        """Whether it may stand in for a failure now."""
        return self.age(now) < self.fresh + max(self.swr, self.sie)

    def conditions(self) -> dict[str, str]:
        """Headers that ask the upstream whether it still holds (RFC 9110 section 13.1)."""
        etag, modified = self.headers.get("etag"), self.headers.get("last-modified")
        if etag:
            return {"if-none-match": etag}
        return {"if-modified-since": modified} if modified else {}


@lru_cache(maxsize=1024)
def directives(header: str) -> Mapping[str, str]:
    """A Cache-Control header as names and arguments. Of a name said twice the first counts (RFC 9111 section 4.2.1);
    a qualified `private="x"` or `no-cache="x"` counts as the unqualified one, which is stricter."""
    found: dict[str, str] = {}
    for match in _DIRECTIVE.finditer(header.lower()):
        name, quoted, plain = match.groups()
        found.setdefault(name, quoted if quoted is not None else plain or "")
    return MappingProxyType(found)


def _seconds(said: Mapping[str, str], name: str) -> float | None:
    """A directive's seconds, None when it is not there; one that is no number means stale at once."""
    if name not in said:
        return None
    value = said[name]
    return min(float(value), MAX_LIFETIME) if value.isascii() and value.isdigit() else 0.0


def _moment(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _lifetime(headers: Mapping[str, str], said: Mapping[str, str], shared: bool) -> float | None:
    """Seconds the upstream grants (RFC 9111 section 4.2.1), None when it says nothing."""
    lifetime = _seconds(said, "s-maxage") if shared else None
    if lifetime is None:
        lifetime = _seconds(said, "max-age")
    if lifetime is None and "expires" in headers:
        until, made = _moment(headers["expires"]), _moment(headers.get("date"))
        lifetime = max(0.0, until - made) if until is not None and made is not None else 0.0
    return lifetime


def _granted(declared: float | None, said: float | None) -> float:
    """The declaration cut by the upstream's word; without a declaration that word alone."""
    if declared is None:
        return said or 0.0
    return declared if said is None else min(declared, said)


@lru_cache(maxsize=1024)
def _each_time(vary: str) -> bool:
    return bool({name.strip().lower() for name in vary.split(",")} & _EACH_TIME)


def public_by(headers: Mapping[str, str]) -> bool:
    """Whether the upstream lets everybody see the same answer: a declaration of ours does not outvote its `private`."""
    said = directives(headers.get("cache-control", ""))
    return "private" not in said and "no-store" not in said


def entry_of(
    call: Call[Any], headers: Mapping[str, str], body: bytes, *, asked_at: float, seen: int
) -> CacheEntry | None:
    """The answer as an entry, None when it may not be kept.

    headers   of a 200; lower-case names
    asked_at  Unix seconds before the request was sent; as of then the answer ages (it may have been made at once)
    """
    said = directives(headers.get("cache-control", ""))
    if call.freshness is None or "no-store" in said or ("vary" in headers and _each_time(headers["vary"])):
        return None
    if call.shared and "private" in said:
        return None
    granted = _lifetime(headers, said, call.shared)
    fresh = call.freshness if granted is None else min(call.freshness, granted)
    swr = _granted(call.swr, _seconds(said, "stale-while-revalidate"))
    sie = _granted(call.sie, _seconds(said, "stale-if-error"))
    never_stale = _SHARED_NEVER_STALE if call.shared else _NEVER_STALE
    if not never_stale.isdisjoint(said):
        swr = sie = 0.0
    if "no-cache" in said:
        fresh = 0.0
    since = asked_at
    if "age" in headers and (age := headers["age"].strip()).isascii() and age.isdigit():
        since -= min(float(age), MAX_LIFETIME)
    # With a validator even an old one saves the upstream's work.
    confirmed = call.freshness if headers.get("etag") or headers.get("last-modified") else 0.0
    keep = fresh + max(swr, sie, confirmed)
    if keep <= 0:
        return None
    stored = {name: headers[name] for name in _STORED_HEADERS if name in headers}
    return CacheEntry(stored, body, since, fresh, swr, sie, keep, seen)


def renewed(
    call: Call[Any], entry: CacheEntry, headers: Mapping[str, str], *, asked_at: float, seen: int
) -> CacheEntry | None:
    """The entry after the upstream confirmed it with a 304, whose headers replace those kept (RFC 9111 section
    4.3.4); None when it may be kept no longer. A 304 that says nothing of a body keeps the kept one's type."""
    fields = {name: value for name, value in headers.items() if name != "content-type"}
    merged = {**entry.headers, **fields}
    if "date" in fields and "expires" not in fields:
        # The kept one counted from a date that is no longer there.
        merged.pop("expires", None)
    return entry_of(call, merged, entry.body, asked_at=asked_at, seen=seen)


class Lru:
    """Entries by key, the least recently used dropped first. Full: `max_bytes` (by `CacheEntry.cost`); one larger than
    `max_entry` is not taken."""

    def __init__(self, max_bytes: int, max_entry: int) -> None:
        self.max_bytes = max_bytes
        self.max_entry = min(max_entry, max_bytes)
        self.bytes = 0
        self._entries: OrderedDict[Key, CacheEntry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> CacheEntry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: CacheEntry) -> bool:
        """False when it is too large; what lay there is then gone, too: it is older than what was refused."""
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
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.cost

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0
