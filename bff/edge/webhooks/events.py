"""POST /bff/events/{source}: CloudEvents over HTTP from a source that signs them.

Structured, binary or a batch (see `live.ingest.http_binding`), signed as `signed` says, over `signed_part`. It is
answered 204 when every event is in its place or set aside among the dead letters, so that a sender that gets anything
else sends all again: a repeat changes nothing. OPTIONS answers the validation handshake of CloudEvents' Web Hooks 1.0.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from ...live.ingest.http_binding import BadMessage, events_of, signed_part
from ...stores.events import BusEvent
from ..http.body import read_body
from ..problem import Problem
from ..respond import send_empty
from .signed import Senders, headers_of

if TYPE_CHECKING:
    from ..runtime import Runtime

ROUTE = "/bff/events/{source}"
# Messages from one address: a service sends for all its users.
LIMIT = "6000/minute"


class EventsRoute:
    """An ASGI endpoint for every source. clock: Unix seconds."""

    def __init__(self, runtime: Runtime, *, clock: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._senders = Senders(runtime.settings.events, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        if scope["method"] == "OPTIONS":
            await send_empty(send, _consent(headers))
            return
        runtime = self._runtime
        body = await read_body(scope, receive, runtime.settings)
        source = scope["path_params"]["source"]
        id, _ = self._senders.verified(source, headers, signed_part(headers, body))
        try:
            events = events_of(headers, body)
        except BadMessage as error:
            raise Problem(error.status, error.code, str(error)) from None
        for number, event in enumerate(events):
            await runtime.intake.take(BusEvent(source, f"{id}/{number}", event, "webhook"))
        await send_empty(send)


def _consent(headers: dict[str, str]) -> dict[str, str]:
    """Who asks may send: whether it is heard hangs on its signature alone."""
    answer = {"allow": "POST"}
    if origin := headers.get("webhook-request-origin"):
        answer["webhook-allowed-origin"] = origin
        answer["webhook-allowed-rate"] = headers.get("webhook-request-rate", "*")
    return answer
