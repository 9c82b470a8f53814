"""Authentication: makes a Principal of the request's bearer token or session cookie.

Guarantees that a bearer token is preferred to a cookie, and that an invalid bearer token is answered 401 whatever the
cookie is. Two Authorization headers are answered 401. So are two session cookies: the gateway cannot know which one the
person means, and removes its cookie. Cookie names are compared byte by byte. A client that keeps sending invalid
credentials has to wait (`FailureLimit`); a valid credential is never refused for that.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, MutableMapping
from typing import Any

from ...calls import Clock, Principal
from ...policies.rate import Bucket, LocalRates, retry_after
from ..http.networks import network_of
from ..http.request import header_values
from ..problem import QUOTA_TYPE, Problem
from ..rate_limits import quotas_of
from ..state import state_of
from .jwt import TokenVerifier, invalid_token
from .session import Sessions
from .session_cookies import SessionCookies, session_cookies


def expired(name: str, same_site: str) -> str:
    """The Set-Cookie that removes a cookie of ours."""
    return set_cookie(name, "", same_site, max_age=0)


def set_cookie(name: str, value: str, same_site: str, *, max_age: int | None = None) -> str:
    """The Set-Cookie of a cookie for this host alone (`__Host-`), not readable by scripts. max_age: seconds."""
    age = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}{age}"


class FailureLimit:
    """Limits invalid credentials by address.

    An attempt is counted before a credential is verified and taken back when it is valid, so that many at once cannot
    all pass before they are counted. Only invalid credentials are refused, with 429 instead of 401: a valid one is
    served from the same address, so that one client behind a NAT cannot lock out the others. An IPv6 network of 64 bits
    counts as one address. Each gateway counts by itself, in memory, for at most `rate.CALLERS` addresses.

    limit: failures of one address, in slowapi's grammar (`300/minute`); None: any number. clock: monotonic seconds.
    Raises DeclarationError for a limit that cannot be read.
    """

    def __init__(self, limit: str | None, clock: Clock = time.monotonic) -> None:
        declared = () if limit is None else quotas_of("settings limits.failures", limit)
        self._quotas = [quota for _, quota in declared]
        self._rates = LocalRates()
        self._clock = clock

    async def verify(
        self,
        scope: MutableMapping[str, Any],
        verification: Awaitable[Principal | None],
        *,
        refuse: bool = True,
    ) -> Principal | None:
        """Await the verification of one credential, and count it where the credential is invalid: where the result is
        None or Problem 401. refuse: raise Problem 429 for an invalid one after too many failures."""
        client = scope.get("client")
        # Requests without an address cannot be distinguished, so they are not counted.
        address = network_of(client[0]) if client else None
        buckets = [] if address is None else [Bucket(address, quota) for quota in self._quotas]
        spent = self._rates.spend(buckets, self._clock())
        allowed = all(one.allowed for one in spent)
        valid = True
        try:
            principal = await verification
            valid = principal is not None
        except Problem as problem:
            # An issuer or a store that is away does not make a credential invalid.
            valid = problem.status != 401
            raise
        finally:
            if valid and allowed:
                self._rates.give_back(buckets, self._clock())
            elif not valid and not allowed and refuse:
                raise Problem(
                    429,
                    "rate-limited",
                    "Too many invalid credentials came from your address. A valid one is still served; any other has "
                    "to wait.",
                    type=QUOTA_TYPE,
                    retry_after=retry_after(spent),
                )
        return principal


class Authenticator:
    """`await authenticator(scope)` returns the Principal, or None without credentials. Raises Problem 401, 429 or 503.

    sessions  None: there is no browser sign-in, and cookies are ignored
    failures  limits invalid credentials by address; None: no limit
    cookies   the session cookies of the providers; None: the one cookie of a gateway with one provider
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        sessions: Sessions | None,
        failures: FailureLimit | None = None,
        *,
        cookies: SessionCookies | None = None,
    ) -> None:
        self._cookies = cookies or session_cookies("http://localhost", {"": ()})
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
        credentials = header_values(scope, b"authorization")
        if credentials:
            token, refusal = _token(credentials)
            cached = None if refusal else self._verifier.cached(token)
            return cached or await self._failures.verify(scope, self._bearer(token, refusal))
        if self._sessions is None:
            return None
        found = self._cookies.of(scope)
        if len(found) > 1 and not optional:
            raise two_cookies(self._cookies.names[found[-1][0]])
        if len(found) != 1:
            return None
        ((provider, value),) = found
        safe = scope["method"] in ("GET", "HEAD", "OPTIONS")
        session = self._sessions.principal(value, safe=safe, provider=provider)
        return await self._failures.verify(scope, session, refuse=not optional)

    async def _bearer(self, token: str, refusal: str) -> Principal:
        if refusal:
            raise invalid_token(refusal)
        return await self._verifier.verify(token)


def _token(credentials: list[bytes]) -> tuple[str, str]:
    """The bearer token, and why it cannot be verified; "" where it can be."""
    scheme, _, token = credentials[0].decode("latin-1").partition(" ")
    if len(credentials) > 1:
        return "", "there are two Authorization headers"
    if scheme.lower() != "bearer":
        return "", "only the Bearer scheme is accepted here"
    return token.strip(" "), ""


def two_cookies(name: str) -> Problem:
    """The 401 for two session cookies, which removes ours."""
    return Problem(
        401,
        "unauthenticated",
        f"Two cookies named {name} arrived, and which of them is yours cannot be known. Yours has been removed: "
        "sign in again at /bff/login.",
        headers={"set-cookie": expired(name, "Strict")},
    )
