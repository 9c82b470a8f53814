"""The caller's `baggage` (W3C Baggage): members whose keys the settings allow are passed on to services as they came.

A value is the caller's word: a browser may have made it up. Nothing here reads it. A list that is malformed in one
member loses that member. At most MEMBERS members with MOST characters in sum are passed on, the first ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

MEMBERS = 16
MOST = 2_048

# A key is a token (RFC 9110 section 5.6.2); values and properties are visible ASCII without delimiters.
_MEMBER = re.compile(
    r"(?P<key>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
    r"(?:[ \t]*;[ \t]*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+)*"
)


def allowed_baggage(fields: Iterable[bytes], allowed: Set[str]) -> str:
    """The members of all `baggage` fields of a request that are allowed, as one header; "" for none. Of members with
    the same key the first is used."""
    if not allowed:
        return ""
    members: dict[str, str] = {}
    size = 0
    for part in ",".join(field.decode("latin-1") for field in fields).split(","):
        member = part.strip(" \t")
        match = _MEMBER.fullmatch(member)
        if match is None or match["key"] not in allowed or match["key"] in members:
            continue
        size += len(member) + 1
        if size > MOST or len(members) == MEMBERS:
            break
        members[match["key"]] = member
    return ",".join(members.values())
