"""Changes told to whoever keeps copies, in the words of a headless content system: the delivery of the catalog's
outbox. Guarantees that each attempt is signed. Refuses to tell anything unsigned.

Signed as Standard Webhooks has it: HMAC-SHA256 over `id.timestamp.body` in Base64, with the time of each attempt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from bff_service import DeliveryFailed, Message, http_client, rfc3339

# Seconds between two attempts, at most.
LONGEST_PAUSE = 15.0
# All changes in one order.
KEY = "changes"


def signed(secret: str, id: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of one attempt."""
    stamp = str(int(now))
    mac = hmac.new(secret.encode(), b".".join((id.encode(), stamp.encode(), body)), hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac.digest()).decode()}",
    }


def updated(model: str, entry: Mapping[str, Any]) -> Message:
    """The message that this entry was updated."""
    body = {"event": "entry.update", "createdAt": rfc3339(datetime.now(UTC)), "model": model}
    return Message(str(uuid.uuid4()), KEY, json.dumps({**body, "entry": dict(entry)}).encode())


class Webhook:
    """Posts messages to `url`, each attempt within 3 s."""

    def __init__(self, url: str, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._client = http_client(timeout=3.0, connections=1)

    async def deliver(self, message: Message) -> None:
        headers = signed(self._secret, message.id, message.body, self._clock())
        try:
            answer = await self._client.post(self._url, content=message.body, headers=headers)
            answer.raise_for_status()
        except (httpx.HTTPError, OSError) as error:
            raise DeliveryFailed(repr(error)) from error

    async def close(self) -> None:
        await self._client.aclose()
