"""Messages from outside with a proof of their source: POST /bff/changes/{source} and POST /bff/events/{source}.

Signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, a list of
`v1,<Base64 of HMAC-SHA256 over "id.timestamp.body">`, compared in constant time over the raw bytes. A message whose
time differs by more than its source's window is refused. A source of changes that cannot sign sends its secret in a
header instead, where its settings say so (`proof`); a signature is not accepted there, nor a token elsewhere. Every
refusal has the same text, so that it does not show which sources exist. A message is answered 204 when all of it has
taken effect; a sender that gets another answer sends it again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from ...live.ingest.http_binding import BadMessage, events_of, signed_part
from ...stores.events import BrokerEvent
from ...stores.progress import Deliveries
from ..declared import CHANGES, EVENTS
from ..http.request import BodyReader
from ..problem import Problem
from ..respond import NO_STORE
from ..settings.events import EventSourceSettings, SignedSettings, WebhookSettings, key_of
from .guard import Access, Guard

S = TypeVar("S", bound=SignedSettings)

MAX_SIGNATURES = 5
"""Signatures of one header that are checked: a sender that changes its secret signs with the old and the new one."""

_CHANGES = Access(CHANGES, anonymous=True)
# The limit is for one address: a service sends the events of all its users.
_EVENTS = Access(EVENTS, anonymous=True, limit="6000/minute")


def sign(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """The signature of one message, without its version."""
    signed = b".".join((id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def verified(source: S | None, headers: Mapping[str, str], body: bytes, now: float) -> S:
    """The source that sent this message. source: None where no source has this name; headers: by names in lower case;
    body: all that is signed; now: Unix seconds. Raises Problem 401."""
    if source is None or not _is_genuine(source, headers, body, now):
        raise Problem(
            401,
            "invalid-signature",
            "Sign the raw body with the source's secret, and send it within its window of time. A source whose proof "
            "is a token sends its secret in the header of its settings.",
            headers={"www-authenticate": 'Signature realm="bff"'},
        )
    return source


def _is_genuine(source: SignedSettings, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    if isinstance(source, WebhookSettings) and source.proof == "token":
        return _has_token(source, headers)
    return _is_signed(source, headers, body, now)


def _has_token(source: WebhookSettings, headers: Mapping[str, str]) -> bool:
    given = headers.get(source.header, "")
    scheme, _, token = given.partition(" ")
    token = token.strip(" ") if scheme.lower() == "bearer" else given
    expected = source.secret.get_secret_value()
    return hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace"))


def _is_signed(source: SignedSettings, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(id) <= 256 or not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 15:
        return False
    expected = b"v1," + sign(key_of(source.secret.get_secret_value()), id, timestamp, body).encode()
    given = headers.get("webhook-signature", "").split()[:MAX_SIGNATURES]
    # All are compared, so a wrong one takes the same time whatever it is.
    matches = [hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in given]
    return any(matches) and abs(now - int(timestamp)) <= source.window


async def changes(
    request: Request,
    *,
    guard: Guard,
    body: BodyReader,
    sources: Mapping[str, WebhookSettings],
    deliveries: Deliveries,
    on_change: Callable[[Sequence[str]], Awaitable[None]],
) -> Response:
    """POST /bff/changes/{source}: a source outside, such as a headless CMS, reports that something has changed.

    A signed delivery takes effect once; one with a token has no id and takes effect each time. on_change: invalidates
    tags on every gateway.
    """
    await guard.admit_limited(request.scope, _CHANGES)
    content = await body(request.scope, request.receive)
    source, headers = request.path_params["source"], _headers(request.scope)
    settings = verified(sources.get(source), headers, content, time.time())
    tags = tags_in(content, settings)
    # A message with a token has no id.
    id = headers["webhook-id"] if settings.proof == "signature" else None
    if tags and id is None:
        await on_change(tags)
    elif tags and id is not None and not await deliveries.is_recorded(source, id):
        await on_change(tags)
        # Recorded afterwards: after a crash in between, the message takes effect twice, and is never lost.
        await deliveries.record(source, id, 2 * settings.window)
    return Response(status_code=204, headers=NO_STORE)


async def events(
    request: Request,
    *,
    guard: Guard,
    body: BodyReader,
    sources: Mapping[str, EventSourceSettings],
    on_event: Callable[[BrokerEvent], Awaitable[Any]],
) -> Response:
    """POST /bff/events/{source}: CloudEvents over HTTP, structured, binary or a batch (`live.ingest.http_binding`).

    Answered when every event is stored or among the dead letters; a repeated one changes nothing. OPTIONS answers the
    validation handshake of CloudEvents' Web Hooks 1.0 (section 4): an origin that the source's settings name is
    granted the source's rate at most. For any other origin, and for a source that does not exist, the answer is the
    same and grants nothing. on_event: stores one event.
    """
    await guard.admit_limited(request.scope, _EVENTS)
    source, headers = request.path_params["source"], _headers(request.scope)
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=NO_STORE | _grant(sources.get(source), headers))
    content = await body(request.scope, request.receive)
    verified(sources.get(source), headers, signed_part(headers, content), time.time())
    try:
        found = events_of(headers, content)
    except BadMessage as error:
        raise Problem(error.status, error.code, str(error)) from None
    for number, event in enumerate(found):
        await on_event(BrokerEvent(source, f"{headers['webhook-id']}/{number}", event, "webhook"))
    return Response(status_code=204, headers=NO_STORE)


def tags_in(body: bytes, settings: WebhookSettings) -> list[str]:
    """The tags of what a message reports as changed; none for a kind of event that changes nothing. Raises Problem 400
    for one that names none."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid-request", "The body is not JSON.") from None
    if settings.events and _text_at(document, settings.event) not in settings.events:
        return []
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
    """The request's headers by their names in lower case; the last value of a repeated header."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _grant(source: EventSourceSettings | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that answer the handshake. source: None where no source has this name."""
    answer = {"allow": "POST"}
    origin = headers.get("webhook-request-origin", "").lower()
    if source is not None and origin in source.origins:
        asked = headers.get("webhook-request-rate", "")
        rate = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 9 else source.rate
        answer["webhook-allowed-origin"] = origin
        answer["webhook-allowed-rate"] = str(max(1, min(rate, source.rate)))
    return answer
