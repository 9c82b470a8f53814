"""The stored key and the fingerprint of a command, by which a repeat is recognised, and the headers of its stored
answer (IETF draft "The Idempotency-Key HTTP Header Field"). Pure.

The length of every part is hashed before the part, so that two different lists of parts never give the same hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

REPLAYED_HEADERS = frozenset(
    {"content-type", "content-language", "etag", "last-modified", "link", "location"}
)
"""Response headers that are stored with the outcome and sent again in a replay. All others belong to one response."""


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def key_hash(*, issuer: str, subject: str, client: str, method: str, route: str, key: str) -> str:
    """The key under which a command is stored (64 hex digits): the same idempotency key of another user, client or
    route gives another one."""
    return _digest(part.encode() for part in (issuer, subject, client, method, route, key))


def fingerprint(*, method: str, raw_path: bytes, query: bytes, content_type: str, body: bytes) -> str:
    """The hash of the request (64 hex digits), which must be equal for a repeat of the same command."""
    return _digest((method.encode(), raw_path, query, content_type.encode(), body))


def replayed_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers that a replay repeats. Names in lower case."""
    return tuple((name, value) for name, value in headers.items() if name in REPLAYED_HEADERS)
