"""Verifies access tokens of API clients: a bearer token becomes a Principal, or a 401 that says what is wrong with it.

Guarantees the rules of RFC 8725 and RFC 9068: only configured issuers, each with its own keys, audience and algorithms;
`typ` at+jwt; typed claims. Never follows an address that a token names (`jku`, `x5u`) and never uses a key that it
brings (`jwk`, `x5c`). A verification costs 0.2 ms, so up to 10,000 verified tokens are cached by their hash for at most
a minute.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jwt

from ...calls import Clock, DeclarationError, Principal
from ...calls.shutdown import close_all
from ...policies import tokens
from ...policies.tokens import TokenRefused
from ..problem import Problem
from ..settings import IssuerSettings
from .discovery import Discovery
from .fetch import Fetch
from .jwks import KeySet, KeysUnavailable
from .revocation_list import RevocationList, marks_of

MAX_CACHED = 10_000
"""Verified tokens cached; the least recently used one is dropped."""
CACHED_FOR = 60.0
"""Seconds a verified token is accepted without checking its signature again."""

_algorithms = jwt.algorithms.get_default_algorithms()


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer with its keys."""

    settings: IssuerSettings
    keys: KeySet


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


async def verify_signature(parsed: tokens.Parsed, keys: KeySet, allowed: Iterable[str]) -> None:
    """Raises TokenRefused unless a key of the issuer made the signature; KeysUnavailable when there are no keys."""
    if parsed.algorithm not in allowed:
        raise TokenRefused("its algorithm is not allowed for its issuer")
    key = await keys.find(parsed.key_id, parsed.algorithm)
    if key is None:
        raise TokenRefused("its issuer has no such key")
    algorithm: Any = _algorithms[parsed.algorithm]  # PyJWT types it for the key of each algorithm
    try:
        good = algorithm.verify(parsed.signed, key.key, parsed.signature)
    except (ValueError, TypeError, jwt.PyJWTError):
        good = False
    if not good:
        raise TokenRefused("its signature is wrong")


class TokenVerifier:
    """`await verifier.verify(token)` gives the Principal or raises Problem 401 `invalid-token`; 503 `unavailable`
    with Retry-After when the issuer's keys cannot be had.

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
        self._fetch = fetch
        self._issuers: dict[str, Issuer] = {}
        self._cache: OrderedDict[bytes, _CachedToken] = OrderedDict()
        for settings in issuers:
            self.trust(settings)

    def trust(self, settings: IssuerSettings) -> Issuer:
        """Add one issuer. Raises DeclarationError."""
        if not settings.algorithms or set(settings.algorithms) - tokens.ASYMMETRIC:
            allowed = ", ".join(sorted(tokens.ASYMMETRIC))
            raise DeclarationError(f"issuer {settings.issuer}: algorithms must be among {allowed}")
        if settings.issuer in self._issuers:
            raise DeclarationError(f"issuer {settings.issuer} is configured twice")
        discovery = Discovery(settings.issuer, self._fetch, self._monotonic)

        async def locate() -> str:
            return settings.jwks_uri or await discovery.endpoint("jwks_uri")

        keys = KeySet(locate, self._fetch, frozenset(settings.algorithms), self._monotonic)
        issuer = self._issuers[settings.issuer] = Issuer(settings, keys)
        return issuer

    def issuer(self, name: str) -> Issuer | None:
        """A trusted issuer by its exact name; its keys also verify ID tokens."""
        return self._issuers.get(name)

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified recently and is not revoked; None when it has to be verified."""
        digest = _digest(token)
        entry = self._cache.get(digest)
        if entry is None:
            return None
        entry.keys.refresh_when_old()
        rotated = entry.generation != entry.keys.generation
        if rotated or self._monotonic() >= entry.until or self._clock() >= entry.expires:
            del self._cache[digest]
            return None
        if self.is_revoked(entry.principal):
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
        except KeysUnavailable:
            raise Problem(
                503,
                "unavailable",
                "The keys of the token's issuer cannot be fetched at the moment. Try again shortly.",
                retry_after=1.0,
            ) from None

    def is_revoked(self, principal: Principal) -> bool:
        """Whether the token or session that a principal was made from has been revoked since."""
        return (
            self._revocations is not None
            and principal.revocation_keys is not None
            and self._revocations.is_revoked(principal.revocation_keys)
        )

    def key_status(self) -> dict[str, dict[str, object]]:
        """The state of each issuer's keys. Missing or old ones are fetched in the background."""
        for issuer in self._issuers.values():
            issuer.keys.refresh_if_needed()
        return {name: issuer.keys.state for name, issuer in self._issuers.items()}

    async def close(self) -> None:
        """Cancel the fetches under way."""
        await close_all((f"the keys of {name}", issuer.keys.close) for name, issuer in self._issuers.items())

    async def _verify(self, token: str) -> Principal:
        parsed = tokens.parse(token)
        issuer = self._issuers.get(tokens.issuer_of(parsed))
        if issuer is None:
            raise TokenRefused("its issuer is not trusted here")
        tokens.check_type(parsed, tokens.ACCESS_TOKEN_TYPES)
        settings, keys = issuer.settings, issuer.keys
        # Claims first: they cost a few microseconds, so an expired token never causes a fetch of keys.
        tokens.check_claims(
            parsed.claims, audience=settings.audience, now=self._clock(), leeway=settings.leeway
        )
        tokens.check_bearer(parsed.claims)
        scopes = tokens.scopes_of(parsed.claims)
        roles = tokens.roles_of(parsed.claims, settings.roles)
        await verify_signature(parsed, keys, settings.algorithms)
        revocation_keys = marks_of(settings.issuer, parsed.claims)
        if self._revocations is not None and self._revocations.is_revoked(revocation_keys):
            raise TokenRefused("it was revoked")
        expires = tokens.expiry_of(parsed.claims)
        principal = Principal(
            issuer=settings.issuer,
            subject=str(parsed.claims["sub"]),
            token=token,
            expires_at=expires,
            scopes=scopes,
            claims=tokens.person_claims(parsed.claims),
            roles=roles,
            revocation_keys=revocation_keys,
        )
        until = self._monotonic() + CACHED_FOR
        self._cache[_digest(token)] = _CachedToken(
            principal, keys, keys.generation, until, expires + settings.leeway
        )
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return principal


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1")).digest()
