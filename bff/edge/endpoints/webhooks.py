"""Signed messages from outside: POST /bff/changes/{source} and POST /bff/events/{source}.

Signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, a list of
`v1,<Base64 of HMAC-SHA256 over "id.timestamp.body">`, compared in constant time over the raw bytes. A message whose
time differs by more than its source's window is refused. Every refusal has the same words, so that nobody learns which
sources exist. A message is answered 204 when all of it has taken effect; a sender that gets anything else sends it
again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from starlette.types import Receive, Scope, Send

from ...live.ingest.http_binding import BadMessage, events_of, signed_part
from ...stores.events import BrokerEvent
from ...stores.progress import Deliveries
from ..declared import CHANGES, EVENTS
from ..http.request import BodyReader
from ..problem import Problem
from ..respond import send_empty
from ..settings.events import EventSourceSettings, SignedSettings, WebhookSettings, key_of
from .guard import Access, Guard

S = TypeVar("S", bound=SignedSettings)

MAX_SIGNATURES = 5
"""Signatures of one header that are checked: a sender that changes its secret signs with the old and the new one."""

EVENTS_LIMIT = "6000/minute"
"""Messages with events from one address: a service sends for all its users."""


def sign(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """The signature of one message, without its version."""
    signed = b".".join((id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Sources(Generic[S]):
    """The sources that may send to an endpoint, by name. clock: Unix seconds."""

    def __init__(self, settings: Mapping[str, S], clock: Callable[[], float]) -> None:
        self._sources = {name: (key_of(one.secret.get_secret_value()), one) for name, one in settings.items()}
        self._clock = clock

    def verify(self, source: str, headers: Mapping[str, str], body: bytes) -> tuple[str, S]:
        """The message's id and its source's settings. headers: names in lower case; body: all that is signed.

        Raises Problem 401.
        """
        known = self._sources.get(source)
        if known is None or not self._is_genuine(*known, headers, body):
            raise Problem(
                401,
                "invalid-signature",
                "Sign the raw body with the source's secret, and send it within its window of time.",
                headers={"www-authenticate": 'Signature realm="bff"'},
            )
        return headers["webhook-id"], known[1]

    def _is_genuine(self, key: bytes, settings: S, headers: Mapping[str, str], body: bytes) -> bool:
        id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not 0 < len(id) <= 256 or not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 15:
            return False
        expected = b"v1," + sign(key, id, timestamp, body).encode()
        given = headers.get("webhook-signature", "").split()[:MAX_SIGNATURES]
        # All are compared, so a wrong one takes the same time whatever it is.
        matches = [hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in given]
        return any(matches) and abs(self._clock() - int(timestamp)) <= settings.window


class ChangesEndpoint:
    """POST /bff/changes/{source}: a source outside, such as a headless CMS, reports that something has changed.

    One delivery takes effect once. on_change: invalidates tags on every gateway; clock: Unix seconds.
    """

    def __init__(
        self,
        guard: Guard,
        body: BodyReader,
        sources: Mapping[str, WebhookSettings],
        deliveries: Deliveries,
        on_change: Callable[[Sequence[str]], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard = guard
        self._access = Access(CHANGES, anonymous=True)
        self._body = body
        self._sources = Sources(sources, clock)
        self._deliveries = deliveries
        self._on_change = on_change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard.admit_limited(scope, self._access)
        body = await self._body(scope, receive)
        source = scope["path_params"]["source"]
        id, settings = self._sources.verify(source, _headers(scope), body)
        tags = tags_in(body, settings)
        if not await self._deliveries.is_recorded(source, id):
            await self._on_change(tags)
            # Recorded afterwards: after a crash in between the message takes effect twice, never not at all.
            await self._deliveries.record(source, id, 2 * settings.window)
        await send_empty(send)


class EventsEndpoint:
    """POST /bff/events/{source}: CloudEvents over HTTP, structured, binary or a batch (`live.ingest.http_binding`).

    Answered when every event is stored or among the dead letters; a repeated one changes nothing. OPTIONS answers the
    validation handshake of CloudEvents' Web Hooks 1.0 (section 4): an origin that the source's settings name is
    granted the source's rate at most. For any other origin, and for a source that does not exist, the answer is the
    same and grants nothing. on_event: stores one event; clock: Unix seconds.
    """

    def __init__(
        self,
        guard: Guard,
        body: BodyReader,
        sources: Mapping[str, EventSourceSettings],
        on_event: Callable[[BrokerEvent], Awaitable[Any]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard = guard
        self._access = Access(EVENTS, anonymous=True, limit=EVENTS_LIMIT)
        self._body = body
        self._settings = sources
        self._sources = Sources(sources, clock)
        self._on_event = on_event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard.admit_limited(scope, self._access)
        headers = _headers(scope)
        source = scope["path_params"]["source"]
        if scope["method"] == "OPTIONS":
            await send_empty(send, _grant(self._settings.get(source), headers))
            return
        body = await self._body(scope, receive)
        id, _ = self._sources.verify(source, headers, signed_part(headers, body))
        try:
            events = events_of(headers, body)
        except BadMessage as error:
            raise Problem(error.status, error.code, str(error)) from None
        for number, event in enumerate(events):
            await self._on_event(BrokerEvent(source, f"{id}/{number}", event, "webhook"))
        await send_empty(send)


def tags_in(body: bytes, settings: WebhookSettings) -> list[str]:
    """The tags of what a message reports as changed. Raises Problem 400 when it names none."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid-request", "The body is not JSON.") from None
    tag = _text_at(document, settings.tag)
    if tag is None:
        raise Problem(400, "invalid-request", f"There is no text at {settings.tag} to be a tag.")
    subject = _text_at(document, settings.subject) if settings.subject else None
    return [tag] if subject is None else [tag, f"{tag}/{subject}"]


def _text_at(document: Any, path: str) -> str | None:
    for step in path.split("."):
        document = document.get(step) if isinstance(document, dict) else None
    if isinstance(document, int) and not isinstance(document, bool):
        return str(document)
    return document if isinstance(document, str) and document else None


def _headers(scope: Scope) -> dict[str, str]:
    """The request's headers by their lower-case names; of a repeated one the last counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _grant(source: EventSourceSettings | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that answer the handshake. source: None where there is none of this name."""
    answer = {"allow": "POST"}
    origin = headers.get("webhook-request-origin", "").lower()
    if source is not None and origin in source.origins:
        asked = headers.get("webhook-request-rate", "")
        rate = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 9 else source.rate
        answer["webhook-allowed-origin"] = origin
        answer["webhook-allowed-rate"] = str(max(1, min(rate, source.rate)))
    return answer
