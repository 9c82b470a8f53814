"""Verifies access tokens of API clients: makes a Principal of a token, or a 401 that says what is wrong with it.

Guarantees the rules of RFC 8725: only configured issuers, with the keys, audiences and algorithms of each; the mark of
an access token that its profile names (RFC 9068 by default); typed claims. Never fetches an address that a token names
(`jku`, `x5u`) and never uses a key that it contains (`jwk`, `x5c`). The issuer of a JWT is the one that it names; an
opaque token goes to the one issuer that has such tokens, and to no other. A verification costs 0.2 ms, so up to 10,000
verified tokens are cached by their hash for at most a minute. A token that is bound to a key is cached apart, so that
it never counts as a bearer token.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from ...calls import Clock, DeclarationError, Principal
from ...calls.shutdown import close_all
from ...policies import tokens
from ...policies.token_profiles import TokenRules, client_of
from ...policies.tokens import Reason, TokenRefused
from ..observe.log_text import printable
from ..problem import Problem
from ..settings import IssuerSettings
from .fetch import Fetch, FetchFailed
from .introspection import Introspector
from .issuer import Issuer, KeySet
from .person import shown_claims
from .profiles import introspecting, rules_of
from .revocation_list import RevocationList, revocation_keys_of

log = logging.getLogger("bff.tokens")

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


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """key: thumbprint of the key to which the token is bound; None for a bearer token."""

    principal: Principal
    key: str | None


_PROVIDERS_WITHOUT = (
    (re.compile(r"ya29\.|1//"), Reason.GOOGLE),
    (re.compile(r"gh[opusr]_|github_pat_"), Reason.GITHUB),
)
_GOOGLE_ISSUERS = ("accounts.google.com", "https://accounts.google.com")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z", re.ASCII)

SEEN = 64
"""Characters of what a refused token has that are logged, at most."""
LOGGED = 100
"""Refused tokens that are logged in a minute, at most; the next line says how many were not."""


def invalid_token(reason: Reason, scheme: str = "Bearer") -> Problem:
    """The 401 of RFC 6750 section 3.1. It tells only the reason; what was seen is for the log."""
    return Problem(
        401,
        "invalid-token",
        f"The access token cannot be accepted: {reason.text}. Get a new one from your identity provider.",
        headers={"www-authenticate": challenge(scheme, "invalid_token", reason)},
        extra={"reason": reason.code},
    )


def challenge(scheme: str, error: str, reason: Reason) -> str:
    """A WWW-Authenticate value (RFC 6750 section 3, RFC 9449 section 7.1)."""
    algorithms = f', algs="{" ".join(sorted(tokens.ASYMMETRIC))}"' if scheme == "DPoP" else ""
    return f'{scheme} realm="bff", error="{error}", error_description="{reason.text}"{algorithms}'


class RefusalLog:
    """Logs why tokens were refused: what was seen and expected, escaped, and bounded in length and number; and that
    tokens lack roles, once a minute for each issuer. clock: monotonic seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._minute = -inf
        self._lines = 0
        self._incomplete: dict[str, float] = {}

    def incomplete(self, principal: Principal) -> None:
        """Log which roles the issuer left out of this principal's token, if any."""
        last = self._incomplete.get(principal.issuer, -inf)
        if principal.left_out and self._clock() - last >= 60:
            self._incomplete[principal.issuer] = self._clock()
            log.error(
                "%s left the claim %s out of an access token, because it has too many values: the token has no roles "
                "of it. At Entra, assign app roles, or emit only groups assigned to the application",
                principal.issuer,
                ", ".join(principal.left_out),
            )

    def refused(self, refusal: TokenRefused) -> None:
        if self._clock() - self._minute >= 60:
            if self._lines > LOGGED:
                log.info("%d more tokens were refused", self._lines - LOGGED)
            self._minute, self._lines = self._clock(), 0
        self._lines += 1
        if self._lines <= LOGGED:
            code = refusal.reason.code if refusal.reason is not None else "unknown"
            seen, expected = (
                "nothing" if one is None else printable(str(one), SEEN)
                for one in (refusal.seen, refusal.expected)
            )
            log.info("a token was refused: %s (seen: %s; expected: %s)", code, seen, expected)


class TokenVerifier:
    """`await verifier.verify(token)` gives the Principal of a bearer token or raises Problem 401 `invalid-token`; 503
    `unavailable` with Retry-After when the issuer's keys cannot be fetched, or it cannot be asked about the token.

    issuers      the trusted issuers by their exact name
    revocations  tokens that are refused though they are signed; None: none are
    clock        Unix seconds
    monotonic    for ages and intervals
    Raises DeclarationError for settings that would accept other tokens than meant, or an issuer named twice.
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
        self._rules: dict[str, TokenRules] = {}
        self._introspectors: dict[str, Introspector] = {}
        self._cache: OrderedDict[bytes, _CachedToken] = OrderedDict()
        self._bound: OrderedDict[bytes, tuple[_CachedToken, str]] = OrderedDict()
        self._log = RefusalLog(monotonic)
        issuers = list(issuers)
        for settings in issuers:
            rules = rules_of(settings)
            if settings.issuer in self.issuers:
                raise DeclarationError(f"issuer {settings.issuer} is configured twice")
            self.issuers[settings.issuer] = issuer = Issuer(settings, fetch, monotonic)
            self._rules[settings.issuer] = rules
            if (introspection := settings.introspection) is not None:
                self._introspectors[settings.issuer] = Introspector(
                    settings, introspection, rules, issuer, fetch, clock, monotonic
                )
        self._opaque = [(prefix, self._introspectors[name]) for prefix, name in introspecting(issuers)]

    def cached(self, token: str) -> Principal | None:
        """The principal of a bearer token that was verified recently and is not revoked; None when it has to be
        verified."""
        digest = _digest(token)
        entry = self._cache.get(digest)
        if entry is None:
            return None
        if not self._is_current(entry):
            del self._cache[digest]
            return None
        self._cache.move_to_end(digest)
        return entry.principal

    async def verify(self, token: str, *, reads: bool = False, address: str = "") -> Principal:
        """The principal of a bearer token. reads, address: see `Introspector.ask`."""
        principal = self.cached(token)
        if principal is not None:
            return principal
        verified = await self._verified(token, reads, address)
        if verified.key is not None:
            raise self.refusal(TokenRefused(Reason.BOUND), "DPoP")
        return verified.principal

    async def verify_bound(
        self, token: str, *, reads: bool = False, address: str = ""
    ) -> tuple[Principal, str]:
        """The principal of a token that is bound to a key, and the key's thumbprint: the caller verifies the proof."""
        digest = _digest(token)
        entry = self._bound.get(digest)
        if entry is not None:
            if self._is_current(entry[0]):
                self._bound.move_to_end(digest)
                return entry[0].principal, entry[1]
            del self._bound[digest]
        verified = await self._verified(token, reads, address, "DPoP")
        if verified.key is None:
            raise self.refusal(TokenRefused(Reason.NOT_BOUND), "DPoP")
        return verified.principal, verified.key

    @property
    def introspects(self) -> bool:
        """Whether an issuer is asked about tokens."""
        return bool(self._introspectors)

    def is_introspected(self, principal: Principal) -> bool:
        """Whether the principal's token is one that its issuer was asked about."""
        introspector = None if principal.session else self._introspectors.get(principal.issuer)
        return introspector is not None and (introspector.settings.jwts or tokens.is_opaque(principal.token))

    async def is_active(self, principal: Principal) -> bool:
        """Whether the issuer still accepts the token of a principal that it was asked about; True where it does not
        answer."""
        token = principal.token
        try:
            await self._introspectors[principal.issuer].ask(token, _digest(token))
        except TokenRefused:
            return False
        except FetchFailed:
            pass
        return True

    def refusal(self, refused: TokenRefused, scheme: str = "Bearer") -> Problem:
        """The 401 for it, after it was logged."""
        self.log_refusal(refused)
        return invalid_token(refused.reason or Reason.NOT_A_JWT, scheme)

    def log_refusal(self, refused: TokenRefused) -> None:
        self._log.refused(refused)

    def key_status(self) -> dict[str, dict[str, object]]:
        """The state of each issuer's keys, see `KeySet.status`."""
        return {name: issuer.keys.status() for name, issuer in self.issuers.items()}

    async def close(self) -> None:
        """Cancel the fetches under way."""
        await close_all(
            [
                *(
                    (f"questions about tokens of {name}", one.close)
                    for name, one in self._introspectors.items()
                ),
                *((f"the documents of {name}", issuer.close) for name, issuer in self.issuers.items()),
            ]
        )

    def _is_current(self, entry: _CachedToken) -> bool:
        # Every request with a token passes here.
        keys, revocations = entry.keys, self._revocations
        keys.refresh_when_old()
        return (
            entry.generation == keys.generation
            and self._monotonic() < entry.until
            and self._clock() < entry.expires
            and (revocations is None or not revocations.is_revoked(entry.principal.revocation_keys))
        )

    async def _verified(self, token: str, reads: bool, address: str, scheme: str = "Bearer") -> VerifiedToken:
        try:
            if len(token) > tokens.MAX_TOKEN:
                raise TokenRefused(Reason.TOO_LONG, seen=len(token), expected=tokens.MAX_TOKEN)
            if not _TOKEN.match(token):
                raise TokenRefused(Reason.CHARACTERS)
            return await self._verify(token, reads, address)
        except TokenRefused as refusal:
            raise self.refusal(refusal, scheme) from None
        except FetchFailed:
            raise Problem(
                503,
                "unavailable",
                "The token cannot be verified at the moment, because its issuer does not answer. Try again shortly.",
                retry_after=1.0,
            ) from None

    async def _verify(self, token: str, reads: bool, address: str) -> VerifiedToken:
        try:
            parsed = tokens.parse(token)
        except TokenRefused:
            if not tokens.is_opaque(token):
                raise
            return await self._introspect(token, self._introspector(token), reads, address)
        name = tokens.issuer_of(parsed)
        issuer = self.issuers.get(name)
        if issuer is None:
            reason = Reason.GOOGLE if name in _GOOGLE_ISSUERS else Reason.ISSUER
            raise TokenRefused(reason, seen=name, expected=sorted(self.issuers))
        introspector = self._introspectors.get(name)
        if introspector is not None and introspector.settings.jwts:
            return await self._introspect(token, introspector, reads, address)
        # Claims first: they cost a few microseconds, so an expired token never causes a fetch of keys.
        rules, claims = self._rules[name], parsed.claims
        grant = rules.check(parsed, self._clock())
        await issuer.verify_signature(parsed)
        principal = Principal(
            issuer=name,
            subject=str(claims["sub"]),
            token=token,
            expires_at=tokens.expiry_of(claims),
            scopes=grant.scopes,
            claims=_shown(claims),
            roles=grant.roles,
            revocation_keys=revocation_keys_of(name, claims),
            authenticated_at=tokens.auth_time_of(claims),
            acr=tokens.acr_of(claims),
            is_person=grant.person,
            left_out=grant.left_out,
        )
        if self._is_revoked(principal):
            raise TokenRefused(Reason.REVOKED)
        self._log.incomplete(principal)
        entry = _CachedToken(
            principal,
            issuer.keys,
            issuer.keys.generation,
            self._monotonic() + CACHED_FOR,
            principal.expires_at + rules.leeway,
        )
        if grant.key is None:
            self._cache[_digest(token)] = entry
        else:
            self._bound[_digest(token)] = entry, grant.key
        for cache in (self._cache, self._bound):
            if len(cache) > MAX_CACHED:
                cache.popitem(last=False)
        return VerifiedToken(principal, grant.key)

    def _introspector(self, token: str) -> Introspector:
        """The one issuer that may be asked about an opaque token."""
        for pattern, reason in _PROVIDERS_WITHOUT:
            if pattern.match(token):
                raise TokenRefused(reason)
        for prefix, introspector in self._opaque:
            if token.startswith(prefix):
                return introspector
        raise TokenRefused(Reason.OPAQUE if "." not in token else Reason.NOT_A_JWT)

    async def _introspect(
        self, token: str, introspector: Introspector, reads: bool, address: str
    ) -> VerifiedToken:
        found = await introspector.ask(token, _digest(token), reads=reads, address=address)
        claims = found.claims
        principal = Principal(
            issuer=introspector.issuer,
            subject=str(claims["sub"]),
            token=token,
            expires_at=found.expires_at,
            scopes=found.grant.scopes,
            claims=_shown(claims),
            roles=found.grant.roles,
            # Without `iat` every revocation of the person counts.
            revocation_keys=revocation_keys_of(introspector.issuer, {"iat": 0.0, **claims}),
            is_person=found.grant.person,
            left_out=found.grant.left_out,
        )
        if self._is_revoked(principal):
            raise TokenRefused(Reason.REVOKED)
        self._log.incomplete(principal)
        return VerifiedToken(principal, found.grant.key)

    def _is_revoked(self, principal: Principal) -> bool:
        return self._revocations is not None and self._revocations.is_revoked(principal.revocation_keys)


def _shown(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims about the person, and the client under one name, `client_id`, however the provider calls it: limits,
    stored answers and internal tokens are separate for each client."""
    shown, client = shown_claims(claims), client_of(claims)
    if client is not None:
        shown["client_id"] = client
    return shown


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1")).digest()
