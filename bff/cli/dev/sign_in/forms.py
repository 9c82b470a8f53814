"""Forms that only the browser which was shown them can send back.

Guarantees that a form's `csrf` field is bound to the browser's cookie, to what the form is for and to a time limit;
nothing is stored for a page that was only looked at. Refuses a field from another browser, for another purpose, or
past its time.
"""

from __future__ import annotations

import hashlib
import re
import secrets

import jwt

COOKIE = "bff.sign_in"
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{32,64}")


class Forms:
    """secret: signs the fields; seconds: how long a form can be sent back."""

    def __init__(self, secret: bytes, seconds: int) -> None:
        self._secret = secret
        self.seconds = seconds

    @staticmethod
    def browser(cookie: str | None) -> str:
        """The browser's id: the cookie that it sent, or a new one."""
        return cookie if cookie and _COOKIE_VALUE.fullmatch(cookie) else secrets.token_urlsafe(32)

    def sign(self, browser: str, purpose: str, now: int) -> str:
        """The `csrf` field of a form."""
        claims = {"exp": now + self.seconds, "browser": browser, "for": _digest(purpose)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def is_own(self, field: str, browser: str | None, purpose: str, now: int) -> bool:
        """Whether this browser was shown this form within the time limit."""
        try:
            claims = jwt.decode(field, self._secret, algorithms=["HS256"], options={"verify_exp": False})
            fresh = int(claims["exp"]) >= now
        except (jwt.PyJWTError, ValueError, KeyError, TypeError):
            return False
        return (
            fresh
            and browser is not None
            and (claims.get("browser"), claims.get("for")) == (browser, _digest(purpose))
        )


def _digest(purpose: str) -> str:
    return hashlib.sha256(purpose.encode()).hexdigest()
