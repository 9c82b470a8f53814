"""Who calls: access tokens verified against identity's published keys. Guarantees RFC 9068 tokens only (ES256,
`typ: at+jwt`, our issuer and audience, not expired, a real subject) and keys that outlive identity's absence.
Refuses every other algorithm and type, and follows no address named in a token. Where a gateway is known, people come
with its internal tokens only: what was stolen from a page opens nothing here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import jwt
from jwt.algorithms import ECAlgorithm

from bff_service.problems import Problem, Refusal

_log = logging.getLogger(__name__)
_MAX_TOKEN_BYTES = 8192
MAX_KEYS = 32
_LEEWAY = 10
_INTERNAL = "bff-internal+jwt"
_MACHINE_GRANTS = frozenset({"client-credentials", "client_credentials"})
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


@dataclass(frozen=True, slots=True)
class Caller:
    """The verified subject of a request; `id` is `<iss>|<sub>`, the principal's id everywhere. is_person: False for a
    service, and where the token does not say; by_gateway: an internal token said all this; mutation: the click it was
    made for."""

    sub: str
    iss: str
    client_id: str
    scopes: frozenset[str]
    name: str | None = None
    is_person: bool = False
    by_gateway: bool = False
    mutation: str | None = None

    @property
    def id(self) -> str:
        return f"{self.iss}|{self.sub}"

    @property
    def header_id(self) -> str:
        """`id` as the header `BFF-Owner` has it: `%`, characters outside ASCII and spaces at the end are
        percent-encoded in UTF-8."""
        bare = self.id.rstrip(" ")
        return quote(bare, safe=_PRINTABLE) + "%20" * (len(self.id) - len(bare))


def is_person(claims: Mapping[str, Any], client: str) -> bool:
    """Whether an access token was issued for a person. client: its `client_id`.

    By client credentials a client is its own subject (RFC 9068, section 2.2). Providers that deviate from this mark
    such tokens: Auth0 by `@clients` or `gty`, Entra by `idtyp`, Keycloak by the name or the address of the service.
    """
    subject, username = claims.get("sub"), claims.get("preferred_username")
    grants = claims.get("gty", claims.get("grant_type", ()))
    named = grants if isinstance(grants, list) else [grants]
    return (
        isinstance(subject, str)
        and subject not in (client, claims.get("azp", client), claims.get("appid"), claims.get("cid"))
        and not subject.endswith("@clients")
        and not any(isinstance(one, str) and one in _MACHINE_GRANTS for one in named)
        and claims.get("idtyp", "user") == "user"
        and not (isinstance(username, str) and username.startswith("service-account-"))
        and not any(name in claims for name in ("clientHost", "clientAddress"))
    )


class InternalTokens(Protocol):
    """Verifies a gateway's tokens: see `InternalVerifier`."""

    async def caller(self, token: str, header: dict[str, Any]) -> Caller: ...


def unauthorized(detail: str) -> Problem:
    """401 with the challenge of RFC 6750."""
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class KeySet:
    """Identity's ES256 keys by `kid`.

    One fetch at a time; kept `fresh` seconds (600), then refetched but served stale while identity is away;
    an unknown `kid` causes a fetch at most every `gap` seconds (5). Raises 503 only while no key was ever seen.
    """

    _away = Refusal(503, "identity-unavailable", "The identity service does not answer.", retry_after=1)

    def __init__(
        self,
        client: httpx.AsyncClient,
        issuer: str,
        *,
        gap: float = 5.0,
        fresh: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._issuer = issuer
        self._gap = gap
        self._fresh = fresh
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: dict[str, Any] = {}  # PyJWT's key objects
        self._tried = float("-inf")
        self._loaded = float("-inf")

    async def key(self, kid: str) -> Any:
        """The public key of that id, or None when identity does not publish it."""
        if kid in self._keys and self._clock() - self._loaded < self._fresh:
            return self._keys[kid]
        if kid in self._keys and self._lock.locked():
            # Someone is fetching: a stale key now is better than a queue behind a silent identity service.
            return self._keys[kid]
        async with self._lock:
            now = self._clock()
            wanted = kid not in self._keys or now - self._loaded >= self._fresh
            # Without any key each request tries, one at a time: a service may be up before identity is.
            if wanted and (not self._keys or now - self._tried >= self._gap):
                self._tried = now
                await self._load()
        if not self._keys:
            raise self._away.problem()
        return self._keys.get(kid)

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(2.0):
                keys = await self._published()
        except (
            httpx.HTTPError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            TimeoutError,
            jwt.PyJWTError,
        ) as e:
            _log.warning("keys could not be fetched", extra={"from": self._issuer, "reason": repr(e)})
            return
        self._keys = keys
        self._loaded = self._clock()

    async def _published(self) -> dict[str, Any]:
        about = await self._json(f"{self._issuer}/.well-known/openid-configuration")
        if about["issuer"] != self._issuer:
            # OpenID Connect Discovery 1.0, section 4.3.
            raise ValueError("the discovery document is another issuer's")
        found = (await self._json(str(about["jwks_uri"])))["keys"]
        return {
            str(entry["kid"]): ECAlgorithm.from_jwk(entry) for entry in found[:MAX_KEYS] if _usable(entry)
        }

    async def _json(self, url: str) -> Any:  # what came over the wire, checked where it is used
        answer = await self._client.get(url)
        answer.raise_for_status()
        return answer.json()


def _usable(entry: dict[str, Any]) -> bool:
    return (
        entry.get("kty") == "EC"
        and entry.get("crv") == "P-256"
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", "ES256") == "ES256"
        and "d" not in entry
        and isinstance(entry.get("kid"), str)
    )


def verified(
    token: str,
    key: Any,
    *,
    algorithm: str,
    issuer: str,
    audience: str,
    leeway: float,
    require: Sequence[str] = (),
) -> dict[str, Any]:
    """The claims of a token signed with this key (None: nobody's), of this issuer, for this audience, and not expired.
    leeway: seconds of clock difference; require: claims beside those that every token has. Raises 401 problems."""
    if key is None:
        raise unauthorized("The token's key is unknown.")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            options={"require": ["iss", "aud", "exp", "iat", "sub", *require]},
        )
    except (jwt.PyJWTError, ValueError, OverflowError, TypeError):
        raise unauthorized("The token is expired or not for this service.") from None
    if "cnf" in claims:
        # RFC 7800: it is bound to a key, and whoever merely holds it has not proved anything.
        raise unauthorized("The token is bound to a key, so it is no bearer token.")
    return claims


class TokenVerifier:
    """Turns a bearer token into a `Caller`, or raises a 401 problem (503 while no key is known).

    internal: verifies the gateway's tokens; then people's own are refused, and services' own are taken as before.
    keys: the identity provider's; None: no access tokens are taken, only the gateway's.
    """

    def __init__(
        self, keys: KeySet | None, *, issuer: str, audience: str, internal: InternalTokens | None = None
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._internal = internal

    async def caller(self, authorization: str) -> Caller:
        """The caller behind an `Authorization` header's value."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_BYTES:
            raise unauthorized("A bearer token is needed.")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise unauthorized("The token is malformed.") from None
        kind = str(header.get("typ", "")).lower().removeprefix("application/")
        if self._internal is not None and kind == _INTERNAL:
            return await self._internal.caller(token, header)
        if self._keys is None or header.get("alg") != "ES256" or kind != "at+jwt":
            raise unauthorized("The token is not one that this service takes.")
        if not isinstance(header.get("kid"), str):
            raise unauthorized("The token names no key.")
        claims = verified(
            token,
            await self._keys.key(header["kid"]),
            algorithm="ES256",
            issuer=self._issuer,
            audience=self._audience,
            leeway=_LEEWAY,
        )
        sub, client = claims["sub"], claims.get("client_id")
        if not (isinstance(sub, str) and sub and isinstance(client, str) and client):
            raise unauthorized("The token names no subject or client.")
        if type(claims["exp"]) not in (int, float):
            raise unauthorized("The token's times are not numbers.")
        name = claims.get("name")
        scope = claims.get("scope", "")
        caller = Caller(
            sub=sub,
            iss=str(claims["iss"]),
            client_id=client,
            scopes=frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
            name=name if isinstance(name, str) else None,
            is_person=is_person(claims, client),
        )
        if self._internal is not None and caller.is_person:
            raise unauthorized("People come through the gateway.")
        return caller
