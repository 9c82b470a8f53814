"""The caller's `tracestate`, by W3C Trace Context level 2 (section 3.3).

OpenTelemetry reads it by level 1: it drops the whole list where a key has an `@` in another position, where a key is
repeated, or where the list is long. Such a list is used here: of members with the same key the first, which is the
newest, and of a list that is too long whole members (section 3.3.1.5). A malformed list is dropped as a whole, and the
trace goes on without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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


class TraceMembers(dict[str, str], TraceState):  # type: ignore[misc]  # `update` is that of a dictionary
    """Members by key, the newest first. A dictionary, because the storage of OpenTelemetry's TraceState takes only keys
    of level 1. OpenTelemetry reads the members and writes the header; it changes no list that it was given."""

    def to_header(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.items())


def trace_members(fields: Iterable[bytes]) -> TraceMembers:
    """The members of all `tracestate` fields of a request, in their order; none when one of them is malformed or they
    are more than 32."""
    parts = [part.strip(" \t") for field in fields for part in field.decode("latin-1").split(",")]
    # Empty members are allowed: a proxy that joins fields makes some.
    found = [part for part in parts if part]
    if len(found) > MEMBERS or not all(map(_MEMBER.fullmatch, found)):
        return TraceMembers()
    members = TraceMembers()
    for member in found:
        key, _, value = member.partition("=")
        members.setdefault(key, value)
    _shorten(members)
    return members


def _shorten(members: TraceMembers) -> None:
    size = len(members.to_header())
    for most in (LONG, 0):
        for key, value in reversed(list(members.items())):
            length = len(key) + len("=") + len(value)
            if size > MOST and length > most:
                del members[key]
                size -= length + len(",")
