"""Access tokens of API clients: a bearer token becomes a Principal, or a 401 that says what is wrong with it.

Promises the rules of RFC 8725 and RFC 9068: only configured issuers, each with its own keys, audience and algorithms;
`typ` at+jwt; claims typed. Never follows an address a token names (`jku`, `x5u`) nor a key it brings (`jwk`, `x5c`).
Verifying costs 0.2 ms, so up to 10,000 verified tokens are remembered by their hash for at most a minute.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jwt

from ...calls import Clock, DeclarationError, Principal
from ...calls.ending import close_all
from ...policies import tokens
from ...policies.tokens import TokenRefused
from ..problem import Problem
from ..settings import IssuerSettings
from .discovery import Discovery
from .fetch import Fetch
from .jwks import KeySet, KeysUnavailable
from .revocation_list import RevocationList, marks_of

REMEMBERED = 10_000
"""Verified tokens remembered; the least recently used one gives way."""
REMEMBERED_FOR = 60.0
"""Seconds a verified token is believed without looking at its signature again."""

_algorithms = jwt.algorithms.get_default_algorithms()


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer with its keys."""

    settings: IssuerSettings
    keys: KeySet


@dataclass(frozen=True, slots=True)
class _Remembered:
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


async def verified(parsed: tokens.Parsed, keys: KeySet, allowed: Iterable[str]) -> None:
    """Raises TokenRefused unless the signature is by a key of the issuer; KeysUnavailable when there are none."""
    if parsed.algorithm not in allowed:
        raise TokenRefused("its algorithm is not allowed for its issuer")
    key = await keys.find(parsed.key_id, parsed.algorithm)
    if key is None:
        raise TokenRefused("its issuer has no such key")
    algorithm: Any = _algorithms[parsed.algorithm]  # typed by PyJWT for whatever key each algorithm takes
    try:
        good = algorithm.verify(parsed.signed, key.key, parsed.signature)
    except (ValueError, TypeError, jwt.PyJWTError):
        good = False
    if not good:
        raise TokenRefused("its signature is wrong")


class TokenVerifier:
    """`await verifier.verify(token)` gives the Principal or raises Problem 401 `invalid-token`; 503 `unavailable`
    with Retry-After when the issuer's keys cannot be had.

    revoked    what is refused though it is signed; None: nothing is
    clock      Unix seconds
    monotonic  for ages and gaps
    Raises DeclarationError for an algorithm that must never be allowed, or an issuer named twice.
    """

    def __init__(
        self,
        issuers: Iterable[IssuerSettings],
        fetch: Fetch,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
        *,
        revoked: RevocationList | None = None,
    ) -> None:
        self._revoked = revoked
        self._clock = clock
        self._monotonic = monotonic
        self._fetch = fetch
        self._issuers: dict[str, Issuer] = {}
        self._known: OrderedDict[bytes, _Remembered] = OrderedDict()
        for settings in issuers:
            self.trust(settings)

    def trust(self, settings: IssuerSettings) -> Issuer:
        """Add one issuer. Raises DeclarationError."""
        wrong = set(settings.algorithms) - tokens.ASYMMETRIC
        if wrong or not settings.algorithms:
            raise DeclarationError(
                f"issuer {settings.issuer}: algorithms must be among {_listed(tokens.ASYMMETRIC)}"
            )
        if settings.issuer in self._issuers:
            raise DeclarationError(f"issuer {settings.issuer} is configured twice")
        keys = KeySet(self._location(settings), self._fetch, frozenset(settings.algorithms), self._monotonic)
        issuer = Issuer(settings, keys)
        self._issuers[settings.issuer] = issuer
        return issuer

    def issuer(self, name: str) -> Issuer | None:
        """A trusted issuer by its exact name; its keys also verify ID tokens."""
        return self._issuers.get(name)

    def recall(self, token: str) -> Principal | None:
        """Who a token belongs to that was verified lately; None when it has to be verified. Raises Problem 401 for one
        that was revoked since."""
        return self._recall(_digest(token)) if _plausible(token) else None

    async def verify(self, token: str) -> Principal:
        if not _plausible(token):
            raise invalid_token("it is longer than 8 KB or holds characters no token has")
        digest = _digest(token)
        principal = self._recall(digest)
        if principal is not None:
            return principal
        try:
            return await self._verify(token, digest)
        except TokenRefused as refusal:
            raise invalid_token(str(refusal)) from None
        except KeysUnavailable:
            raise Problem(
                503,
                "unavailable",
                "The keys of the token's issuer cannot be fetched at the moment. Try again shortly.",
                retry_after=1.0,
            ) from None

    def revoked(self, principal: Principal) -> bool:
        """Whether the token or session that a principal was made from is refused by now."""
        return (
            self._revoked is not None
            and principal.marks is not None
            and self._revoked.refuse(principal.marks)
        )

    def look(self) -> dict[str, dict[str, object]]:
        """What is known of each issuer's keys; where there are none, or old ones, they are asked for meanwhile."""
        for issuer in self._issuers.values():
            issuer.keys.look()
        return {name: issuer.keys.state for name, issuer in self._issuers.items()}

    async def close(self) -> None:
        """End the fetches under way."""
        await close_all((f"the keys of {name}", issuer.keys.close) for name, issuer in self._issuers.items())

    async def _verify(self, token: str, digest: bytes) -> Principal:
        parsed = tokens.parse(token)
        issuer = self._issuers.get(tokens.issuer_of(parsed))
        if issuer is None:
            raise TokenRefused("its issuer is not trusted here")
        tokens.judge_type(parsed, tokens.ACCESS_TOKEN_TYPES)
        settings, keys = issuer.settings, issuer.keys
        # Claims first: they cost a few microseconds, so a stale token never makes anyone fetch a key.
        tokens.judge_claims(
            parsed.claims, audience=settings.audience, now=self._clock(), leeway=settings.leeway
        )
        tokens.judge_bearer(parsed.claims)
        scopes = tokens.scopes_of(parsed.claims)
        roles = tokens.roles_of(parsed.claims, settings.roles)
        await verified(parsed, keys, settings.algorithms)
        marks = marks_of(settings.issuer, parsed.claims)
        if self._revoked is not None and self._revoked.refuse(marks):
            raise TokenRefused("it was revoked")
        expires = tokens.expiry_of(parsed.claims)
        principal = Principal(
            issuer=settings.issuer,
            subject=str(parsed.claims["sub"]),
            token=token,
            expires_at=expires,
            scopes=scopes,
            claims=tokens.visible(parsed.claims),
            roles=roles,
            marks=marks,
        )
        until = self._monotonic() + REMEMBERED_FOR
        self._known[digest] = _Remembered(principal, keys, keys.generation, until, expires + settings.leeway)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return principal

    def _recall(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known is None:
            return None
        known.keys.refresh_when_old()
        changed = known.generation != known.keys.generation
        if changed or self._monotonic() >= known.until or self._clock() >= known.expires:
            del self._known[digest]
            return None
        if self.revoked(known.principal):
            raise invalid_token("it was revoked")
        self._known.move_to_end(digest)
        return known.principal

    def _location(self, settings: IssuerSettings) -> Callable[[], Any]:
        if settings.jwks_uri is not None:
            uri = settings.jwks_uri

            async def fixed() -> str:
                return uri

            return fixed
        discovery = Discovery(settings.issuer, self._fetch, self._monotonic)

        async def discovered() -> str:
            return await discovery.endpoint("jwks_uri")

        return discovered


def _plausible(token: str) -> bool:
    return token.isascii() and len(token) <= tokens.MAX_TOKEN


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
