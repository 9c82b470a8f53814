"""Authentication: makes a Principal of the request's access token or session cookie.

Guarantees that a token is preferred to a cookie, and that an invalid token is answered 401 whatever the cookie is. A
token that is bound to a key is accepted with the scheme DPoP and a proof only. Two Authorization headers are answered
401. So are two session cookies: the gateway cannot know which one the person means, and removes its cookie. Cookie
names are compared byte by byte. A client that keeps sending invalid credentials has to wait (`FailureLimit`); a valid
credential is never refused for that.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, MutableMapping
from typing import Any

from ...calls import Clock, Principal
from ...policies.rate import Bucket, LocalRates, retry_after
from ...policies.tokens import Reason, TokenRefused
from ..http.networks import network_of
from ..http.request import SAFE_METHODS, header_values
from ..problem import QUOTA_TYPE, Problem
from ..rate_limits import quotas_of
from ..state import state_of
from .dpop import ProofVerifier
from .jwt import TokenVerifier
from .session import Sessions
from .session_cookies import SessionCookies, session_cookies

STREAM = "/bff/live"
"""The path of the event stream."""


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
            # An issuer or a store that is away does not make a credential invalid, nor does a good proof that needs
            # the nonce of this server.
            valid = problem.status != 401 or problem.code == "dpop-nonce"
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
    proofs    verifies proofs of possession; None: tokens that are bound to a key are not accepted
    cookies   the session cookies of the providers; None: the one cookie of a gateway with one provider
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        sessions: Sessions | None,
        failures: FailureLimit | None = None,
        *,
        cookies: SessionCookies | None = None,
        proofs: ProofVerifier | None = None,
    ) -> None:
        self._cookies = cookies or session_cookies("http://localhost", {"": ()})
        self._proofs = proofs
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
            scheme, token = _token(credentials)
            cached = self._verifier.cached(token) if scheme == "bearer" else None
            return cached or await self._failures.verify(scope, self._verified(scope, scheme, token))
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

    async def _verified(self, scope: MutableMapping[str, Any], scheme: str, token: str) -> Principal:
        # A stream lives for minutes: its token must be known to be valid now.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        reads = scope["method"] in SAFE_METHODS and path != STREAM
        if scheme == "bearer":
            return await self._verifier.verify(token, reads=reads)
        if scheme == "dpop" and self._proofs is not None:
            principal, key = await self._verifier.verify_bound(token, reads=reads)
            await self._proofs.verify(scope, token, key, self._verifier.log_refusal)
            return principal
        raise self._verifier.refusal(TokenRefused(Reason.TWO_HEADERS if scheme == _TWICE else Reason.SCHEME))


_TWICE = "two headers"


def _token(credentials: list[bytes]) -> tuple[str, str]:
    """The scheme in lower case, and the token; `_TWICE` for two headers, of which neither is read."""
    scheme, _, token = credentials[0].decode("latin-1").partition(" ")
    return (_TWICE, "") if len(credentials) > 1 else (scheme.lower(), token.strip(" "))


def two_cookies(name: str) -> Problem:
    """The 401 for two session cookies, which removes ours."""
    return Problem(
        401,
        "unauthenticated",
        f"Two cookies named {name} arrived, and which of them is yours cannot be known. Yours has been removed: "
        "sign in again at /bff/login.",
        headers={"set-cookie": expired(name, "Strict")},
    )
