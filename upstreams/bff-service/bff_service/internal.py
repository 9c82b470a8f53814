"""Who asks, in the gateway's word: its internal tokens, verified here against the keys it publishes. Guarantees to take
only what was signed for this very service (EdDSA, the gateway's own `typ` and issuer, one audience) and for a minute
at most; refuses every other algorithm and every header that repeats what the token says."""

from __future__ import annotations

from typing import Any

import httpx
from jwt.algorithms import OKPAlgorithm

from bff_service.problems import Refusal
from bff_service.tokens import MAX_KEYS, Caller, KeySet, TokenVerifier, unauthorized, verified

LIFETIME = 60
_LEEWAY = 5
_FRESH = 60.0


class GatewayKeys(KeySet):
    """The gateway's Ed25519 keys by `kid`, from its JWK set at `url`; asked for again after a minute, so that a key
    withdrawn there is not believed for longer."""

    _away = Refusal(503, "gateway-unavailable", "The gateway's keys cannot be had.", retry_after=1)

    def __init__(self, client: httpx.AsyncClient, url: str, **options: Any) -> None:
        super().__init__(client, url, **{"fresh": _FRESH, **options})
        self._url = url

    async def _published(self) -> dict[str, Any]:
        found = (await self._json(self._url))["keys"]
        return {
            str(entry["kid"]): OKPAlgorithm.from_jwk(entry) for entry in found[:MAX_KEYS] if _usable(entry)
        }


def _usable(entry: dict[str, Any]) -> bool:
    return (
        entry.get("kty") == "OKP"
        and entry.get("crv") == "Ed25519"
        and entry.get("use") == "sig"
        and entry.get("alg") == "EdDSA"
        and "d" not in entry
        and isinstance(entry.get("kid"), str)
    )


class InternalVerifier:
    """issuer: the gateway's name in its tokens; audience: this service's."""

    def __init__(self, keys: KeySet, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def caller(self, token: str, header: dict[str, Any]) -> Caller:
        """The caller in a token whose header says that it is one of these; 401 and 503 problems."""
        if header.get("alg") != "EdDSA" or not isinstance(header.get("kid"), str):
            raise unauthorized("The token is not one of the gateway's.")
        claims = verified(
            token,
            await self._keys.key(header["kid"]),
            algorithm="EdDSA",
            issuer=self._issuer,
            audience=self._audience,
            leeway=_LEEWAY,
            require=("jti",),
        )
        begins, ends = claims["iat"], claims["exp"]
        if type(begins) is not int or type(ends) is not int or not begins < ends <= begins + LIFETIME:
            raise unauthorized("The token is good for longer than a minute.")
        if claims["aud"] != self._audience:
            raise unauthorized("The token is for others, too.")
        issuer, _, subject = str(claims["sub"]).partition("|")
        scope, client, mutation = claims.get("scope", ""), claims.get("client_id", ""), claims.get("mutation")
        if not (issuer and subject and isinstance(scope, str) and isinstance(client, str)):
            raise unauthorized("The token names no subject.")
        return Caller(
            sub=subject,
            iss=issuer,
            client_id=client,
            scopes=frozenset(scope.split()),
            # The gateway says it: a token without this claim, or with another value, is no person's.
            is_person=claims.get("person") is True,
            by_gateway=True,
            mutation=mutation if isinstance(mutation, str) else None,
        )


def gateway_verifier(
    client: httpx.AsyncClient, keys_url: str, *, issuer: str, audience: str
) -> TokenVerifier:
    """Takes the tokens of one gateway and no others. keys_url: where it publishes its keys
    (`/.well-known/jwks.json` on its admin port); issuer: its name in them; audience: this service's."""
    internal = InternalVerifier(GatewayKeys(client, keys_url), issuer=issuer, audience=audience)
    return TokenVerifier(None, issuer=issuer, audience=audience, internal=internal)
