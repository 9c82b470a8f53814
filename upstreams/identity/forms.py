"""Forms that only the browser that was shown them can send back.

Promises a token bound to the browser's flow cookie, to the authorization request it answers and to a time
limit; nothing is kept on the server for a page that was merely looked at. Refuses a token from another browser,
for another request, or past its time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable

COOKIE = "identity_flow"
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{32,64}")


def browser_id(cookie: str | None) -> str:
    """The browser's flow id: the cookie it sent, or a new one."""
    return cookie if cookie and _COOKIE_VALUE.fullmatch(cookie) else secrets.token_urlsafe(32)


class FormTokens:
    """Signs and checks `csrf` fields; `seconds` is how long a form stays good."""

    def __init__(self, secret: bytes, *, seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._seconds = seconds
        self._clock = clock

    def sign(self, browser: str, request: str) -> str:
        until = int(self._clock()) + self._seconds
        return f"{until}.{self._mac(until, browser, request)}"

    def check(self, token: str, browser: str | None, request: str) -> bool:
        """True when this browser was shown the form of this request within the time limit."""
        until, _, mac = token.partition(".")
        if browser is None or not until.isascii() or not until.isdigit() or len(until) > 12:
            return False
        same = hmac.compare_digest(mac.encode(), self._mac(int(until), browser, request).encode())
        return same and int(until) >= self._clock()

    def _mac(self, until: int, browser: str, request: str) -> str:
        message = "\0".join((str(until), browser, request)).encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
