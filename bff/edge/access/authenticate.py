"""Authentication: makes a Principal of the request's bearer token or session cookie.

Guarantees that a bearer token is preferred to a cookie, and that an invalid one is a 401, never a reason to look at the
cookie. Two Authorization headers are a 401, and so are two session cookies: which of them was meant cannot be known, so
ours is removed. Cookie names are compared byte by byte. An invalid credential counts against its address
(`failure_limit.py`); a valid one is never refused for that.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from ...calls import Principal
from ..problem import Problem
from ..state import state_of
from .failure_limit import FailureLimit
from .jwt import TokenVerifier, invalid_token
from .session import COOKIE, Sessions

Headers = Iterable[tuple[bytes, bytes]]

_BLANKS = b" \t"
"""What RFC 6265 section 5.2 strips from a name and a value, and no other byte: 0x85 and 0xA0 are blanks only in decoded
text, and a sibling site may set a cookie of such a name."""


def cookies(headers: Headers) -> list[tuple[bytes, bytes]]:
    """All cookies of the request in their order, from every Cookie header; names may repeat."""
    found: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name == b"cookie":
            for pair in value.split(b";"):
                key, sign, content = pair.partition(b"=")
                if sign:
                    found.append((key.strip(_BLANKS), content.strip(_BLANKS)))
    return found


def cookie_values(headers: Headers, name: str) -> list[str]:
    """The values of all cookies of exactly this name."""
    wanted = name.encode("ascii")
    return [value.decode("latin-1") for key, value in cookies(headers) if key == wanted]


def expired(name: str, same_site: str) -> str:
    """The Set-Cookie that removes a cookie of ours."""
    return set_cookie(name, "", same_site, max_age=0)


def set_cookie(name: str, value: str, same_site: str, *, max_age: int | None = None) -> str:
    """The Set-Cookie of a cookie for this host alone (`__Host-`), not readable by scripts. max_age: seconds."""
    age = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}{age}"


class Authenticator:
    """`await authenticator(scope)` gives the Principal, None for nobody, or raises Problem 401, 429 or 503.

    sessions  None: there is no browser sign-in, cookies mean nothing
    failures  limits invalid credentials by address; None: no limit
    cookie    the session cookie's name
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        sessions: Sessions | None,
        failures: FailureLimit | None = None,
        *,
        cookie: str = COOKIE,
    ) -> None:
        self._cookie = cookie
        self._verifier = verifier
        self._sessions = sessions
        self._failures = failures or FailureLimit(None)

    async def __call__(self, scope: MutableMapping[str, Any], *, optional: bool = False) -> Principal | None:
        """optional: callers without credentials are served as well, so an invalid cookie is no reason to refuse."""
        state = state_of(scope)
        if state.principal is None:
            state.principal = await self._principal(scope, optional)
        return state.principal

    async def _principal(self, scope: MutableMapping[str, Any], optional: bool) -> Principal | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        credentials = [value for name, value in headers if name == b"authorization"]
        if credentials:
            return await self._bearer(scope, credentials)
        if self._sessions is None:
            return None
        try:
            value = one_cookie(headers, self._cookie)
        except Problem:
            if not optional:
                raise
            value = None
        if value is None:
            return None
        safe = scope["method"] in ("GET", "HEAD", "OPTIONS")
        with self._failures.check(scope, refuse=not optional) as check:
            principal = await self._sessions.principal(value, safe=safe)
            check.verified = principal is not None
        return principal

    async def _bearer(self, scope: MutableMapping[str, Any], credentials: list[bytes]) -> Principal:
        scheme, _, token = credentials[0].decode("latin-1").partition(" ")
        token = token.strip(" ")
        is_bearer = scheme.lower() == "bearer"
        if is_bearer and len(credentials) == 1:
            principal = self._verifier.cached(token)
            if principal is not None:
                return principal
        with self._failures.check(scope) as check:
            if len(credentials) > 1:
                raise invalid_token("there are two Authorization headers")
            if not is_bearer:
                raise invalid_token("only the Bearer scheme is accepted here")
            principal = await self._verifier.verify(token)
            check.verified = True
        return principal


def one_cookie(headers: Headers, name: str) -> str | None:
    """The session cookie's value, None where there is none. Raises Problem 401, which removes ours, for two."""
    values = cookie_values(headers, name)
    if len(values) > 1:
        raise Problem(
            401,
            "unauthenticated",
            f"Two cookies named {name} arrived, and which of them is yours cannot be known. Yours has been removed: "
            "sign in again at /bff/login.",
            headers={"set-cookie": expired(name, "Strict")},
        )
    return values[0] if values else None
