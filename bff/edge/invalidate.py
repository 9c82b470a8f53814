"""POST /bff/changes/{source}: a source outside, such as a headless CMS, says that something has changed.

Signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, a list of
`v1,<Base64 of HMAC-SHA256 over "id.timestamp.body">`, compared in constant time over the raw bytes. A message older or
younger than the window is refused, and one delivery is taken once within it. It is answered only when the change has
been told to every gateway: a sender that gets anything but 2xx sends it again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from .body import read_body
from .problem import Problem
from .settings_cache import key_of

if TYPE_CHECKING:
    from .runtime import Runtime
    from .settings_cache import WebhookSettings

ROUTE = "/bff/changes/{source}"
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


def tags_in(body: bytes, settings: WebhookSettings) -> list[str]:
    """What a message says has changed. Raises Problem 400 when it says nothing."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid-request", "The body is not JSON.") from None
    tag = _text(_at(document, settings.tag))
    if tag is None:
        raise Problem(400, "invalid-request", f"There is no text at {settings.tag} to be a tag.")
    subject = _text(_at(document, settings.subject)) if settings.subject else None
    return [tag] if subject is None else [tag, f"{tag}/{subject}"]


def _at(document: Any, path: str) -> Any:
    for step in path.split("."):
        document = document.get(step) if isinstance(document, dict) else None
    return document


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value else None


class ChangesRoute:
    """An ASGI endpoint for every source. clock: Unix seconds."""

    def __init__(self, runtime: Runtime, *, clock: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._clock = clock
        self._sources = {
            name: (key_of(one.secret.get_secret_value()), one)
            for name, one in runtime.settings.webhooks.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime
        body = await read_body(scope, receive, runtime.settings)
        known = self._sources.get(scope["path_params"]["source"])
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        id, timestamp = headers.get(b"webhook-id", ""), headers.get(b"webhook-timestamp", "")
        if known is None or not self._genuine(*known, id, timestamp, body, headers):
            # One answer for every reason: which sources there are is nobody's business.
            raise Problem(
                401,
                "invalid-signature",
                "Sign the raw body with the source's secret, and send it within its window of time.",
                headers={"www-authenticate": 'Signature realm="bff"'},
            )
        source, settings = scope["path_params"]["source"], known[1]
        tags = tags_in(body, settings)
        store = runtime.reads.store
        if not await store.told(source, id):
            await runtime.reads.changes.changed(tags)
            # Noted when it is done: a crash in between lets it be done twice, never not at all.
            await store.tell(source, id, 2 * settings.window)
        await send(
            {"type": "http.response.start", "status": 204, "headers": [(b"cache-control", b"no-store")]}
        )
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _genuine(
        self,
        key: bytes,
        settings: WebhookSettings,
        id: str,
        timestamp: str,
        body: bytes,
        headers: dict[bytes, str],
    ) -> bool:
        if (
            not 0 < len(id) <= 256
            or not timestamp.isascii()
            or not timestamp.isdigit()
            or len(timestamp) > 15
        ):
            return False
        if not signed_by(key, id, timestamp, body, headers.get(b"webhook-signature", "")):
            return False
        return abs(self._clock() - int(timestamp)) <= settings.window
