"""Verifies access tokens of API clients: makes a Principal of a bearer token, or a 401 that says what is wrong with it.

Guarantees the rules of RFC 8725 and RFC 9068: only configured issuers, with the keys, audience and algorithms of each;
`typ` at+jwt; typed claims. Never fetches an address that a token names (`jku`, `x5u`) and never uses a key that it
contains (`jwk`, `x5c`). A verification costs 0.2 ms, so up to 10,000 verified tokens are cached by their hash for at
most a minute.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from ...calls import Clock, DeclarationError, Principal
from ...calls.shutdown import close_all
from ...policies import tokens
from ...policies.tokens import TokenRefused
from ..problem import Problem
from ..settings import IssuerSettings
from .fetch import Fetch, FetchFailed
from .issuer import Issuer, KeySet
from .revocation_list import RevocationList, revocation_keys_of

MAX_CACHED = 10_000
"""Verified tokens cached; the least recently used one is dropped."""
CACHED_FOR = 60.0
"""Seconds a verified token is accepted without checking its signature again."""


@dataclass(frozen=True, slots=True)
class _CachedToken:
    principal: Principal
    keys: KeySet
    generation: int
    until: float
    expires: float


def invalid_token(why: str) -> Problem:
    """The 401 of RFC 6750 section 3.1."""
    return Problem(
        401,
        "invalid-token",
        f"The bearer token cannot be accepted: {why}. Get a new one from your identity provider.",
        headers={"www-authenticate": 'Bearer error="invalid_token"'},
    )


class TokenVerifier:
    """`await verifier.verify(token)` gives the Principal or raises Problem 401 `invalid-token`; 503 `unavailable`
    with Retry-After when the issuer's keys cannot be fetched.

    issuers      the trusted issuers by their exact name
    revocations  tokens that are refused though they are signed; None: none are
    clock        Unix seconds
    monotonic    for ages and intervals
    Raises DeclarationError for an algorithm that must never be allowed, or an issuer named twice.
    """

    def __init__(
        self,
        issuers: Iterable[IssuerSettings],
        fetch: Fetch,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
        *,
        revocations: RevocationList | None = None,
    ) -> None:
        self._revocations = revocations
        self._clock = clock
        self._monotonic = monotonic
        self.issuers: dict[str, Issuer] = {}
        self._cache: OrderedDict[bytes, _CachedToken] = OrderedDict()
        for settings in issuers:
            if not settings.algorithms or set(settings.algorithms) - tokens.ASYMMETRIC:
                allowed = ", ".join(sorted(tokens.ASYMMETRIC))
                raise DeclarationError(f"issuer {settings.issuer}: algorithms must be among {allowed}")
            if settings.issuer in self.issuers:
                raise DeclarationError(f"issuer {settings.issuer} is configured twice")
            self.issuers[settings.issuer] = Issuer(settings, fetch, monotonic)

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified recently and is not revoked; None when it has to be verified."""
        digest = _digest(token)
        entry = self._cache.get(digest)
        if entry is None:
            return None
        entry.keys.refresh_when_old()
        rotated = entry.generation != entry.keys.generation
        expired = self._monotonic() >= entry.until or self._clock() >= entry.expires
        if rotated or expired or self._is_revoked(entry.principal):
            del self._cache[digest]
            return None
        self._cache.move_to_end(digest)
        return entry.principal

    async def verify(self, token: str) -> Principal:
        if not token.isascii() or len(token) > tokens.MAX_TOKEN:
            raise invalid_token("it is longer than 8 KB or holds characters no token has")
        principal = self.cached(token)
        if principal is not None:
            return principal
        try:
            return await self._verify(token)
        except TokenRefused as refusal:
            raise invalid_token(str(refusal)) from None
        except FetchFailed:
            raise Problem(
                503,
                "unavailable",
                "The keys of the token's issuer cannot be fetched at the moment. Try again shortly.",
                retry_after=1.0,
            ) from None

    def key_status(self) -> dict[str, dict[str, object]]:
        """The state of each issuer's keys, see `KeySet.status`."""
        return {name: issuer.keys.status() for name, issuer in self.issuers.items()}

    async def close(self) -> None:
        """Cancel the fetches under way."""
        await close_all((f"the documents of {name}", issuer.close) for name, issuer in self.issuers.items())

    async def _verify(self, token: str) -> Principal:
        parsed = tokens.parse(token)
        issuer = self.issuers.get(tokens.issuer_of(parsed))
        if issuer is None:
            raise TokenRefused("its issuer is not trusted here")
        tokens.check_type(parsed, tokens.ACCESS_TOKEN_TYPES)
        settings, claims = issuer.settings, parsed.claims
        # Claims first: they cost a few microseconds, so an expired token never causes a fetch of keys.
        tokens.check_claims(claims, audience=settings.audience, now=self._clock(), leeway=settings.leeway)
        tokens.check_bearer(claims)
        scopes = tokens.scopes_of(claims)
        roles = tokens.roles_of(claims, settings.roles)
        await issuer.verify_signature(parsed)
        principal = Principal(
            issuer=settings.issuer,
            subject=str(claims["sub"]),
            token=token,
            expires_at=tokens.expiry_of(claims),
            scopes=scopes,
            claims=tokens.person_claims(claims),
            roles=roles,
            revocation_keys=revocation_keys_of(settings.issuer, claims),
            authenticated_at=tokens.auth_time_of(claims),
            acr=tokens.acr_of(claims),
        )
        if self._is_revoked(principal):
            raise TokenRefused("it was revoked")
        self._cache[_digest(token)] = _CachedToken(
            principal,
            issuer.keys,
            issuer.keys.generation,
            self._monotonic() + CACHED_FOR,
            principal.expires_at + settings.leeway,
        )
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return principal

    def _is_revoked(self, principal: Principal) -> bool:
        return self._revocations is not None and self._revocations.is_revoked(principal.revocation_keys)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1")).digest()
