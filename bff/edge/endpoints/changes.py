"""POST /bff/changes/{source}: a source outside, such as a headless CMS, says that something has changed.

Signed (see `signed`), and one delivery is taken once. It is answered only when the change has been told to every
gateway: a sender that gets anything but 2xx sends it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from ...stores.progress import Deliveries
from ..http.request import BodyReader
from ..problem import Problem
from ..respond import send_empty
from ..settings.cache import WebhookSettings
from .signed import Senders, headers_of


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


class ChangesEndpoint:
    """An ASGI endpoint for every source. changed: tells every gateway which tags are void; clock: Unix seconds."""

    def __init__(
        self,
        body: BodyReader,
        sources: Mapping[str, WebhookSettings],
        deliveries: Deliveries,
        changed: Callable[[Sequence[str]], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._body = body
        self._senders = Senders(sources, clock=clock)
        self._deliveries = deliveries
        self._changed = changed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._body(scope, receive)
        source = scope["path_params"]["source"]
        id, settings = self._senders.verified(source, headers_of(scope), body)
        tags = tags_in(body, settings)
        if not await self._deliveries.is_recorded(source, id):
            await self._changed(tags)
            # Noted when it is done: a crash in between lets it be done twice, never not at all.
            await self._deliveries.record(source, id, 2 * settings.window)
        await send_empty(send)
