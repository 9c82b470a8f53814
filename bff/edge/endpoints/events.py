"""POST /bff/events/{source}: CloudEvents over HTTP from a source that signs them.

Structured, binary or a batch (see `live.ingest.http_binding`), signed as `signed` says, over `signed_part`. It is
answered 204 when every event is in its place or set aside among the dead letters, so that a sender that gets anything
else sends all again: a repeat changes nothing. OPTIONS answers the validation handshake of CloudEvents' Web Hooks 1.0
(section 4): only an origin that the source's settings name is granted, and at most the source's rate; for any other
origin, and for a source that does not exist, the answer is the same and grants nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from ...live.ingest.http_binding import BadMessage, events_of, signed_part
from ...stores.events import BrokerEvent
from ..http.request import BodyReader
from ..problem import Problem
from ..respond import send_empty
from ..settings.events import EventSourceSettings
from .signed import Senders, headers_of

# Messages from one address: a service sends for all its users.
LIMIT = "6000/minute"


class EventsEndpoint:
    """An ASGI endpoint for every source. take: puts one event where it belongs; clock: Unix seconds."""

    def __init__(
        self,
        body: BodyReader,
        sources: Mapping[str, EventSourceSettings],
        take: Callable[[BrokerEvent], Awaitable[Any]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._body = body
        self._sources = sources
        self._take = take
        self._senders = Senders(sources, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        source = scope["path_params"]["source"]
        if scope["method"] == "OPTIONS":
            await send_empty(send, _consent(self._sources.get(source), headers))
            return
        body = await self._body(scope, receive)
        id, _ = self._senders.verified(source, headers, signed_part(headers, body))
        try:
            events = events_of(headers, body)
        except BadMessage as error:
            raise Problem(error.status, error.code, str(error)) from None
        for number, event in enumerate(events):
            await self._take(BrokerEvent(source, f"{id}/{number}", event, "webhook"))
        await send_empty(send)


def _consent(source: EventSourceSettings | None, headers: dict[str, str]) -> dict[str, str]:
    """What the handshake's answer grants. source: None where there is none of this name."""
    answer = {"allow": "POST"}
    origin = headers.get("webhook-request-origin", "").lower()
    if source is not None and origin in source.origins:
        asked = headers.get("webhook-request-rate", "")
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 9 else source.rate
        answer["webhook-allowed-origin"] = origin
        answer["webhook-allowed-rate"] = str(max(1, min(number, source.rate)))
    return answer
