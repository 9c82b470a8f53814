"""The caller's `tracestate`, by W3C Trace Context level 2 (section 3.3).

OpenTelemetry reads it by level 1 and drops the whole list where a key has an `@` in another position, where a key is
repeated, or where the list is long. Here such a list is kept: of members with the same key the first, which is the
newest, and of a list that is too long whole members (section 3.3.1.5). A malformed list is dropped as a whole, and the
trace goes on without it.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView

from opentelemetry.trace import TraceState

MEMBERS = 32
"""Members a list may have; a longer one is malformed."""
MOST = 4_096
"""Characters that are passed on; beyond it members over LONG are left out first, then others, each from the end."""
LONG = 128

_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})"
    r"=(?P<value>[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)


class TraceMembers(TraceState):
    """OpenTelemetry's, whose own holds keys of level 1 only. entries: key and value, the newest first; with a key that
    comes twice the first counts."""

    def __init__(self, entries: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self._entries: dict[str, str] = {}
        for key, value in entries:
            self._entries.setdefault(key, value)

    def __contains__(self, item: object) -> bool:
        return item in self._entries

    def __getitem__(self, key: str) -> str:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> KeysView[str]:
        return self._entries.keys()

    def items(self) -> ItemsView[str, str]:
        return self._entries.items()

    def values(self) -> ValuesView[str]:
        return self._entries.values()

    def add(self, key: str, value: str) -> TraceMembers:
        return self if key in self._entries else self.update(key, value)

    def update(self, key: str, value: str) -> TraceMembers:
        """With this member in front, where a changed one belongs (section 3.4)."""
        if not _MEMBER.fullmatch(f"{key}={value}") or len(self._entries.keys() | {key}) > MEMBERS:
            return self
        return TraceMembers([(key, value), *self._entries.items()])

    def delete(self, key: str) -> TraceMembers:
        return TraceMembers((name, value) for name, value in self._entries.items() if name != key)

    def to_header(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self._entries.items())


def trace_members(fields: Iterable[bytes]) -> TraceMembers:
    """The members of all `tracestate` fields of a request, in their order; none when one of them is malformed or they
    are more than 32."""
    found: list[str] = []
    for field in fields:
        for part in field.decode("latin-1").split(","):
            member = part.strip(" \t")
            if not member:
                # Empty members are allowed: a proxy that joins fields makes some.
                continue
            found.append(member)
            if len(found) > MEMBERS or not _MEMBER.fullmatch(member):
                return TraceMembers()
    unique = TraceMembers((key, value) for key, _, value in (one.partition("=") for one in found))
    return TraceMembers(_shortened(list(unique.items())))


def _shortened(entries: list[tuple[str, str]]) -> list[tuple[str, str]]:
    def length(entry: tuple[str, str]) -> int:
        return len(entry[0]) + len(entry[1]) + 1

    size = sum(map(length, entries)) + max(0, len(entries) - 1)
    for most in (LONG, 0):
        for at in range(len(entries) - 1, -1, -1):
            if size <= MOST:
                return entries
            if length(entries[at]) > most:
                size -= length(entries.pop(at)) + 1
    return entries
