"""The discovery document of an identity provider (OpenID Connect Discovery 1.0), fetched and cached.

Guarantees that the document names exactly the configured issuer, and that an https issuer never leads to a plain http
address. One fetch at a time. After a failure the next fetch comes a second later, or a minute later while there is a
document. A document is used for an hour, and while the provider is away for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...calls import Clock
from .fetch import Fetch, FetchFailed

FRESH = 3600.0
"""Seconds a document is used before it is fetched again."""

FIRST_RETRY = 1.0
"""Seconds between two fetches while there is no document."""

RETRY = 60.0
"""Seconds until the next fetch when an old document could not be replaced."""


class Discovery:
    """The document of one issuer, whose name is compared character by character (section 4.3).

    state  `up` or `away` as of the last fetch, `unknown` before the first
    """

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock = time.monotonic) -> None:
        self.issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._document: Mapping[str, Any] | None = None
        self._due_at = float("-inf")
        self._failure = "not fetched yet"
        self.state = "unknown"

    async def endpoint(self, name: str) -> str:
        """The address under `name`, for example `token_endpoint`. Raises FetchFailed when there is none."""
        value = (await self.document()).get(name)
        if not isinstance(value, str) or not self._acceptable(value):
            raise FetchFailed(f"{self.issuer} names no usable {name}")
        return value

    async def document(self) -> Mapping[str, Any]:
        """The whole document. Raises FetchFailed when there is none and none can be fetched."""
        if self._clock() >= self._due_at:
            async with self._lock:
                await self._ask()
        if self._document is None:
            raise FetchFailed(self._failure)
        return self._document

    async def _ask(self) -> None:
        now = self._clock()
        # A caller that waited for the lock uses the fetch of the one before.
        if now < self._due_at:
            return
        self._due_at = now + (FIRST_RETRY if self._document is None else RETRY)
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            status, _, body = await self._fetch(url)
            self._document = self._read(status, body)
            self._due_at, self.state = now + FRESH, "up"
        except FetchFailed as error:
            self._failure, self.state = str(error), "away"
        except asyncio.CancelledError:
            # The fetch has no result: the next caller fetches at once.
            self._due_at = float("-inf")
            raise

    def _read(self, status: int, body: bytes) -> Mapping[str, Any]:
        if status != 200:
            raise FetchFailed(f"{self.issuer} answered its discovery with {status}")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise FetchFailed(
                f"{self.issuer} answered its discovery with something that is not JSON"
            ) from None
        if not isinstance(document, dict) or document.get("issuer") != self.issuer:
            raise FetchFailed(f"the discovery document at {self.issuer} is another issuer's")
        return document

    def _acceptable(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        plain = parts.scheme == "http" and self.issuer.startswith("http:")
        return bool(parts.hostname) and (parts.scheme == "https" or plain)
