"""Messages from outside that are signed with a shared secret, as Standard Webhooks has it.

`webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, a list of `v1,<Base64 of HMAC-SHA256 over
"id.timestamp.body">`, compared in constant time over the raw bytes. A message older or younger than its source's window
is refused, and for every reason in the same words: which sources there are is nobody's business.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from starlette.types import Scope

from ..problem import Problem
from ..settings.events import SignedSettings, key_of

S = TypeVar("S", bound=SignedSettings)

# Signatures looked at in one header: while secrets are changed a sender signs with both.
MOST_SIGNATURES = 5


def sign(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """The signature of one message, without its version."""
    signed = b".".join((id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signed_by(key: bytes, id: str, timestamp: str, body: bytes, header: str) -> bool:
    """Whether one of the header's signatures is right. Takes the same time for every wrong one."""
    expected = b"v1," + sign(key, id, timestamp, body).encode()
    given = header.split()[:MOST_SIGNATURES]
    right = [hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in given]
    return any(right)


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by their lower-case names; the last one of a name counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


class Senders(Generic[S]):
    """The sources that may send to an address. clock: Unix seconds."""

    def __init__(self, sources: Mapping[str, S], *, clock: Callable[[], float] = time.time) -> None:
        self._sources = {name: (key_of(one.secret.get_secret_value()), one) for name, one in sources.items()}
        self._clock = clock

    def verified(self, source: str, headers: Mapping[str, str], body: bytes) -> tuple[str, S]:
        """The message's id and its source's settings. headers: lower case; body: all that is signed of it. Raises
        Problem 401."""
        known = self._sources.get(source)
        if known is None or not self._genuine(*known, headers, body):
            raise Problem(
                401,
                "invalid-signature",
                "Sign the raw body with the source's secret, and send it within its window of time.",
                headers={"www-authenticate": 'Signature realm="bff"'},
            )
        return headers["webhook-id"], known[1]

    def _genuine(self, key: bytes, settings: S, headers: Mapping[str, str], body: bytes) -> bool:
        id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not 0 < len(id) <= 256 or not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 15:
            return False
        if not signed_by(key, id, timestamp, body, headers.get("webhook-signature", "")):
            return False
        return abs(self._clock() - int(timestamp)) <= settings.window
