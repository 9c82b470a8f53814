"""What an identity provider says about itself (OpenID Connect Discovery 1.0), fetched once and kept.

Promises that the document names exactly the issuer that was asked, and that an https issuer never sends anyone to a
plain http address. Single flight; a failure is remembered for a second, or for a minute while there is a document; a
good one serves for an hour and, while the provider is away, for as long as the process lives.
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
"""Seconds a document is used before it is asked for again."""

RETRY = 1.0
"""Seconds between two attempts while there is no document."""

AGAIN = 60.0
"""Seconds until the next attempt when an old document could not be replaced."""


class Discovery:
    """The document of one issuer. `issuer` is compared character by character (section 4.3)."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock = time.monotonic) -> None:
        self.issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._document: Mapping[str, Any] | None = None
        self._due_at = float("-inf")
        self._why = "not asked yet"
        self._state = "unknown"

    @property
    def state(self) -> str:
        """`up`, `away`, or `unknown` while nobody has asked: as of the last attempt."""
        return self._state

    async def endpoint(self, name: str) -> str:
        """The address under `name`, for example `token_endpoint`. Raises FetchFailed when there is none."""
        value = (await self.document()).get(name)
        if not isinstance(value, str) or not self._acceptable(value):
            raise FetchFailed(f"{self.issuer} names no usable {name}")
        return value

    async def document(self) -> Mapping[str, Any]:
        """The whole document. Raises FetchFailed when there is none yet and none can be had."""
        if self._clock() >= self._due_at:
            async with self._lock:
                await self._ask()
        if self._document is None:
            raise FetchFailed(self._why)
        return self._document

    async def _ask(self) -> None:
        now = self._clock()
        # Whoever waited for the lock finds the answer of the one before.
        if now < self._due_at:
            return
        self._due_at = now + (RETRY if self._document is None else AGAIN)
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            status, _, body = await self._fetch(url)
            self._document = self._read(status, body)
            self._due_at, self._state = now + FRESH, "up"
        except FetchFailed as error:
            self._why, self._state = str(error), "away"
        except asyncio.CancelledError:
            # Nobody learned anything: the next one in line asks at once.
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
