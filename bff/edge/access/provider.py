"""The client of the identity provider: OpenID Connect, authorization code flow with PKCE, a confidential client.

Guarantees that an ID token is accepted only when its signature, issuer, audience, nonce and times are right, and that a
sign-in which had to be recent, or of a certain class, was so. ID tokens are signed with one of the asymmetric
algorithms that the provider's metadata lists. A refresh counts as refused only when the provider answers
`invalid_grant`, so that a provider that is away, broken or misconfigured never signs anyone out. Scopes and roles that
are missing from an answer, or cannot be read, are not granted. At most `SIGNING_IN` sign-ins wait for the provider at
once; refreshes do not wait behind them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from ...calls import Clock
from ...policies import tokens
from ...policies.tokens import Parsed, TokenRefused
from ..settings import IssuerSettings, OidcSettings
from .client_authentication import ClientAuthentication
from .fetch import Fetch, FetchFailed
from .issuer import Issuer
from .person import Roles, UserInfo, shown_claims
from .refresh import RefreshRefused
from .session_record import SessionRecord, TokenSet
from .token_endpoint import MAX_SESSION_TOKEN, TokenEndpoint, described, error_of, tokens_of

log = logging.getLogger("bff.session")

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
ID_TOKEN_AGE = 600.0
"""Seconds since its issue after which an ID token is refused: it cannot be the answer to this sign-in."""
LOGOUT_TOKEN_AGE = 600.0
"""Seconds since its issue after which a logout token is refused, even if it expires later; its id is stored as long.
Providers give it two minutes (Back-Channel Logout 1.0 section 2.4)."""
MAX_HINT = 3000
"""Characters of an ID token that is sent as a hint to the provider's logout, in an address. With a longer one the hint
is left out, and the provider asks the person."""
SIGNING_IN = 64
"""Sign-ins that wait for the provider at once; the next one is answered 503 at once and can be repeated."""
_USUAL_ALGORITHMS = frozenset({"ES256", "RS256", "EdDSA"})
"""Accepted for ID tokens where the metadata lists none."""


class SignInRefused(Exception):
    """The answer cannot be accepted. The message is shown to the person who signs in.

    status  400 when the browser brought the answer, 502 when it came from the provider
    reason  more for the operator's log; never a secret
    """

    def __init__(self, why: str, *, status: int = 400, reason: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A verified back-channel logout, of a session at the provider, of a person, or both. until: Unix seconds from
    which it is refused for its age."""

    sid: str | None
    subject: str | None
    token_id: str
    until: float


@dataclass(frozen=True, slots=True)
class Demands:
    """What a sign-in has to fulfil beside the settings (RFC 9470).

    max_age  seconds between the person's authentication and the begin of the sign-in, at most; None: any
    acr      classes of authentication of which one is needed; empty: any
    began    Unix seconds at which the sign-in began; None: now
    """

    max_age: int | None = None
    acr: tuple[str, ...] = ()
    began: float | None = None


NO_DEMANDS = Demands()


class Provider:
    """redirect_uri  this gateway's callback
    name          in the settings, "" for `oidc`; sessions are bound to it
    exchange      fetches codes and claims, with a longer timeout; None: `fetch`
    refreshes     fetches refreshed tokens and revokes tokens; None: `exchange`
    trusted       the issuer of access tokens with the same name, where there is one: its leeway, and algorithms that
                  its settings name, then hold for ID tokens, too
    clock         Unix seconds; monotonic is for ages
    secret        known to this site's gateways alone, for what they have to recognise
    Raises DeclarationError for a client key that cannot be used.
    """

    def __init__(
        self,
        settings: OidcSettings,
        fetch: Fetch,
        *,
        redirect_uri: str,
        name: str = "",
        exchange: Fetch | None = None,
        refreshes: Fetch | None = None,
        trusted: Issuer | None = None,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self.issuer = settings.issuer
        self.name = name
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._clock = clock
        own = IssuerSettings(
            issuer=settings.issuer,
            audience=settings.client_id,
            algorithms=tuple(sorted(tokens.ASYMMETRIC)),
            internal_url=settings.internal_url,
            jwks_uri=trusted.settings.jwks_uri if trusted is not None else None,
        )
        self._verifier = Issuer(
            own, fetch, monotonic, discovery=None if trusted is None else trusted.discovery
        )
        self._discovery = self._verifier.discovery
        self._leeway = (trusted or self._verifier).settings.leeway
        self._allowed = tokens.ASYMMETRIC
        if trusted is not None and "algorithms" in trusted.settings.model_fields_set:
            self._allowed = frozenset(trusted.settings.algorithms)
        self._fetch = fetch
        self._refreshes = refreshes or exchange or fetch
        self._authentication = authentication = ClientAuthentication(settings, clock)
        self._endpoint = TokenEndpoint(settings.issuer, self._discovery, authentication, exchange or fetch)
        self._userinfo = UserInfo(settings, self._discovery, exchange or fetch, self._verify)
        self._roles = Roles(settings, self._verify, MAX_SESSION_TOKEN)
        self._signing_in = 0

    @property
    def secret(self) -> str:
        """What only this gateway and the provider know, as it is now, see `ClientAuthentication.secret`."""
        return self._authentication.secret

    def status(self) -> dict[str, object]:
        """The provider's state as of the last fetch of its discovery document. A missing or old one is fetched in the
        background."""
        self._discovery.refresh_when_old()
        return {"issuer": self.issuer, "state": self._discovery.state}

    def start(self) -> None:
        """Follow the file of the client key until `close`."""
        self._authentication.start()

    async def close(self) -> None:
        """Cancel the fetches under way."""
        await self._authentication.close()
        await self._verifier.close()

    async def authorize_url(
        self,
        *,
        state: str,
        nonce: str,
        verifier: str,
        asked: Mapping[str, str] | None = None,
        redirect_uri: str | None = None,
    ) -> str:
        """Where to send the browser. asked: further parameters of this sign-in, such as `max_age` or `login_hint`;
        redirect_uri: None for the one of the constructor. Raises FetchFailed."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        settings = self._settings
        query = settings.authorize | _standing(settings)
        given = dict(asked or {})
        if "prompt" in given and "prompt" in query:
            given["prompt"] = " ".join(dict.fromkeys((*query["prompt"].split(), given["prompt"])))
        if "max_age" in given and settings.max_age is not None:
            given["max_age"] = str(min(int(given["max_age"]), settings.max_age))
        query |= given
        query |= {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect_uri or self._redirect_uri,
            "scope": " ".join(settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        pushed = await self._push(query)
        return _with_query(await self._discovery.endpoint("authorization_endpoint"), pushed or query)

    async def _push(self, query: Mapping[str, str]) -> Mapping[str, str] | None:
        """Push the request (RFC 9126); returns the parameters that stand for it, None to send it with the browser.
        Raises FetchFailed where the provider demands pushed requests and takes none."""
        document = await self._discovery.document()
        demanded = document.get("require_pushed_authorization_requests") is True
        if "pushed_authorization_request_endpoint" not in document or (
            self._settings.pushed == "never" and not demanded
        ):
            return None
        try:
            with self._waiting():
                status, answer = await self._endpoint.request(
                    query, endpoint="pushed_authorization_request_endpoint", fetch=self._fetch
                )
            reference = answer.get("request_uri")
            if status not in (200, 201) or not isinstance(reference, str) or not 0 < len(reference) <= 2048:
                raise FetchFailed(
                    f"{self.issuer} refused a pushed request: {status} {error_of(answer)}{described(answer)}"
                )
        except FetchFailed as error:
            if demanded:
                raise
            log.warning("an authorization request is sent with the browser: %s", error)
            return None
        return {"client_id": self._settings.client_id, "request_uri": reference}

    async def end_session_url(self, id_token: str | None, return_to: str) -> str | None:
        """Where to send the browser to end its session at the provider, too; None when the provider has no such
        endpoint. Raises FetchFailed."""
        if "end_session_endpoint" not in await self._discovery.document():
            return None
        query = {"client_id": self._settings.client_id, "post_logout_redirect_uri": return_to}
        if id_token is not None and len(id_token) <= MAX_HINT:
            query["id_token_hint"] = id_token
        return _with_query(await self._discovery.endpoint("end_session_endpoint"), query)

    async def names_itself(self) -> bool:
        """Whether every authorization answer carries `iss` (RFC 9207 section 3). Raises FetchFailed."""
        return (await self._discovery.document()).get(
            "authorization_response_iss_parameter_supported"
        ) is True

    async def exchange(
        self,
        code: str,
        *,
        verifier: str,
        nonce: str,
        demands: Demands = NO_DEMANDS,
        redirect_uri: str | None = None,
    ) -> SessionRecord:
        """Redeem an authorization code. redirect_uri: that of the authorization request. Raises SignInRefused or
        FetchFailed."""
        with self._waiting():
            status, answer = await self._endpoint.request(
                {
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": redirect_uri or self._redirect_uri,
                    "code_verifier": verifier,
                }
            )
            if status != 200:
                raise _refused(status, answer)
            try:
                return await self._record(answer, nonce, demands)
            except TokenRefused as refusal:
                raise SignInRefused(
                    f"the identity provider's answer cannot be accepted: {refusal}", status=502
                ) from None

    async def _record(self, answer: Mapping[str, Any], nonce: str, demands: Demands) -> SessionRecord:
        got = tokens_of(answer, self._clock())
        if got.scopes is None:
            # RFC 6749 section 5.1: it may be left out when all was granted. What cannot be read grants nothing.
            granted = self._settings.scopes if answer.get("scope") is None else ()
            got = replace(got, scopes=frozenset(granted))
        claims = await self._id_claims(got.id_token, nonce)
        auth_time, acr = tokens.auth_time_of(claims), tokens.acr_of(claims)
        self._check_demands(auth_time, acr, demands)
        known = await self._userinfo.complete(claims, got.access_token, got.scopes or frozenset())
        granted_roles = await self._roles.of(known, got.access_token)
        sid = claims.get("sid")
        return SessionRecord(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            sid=sid if isinstance(sid, str) and sid else None,
            claims=shown_claims(known),
            tokens=got,
            roles=granted_roles.names,
            auth_time=auth_time,
            acr=acr,
            provider=self.name,
            left_out=granted_roles.left_out,
        )

    def _check_demands(self, auth_time: float | None, acr: str | None, demands: Demands) -> None:
        """Raises SignInRefused where the provider did not authenticate the person as it was asked to."""
        began = self._clock() if demands.began is None else demands.began
        ages = [age for age in (demands.max_age, self._settings.max_age) if age is not None]
        if ages and (auth_time is None or auth_time < began - min(ages) - self._leeway):
            raise SignInRefused(
                "this needs a new proof of who you are, and the identity provider did not ask for one",
                reason=f"auth_time is {'missing' if auth_time is None else 'too old'}, max_age is {min(ages)}",
            )
        if demands.acr and acr not in demands.acr:
            raise SignInRefused(
                "this needs a stronger sign-in, which the identity provider did not carry out",
                reason=f"acr is not one of {' '.join(demands.acr)}",
            )

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """One of the sign-ins that wait for the provider. Raises FetchFailed where there are too many."""
        if self._signing_in >= SIGNING_IN:
            raise FetchFailed(f"{SIGNING_IN} sign-ins wait for {self.issuer} already")
        self._signing_in += 1
        try:
            yield
        finally:
            self._signing_in -= 1

    async def renew(self, refresh_token: str) -> TokenSet:
        """Redeem a refresh token. Raises RefreshRefused or FetchFailed.

        The ID token, where there is one, is not verified: the caller compares whom it is about.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        status, answer = await self._endpoint.request(form, fetch=self._refreshes)
        if status != 200:
            error = error_of(answer)
            if error == "invalid_grant":
                raise RefreshRefused(error)
            raise FetchFailed(f"{self.issuer} answered a refresh with {status} {error}{described(answer)}")
        try:
            return tokens_of(answer, self._clock())
        except TokenRefused as refusal:
            raise FetchFailed(
                f"{self.issuer} answered a refresh with something unusable: {refusal}"
            ) from None

    async def revoke(self, given: TokenSet) -> None:
        """Revoke the tokens of a session that has ended (RFC 7009). Revoking a refresh token ends its access tokens at
        most providers (section 2.1), and the access token is revoked as well. Raises FetchFailed."""
        pairs = ((given.refresh_token, "refresh_token"), (given.access_token, "access_token"))
        for token, hint in pairs:
            if token is not None:
                await self._endpoint.revoke(token, hint, fetch=self._refreshes)

    async def logout_token(self, token: str) -> LogoutToken:
        """Verify a logout token (Back-Channel Logout 1.0 section 2.6). Raises TokenRefused or FetchFailed."""
        parsed = self._parsed(token, tokens.LOGOUT_TOKEN_TYPES, subject=False)
        claims = parsed.claims
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise TokenRefused("it announces no logout")
        if "nonce" in claims:
            raise TokenRefused("it holds a nonce, so it is another kind of token")
        sid, subject, token_id = claims.get("sid"), claims.get("sub"), claims.get("jti")
        if not isinstance(token_id, str) or not token_id:
            raise TokenRefused("it has no id")
        if (sid is not None and (not isinstance(sid, str) or not sid)) or (sid is None and subject is None):
            raise TokenRefused("it names neither a session nor a subject")
        issued = float(claims["iat"])
        if self._clock() - issued >= LOGOUT_TOKEN_AGE + self._leeway:
            raise TokenRefused("it was issued too long ago")
        await self._verify_signature(parsed)
        until = min(tokens.expiry_of(claims), issued + LOGOUT_TOKEN_AGE) + self._leeway
        return LogoutToken(sid, subject, token_id, until)

    async def _id_claims(self, id_token: str | None, nonce: str) -> Mapping[str, Any]:
        if id_token is None:
            raise TokenRefused("there is no ID token in it")
        parsed = self._parsed(id_token, tokens.ID_TOKEN_TYPES, subject=True)
        claims = parsed.claims
        audience, party = claims["aud"], claims.get("azp")
        if (isinstance(audience, list) and len(audience) > 1 and party is None) or (
            party is not None and party != self._settings.client_id
        ):
            raise TokenRefused("its authorized party is another client")
        named = claims.get("nonce")
        if not isinstance(named, str) or not hmac.compare_digest(
            named.encode(errors="surrogatepass"), nonce.encode()
        ):
            raise TokenRefused("its nonce belongs to another sign-in")
        if self._clock() - float(claims["iat"]) > ID_TOKEN_AGE:
            raise TokenRefused("it was issued for an earlier sign-in")
        await self._verify_signature(parsed)
        return claims

    def _parsed(self, token: str, types: Collection[str], *, subject: bool) -> Parsed:
        """A token of this type whose issuer, audience and times are right; its signature is not verified yet."""
        parsed = tokens.parse(token, most=MAX_SESSION_TOKEN)
        tokens.check_type(parsed, types)
        if parsed.claims.get("iss") != self.issuer:
            raise TokenRefused("it is from another issuer")
        tokens.check_claims(
            parsed.claims,
            audience=self._settings.client_id,
            now=self._clock(),
            leeway=self._leeway,
            subject=subject,
        )
        return parsed

    async def _verify(self, parsed: Parsed) -> None:
        if parsed.claims.get("iss") != self.issuer:
            raise TokenRefused("it is from another issuer")
        await self._verify_signature(parsed)

    async def _verify_signature(self, parsed: Parsed) -> None:
        listed = (await self._discovery.document()).get("id_token_signing_alg_values_supported")
        allowed = frozenset(map(str, listed)) if isinstance(listed, list) else _USUAL_ALGORITHMS
        if parsed.algorithm not in allowed & self._allowed:
            raise TokenRefused("its algorithm is not allowed for its issuer")
        await self._verifier.verify_signature(parsed)


def _standing(settings: OidcSettings) -> dict[str, str]:
    """The parameters that the settings add to every sign-in."""
    found = {"acr_values": " ".join(settings.acr_values)} if settings.acr_values else {}
    return found if settings.max_age is None else found | {"max_age": str(settings.max_age)}


def _refused(status: int, answer: Mapping[str, Any]) -> SignInRefused:
    """Why the provider redeems no code."""
    error = error_of(answer)
    reason = f"it answered {status} {error}{described(answer)}"
    if error == "invalid_grant":
        return SignInRefused(f"the identity provider refused the sign-in's code ({error})", reason=reason)
    # Not the browser's fault: this client is set up differently at the provider.
    return SignInRefused(f"the identity provider refused this site ({error})", status=502, reason=reason)


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
