"""Who asks: the request's bearer token or session cookie, made a Principal.

Promises that a bearer token wins over a cookie and that a bad one is a 401, never a reason to look at the cookie. Two
Authorization headers are a 401, two session cookies are nobody: which of them was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from ...calls import Principal
from .jwt import TokenVerifier, invalid_token
from .session import COOKIE, Sessions

Headers = Iterable[tuple[bytes, bytes]]


def cookies(headers: Headers) -> list[tuple[str, str]]:
    """Every cookie of the request in its order, from every Cookie header; names may repeat."""
    found: list[tuple[str, str]] = []
    for name, value in headers:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, sign, content = pair.strip().partition("=")
                if sign:
                    found.append((key, content))
    return found


def cookie(headers: Headers, name: str) -> str | None:
    """The cookie of this name; None when there is none or more than one."""
    values = [value for key, value in cookies(headers) if key == name]
    return values[0] if len(values) == 1 else None


class Authenticator:
    """`await authenticator(scope)` gives the Principal, None for nobody, or raises Problem 401 or 503.

    sessions  None: there is no browser sign-in, cookies mean nothing
    """

    def __init__(self, verifier: TokenVerifier, sessions: Sessions | None) -> None:
        self._verifier = verifier
        self._sessions = sessions

    async def __call__(self, scope: MutableMapping[str, Any]) -> Principal | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        credentials = [value for name, value in headers if name == b"authorization"]
        if credentials:
            return await self._verifier.verify(_bearer(credentials))
        if self._sessions is None:
            return None
        safe = scope["method"] in ("GET", "HEAD", "OPTIONS")
        return await self._sessions.principal(cookie(headers, COOKIE), safe=safe)


def _bearer(credentials: list[bytes]) -> str:
    if len(credentials) > 1:
        raise invalid_token("there are two Authorization headers")
    scheme, _, token = credentials[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise invalid_token("only the Bearer scheme is taken here")
    return token.strip(" ")
