"""Forms that only the browser that was shown them can send back.

Promises a token bound to the browser's flow cookie, to the authorization request it answers and to a time
limit; nothing is kept on the server for a page that was merely looked at. Refuses a token from another browser,
for another request, or past its time.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time

import jwt

COOKIE = "identity_flow"
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{32,64}")


def browser_id(cookie: str | None) -> str:
    """The browser's flow id: the cookie it sent, or a new one."""
    return cookie if cookie and _COOKIE_VALUE.fullmatch(cookie) else secrets.token_urlsafe(32)


def sign_form(secret: bytes, browser: str, request: str, *, seconds: int) -> str:
    """The `csrf` field of a form that stays good for so long."""
    claims = {"exp": int(time.time()) + seconds, "browser": browser, "request": _digest(request)}
    return jwt.encode(claims, secret, algorithm="HS256")


def is_own_form(secret: bytes, token: str, browser: str | None, request: str) -> bool:
    """Whether this browser was shown the form of this request within the time limit."""
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["exp"]})
    except (jwt.PyJWTError, ValueError):
        return False
    return browser is not None and (claims["browser"], claims["request"]) == (browser, _digest(request))


def _digest(request: str) -> str:
    return hashlib.sha256(request.encode()).hexdigest()
