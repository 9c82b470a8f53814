"""What makes two commands the same, the stored key and the fingerprint, and what of an answer is kept. Pure.

Every part is length-prefixed before it is hashed, so that no two different lists of parts read alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

REPLAYED_HEADERS = frozenset(
    {"content-type", "content-language", "etag", "last-modified", "link", "location"}
)
"""Headers that say something of the command; all others say something of one answer to it."""


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def key_hash(*, issuer: str, subject: str, client: str, method: str, route: str, key: str) -> str:
    """Under which a command is stored: one person's key on one route is nobody else's (64 hex digits)."""
    return _digest(part.encode() for part in (issuer, subject, client, method, route, key))


def fingerprint(*, method: str, raw_path: bytes, query: bytes, content_type: str, body: bytes) -> str:
    """What must be equal for a repeat to be the same command (64 hex digits)."""
    return _digest((method.encode(), raw_path, query, content_type.encode(), body))


def replayed_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers that a replay repeats. Names in lower case."""
    return tuple((name, value) for name, value in headers.items() if name in REPLAYED_HEADERS)
