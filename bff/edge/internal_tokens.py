"""Internal tokens: the gateway signs them to name the principal to the services behind it.

An internal token is a JWT (EdDSA, with a `typ` of its own) for one upstream, valid for a minute at most. The person's
access token stays here, and a token for one service is refused by every other. A read's token is used for half its
lifetime; a write has a separate one, which also names the request and the client's key. A read's token serves many
requests, so it does not hold the request's id, which is sent as `X-Correlation-ID`. The claim `person` says whether the
principal is a person, so that no service has to guess it from the subject.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from starlette.requests import Request
from starlette.responses import Response

from ..calls import Clock, DeclarationError, Principal, RequestContext
from ..transport.request import USER_TOKEN, Credentials, NoCredentials
from .settings.upstream import InternalSettings, UpstreamSettings
from .signing_keys import SigningKeys

TYPE = "bff-internal+jwt"
HEADER = "bff-identity"
"""The header that holds an internal token where the person's own token is sent as well."""
MAX_TOKENS = 10_000
"""Tokens cached by default."""


class InternalTokens:
    """issuer: their `iss`; lifetime: seconds, default 60; tokens: of reads, cached at most, default 10,000 (the least
    recently used one is dropped); clock: Unix seconds."""

    def __init__(
        self,
        keys: SigningKeys,
        issuer: str,
        *,
        lifetime: float = 60.0,
        tokens: int = MAX_TOKENS,
        clock: Clock = time.time,
    ) -> None:
        self.keys = keys
        self._issuer = issuer
        self._lifetime = lifetime
        self._most = tokens
        self._clock = clock
        self._tokens: OrderedDict[tuple[object, ...], tuple[str, float]] = OrderedDict()
        self._signed_by = keys.now

    def for_reads(self, principal: Principal, audience: str) -> str:
        """A token for this upstream with at least half of its lifetime left."""
        if self._signed_by is not self.keys.now:
            # A key may have been removed because it must not be trusted any more.
            self._signed_by = self.keys.now
            self._tokens.clear()
        name = (
            principal.id,
            principal.session,
            principal.scopes,
            _client(principal),
            principal.is_person,
            audience,
        )
        now = self._clock()
        token, until = self._tokens.get(name, ("", now))
        if now >= until:
            token = self._signed(principal, audience, now, {})
            self._tokens[name] = (token, now + (self._expiry(principal, now) - now) / 2)
            if len(self._tokens) > self._most:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(name)
        return token

    def for_write(self, principal: Principal, audience: str, request: RequestContext) -> str:
        """A token for this request only: `txn` is its correlation id (RFC 8417), `mutation` the client's key."""
        more = {"txn": request.correlation_id}
        if request.mutation is not None:
            more["mutation"] = request.mutation
        return self._signed(principal, audience, self._clock(), more)

    def is_ours(self, token: str) -> bool:
        """Whether this is a valid token of this gateway, whichever service it is for."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != TYPE:
                return False
            keys = jwt.PyJWKSet.from_json(self.keys.now.published.decode())
            key = keys[str(header.get("kid"))]
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                issuer=self._issuer,
                # The time is that of this gateway's clock.
                options={"verify_aud": False, "verify_exp": False, "require": ["exp"]},
            )
            return float(claims["exp"]) > self._clock()
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return False

    def _expiry(self, principal: Principal, now: float) -> int:
        # Never later than the end of the session or token of the principal, which was valid a moment ago.
        return int(max(now + 1, min(now + self._lifetime, principal.expires_at)))

    def _signed(self, principal: Principal, audience: str, now: float, more: Mapping[str, str]) -> str:
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": principal.id,
            "aud": audience,
            "iat": int(now),
            "exp": self._expiry(principal, now),
            "jti": uuid.uuid4().hex,
            "scope": " ".join(sorted(principal.scopes)),
            "person": principal.is_person,
            # RFC 8693 section 4.1: who acts for the subject.
            "act": {"sub": self._issuer},
            **more,
        }
        client = _client(principal)
        if client is not None:
            claims["client_id"] = client
        keys = self.keys.now
        return jwt.encode(claims, keys.key, algorithm="EdDSA", headers={"typ": TYPE, "kid": keys.kid})

    async def published(self, request: Request) -> Response:
        """GET /.well-known/jwks.json on the admin port."""
        return Response(
            self.keys.now.published,
            media_type="application/jwk-set+json",
            headers={"cache-control": "max-age=60"},
        )


@dataclass(frozen=True, slots=True)
class InternalCredentials:
    """Credentials for an upstream with internal tokens. sends_user_token: the person's own token is sent as well, as
    the bearer token, and the internal one in the header `HEADER`."""

    tokens: InternalTokens
    audience: str
    sends_user_token: bool = False
    identifies_user = True

    def headers(self, principal: Principal, request: RequestContext, *, write: bool) -> Mapping[str, str]:
        token = (
            self.tokens.for_write(principal, self.audience, request)
            if write
            else self.tokens.for_reads(principal, self.audience)
        )
        if self.sends_user_token:
            return {**USER_TOKEN.headers(principal, request, write=write), HEADER: token}
        return {"authorization": f"Bearer {token}"}


def open_tokens(settings: InternalSettings | None, public_url: str) -> InternalTokens | None:
    """None where no keys are set. Raises DeclarationError."""
    if settings is None:
        return None
    try:
        keys = SigningKeys(settings.keys, look=settings.look)
    except ValueError as error:
        raise DeclarationError(f"BFF_INTERNAL__KEYS: {error}") from None
    return InternalTokens(keys, settings.issuer or public_url, lifetime=settings.lifetime)


def credentials_for(service: str, upstream: UpstreamSettings, tokens: InternalTokens | None) -> Credentials:
    """The credentials that tell this upstream who asks. Raises DeclarationError."""
    if upstream.identity == "user":
        return USER_TOKEN
    if upstream.identity == "none":
        return NoCredentials()
    if tokens is None:
        raise DeclarationError(
            f"BFF_UPSTREAMS__{service.upper()}__IDENTITY: {upstream.identity} needs keys to sign with; "
            "set BFF_INTERNAL__KEYS to a file that `bff keys rotate` made"
        )
    return InternalCredentials(
        tokens, upstream.audience or service, sends_user_token=upstream.identity == "both"
    )


def _client(principal: Principal) -> str | None:
    client = principal.claims.get("client_id")
    return client if isinstance(client, str) and client else None
