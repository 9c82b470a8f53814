"""The client of the identity provider: OpenID Connect, authorization code flow with PKCE, a confidential client.

Guarantees that an ID token is accepted only when its signature, issuer, audience, nonce and times are right. A refresh
counts as refused only when the provider answers `invalid_grant`, so that a provider that is away, broken or
misconfigured never signs anyone out. Scopes and roles that are missing from an answer, or cannot be read, are not
granted. Tokens that cannot be sent in a header are refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus, urlencode

from ...calls import Clock
from ...policies import tokens
from ...policies.tokens import Parsed, TokenRefused
from ..settings import IssuerSettings, OidcSettings
from .fetch import Fetch, FetchFailed
from .issuer import Issuer
from .refresh import RefreshRefused
from .session_record import SessionRecord, TokenSet

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
DEFAULT_LIFETIME = 300.0
"""Seconds of an access token's lifetime where the provider does not say."""
ID_TOKEN_AGE = 600.0
"""Seconds since its issue after which an ID token is refused: it cannot be the answer to this sign-in."""
LOGOUT_TOKEN_AGE = 600.0
"""Seconds since its issue after which a logout token is refused, even if it expires later; its id is stored as long.
Providers give it two minutes (Back-Channel Logout 1.0 section 2.4)."""


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


class Provider:
    """redirect_uri  this gateway's callback
    exchange      fetches from the token endpoint, with a longer timeout; None: `fetch`
    trusted       the issuer of access tokens with the same name, where there is one: its algorithms and leeway then
                  hold for ID tokens, too
    clock         Unix seconds; monotonic is for ages
    """

    def __init__(
        self,
        settings: OidcSettings,
        fetch: Fetch,
        *,
        redirect_uri: str,
        exchange: Fetch | None = None,
        trusted: Issuer | None = None,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self.issuer = settings.issuer
        self._settings = settings
        self._exchange = exchange or fetch
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._trusted = trusted or Issuer(
            IssuerSettings(
                issuer=settings.issuer, audience=settings.client_id, internal_url=settings.internal_url
            ),
            fetch,
            monotonic,
        )
        self._discovery = self._trusted.discovery
        self._leeway = self._trusted.settings.leeway

    def status(self) -> dict[str, object]:
        """The provider's state as of the last fetch of its discovery document. A missing or old one is fetched in the
        background."""
        self._discovery.refresh_when_old()
        return {"issuer": self.issuer, "state": self._discovery.state}

    async def close(self) -> None:
        """Cancel the fetches under way."""
        await self._trusted.close()

    async def authorize_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send the browser. Raises FetchFailed."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = self._settings.authorize | {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(await self._discovery.endpoint("authorization_endpoint"), query)

    async def end_session_url(self, id_token: str | None, return_to: str) -> str | None:
        """Where to send the browser to end its session at the provider, too; None when the provider has no such
        endpoint. Raises FetchFailed."""
        if "end_session_endpoint" not in await self._discovery.document():
            return None
        query = {"client_id": self._settings.client_id, "post_logout_redirect_uri": return_to}
        if id_token is not None:
            query["id_token_hint"] = id_token
        return _with_query(await self._discovery.endpoint("end_session_endpoint"), query)

    async def names_itself(self) -> bool:
        """Whether every authorization answer carries `iss` (RFC 9207 section 3). Raises FetchFailed."""
        return (await self._discovery.document()).get(
            "authorization_response_iss_parameter_supported"
        ) is True

    async def exchange(self, code: str, *, verifier: str, nonce: str) -> SessionRecord:
        """Redeem an authorization code. Raises SignInRefused or FetchFailed."""
        status, answer = await self._token_request(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": verifier,
            }
        )
        if status != 200:
            error = _error_of(answer)
            reason = f"it answered {status} {error}{_described(answer)}"
            if error != "invalid_grant":
                # Not the browser's fault: this client is set up differently at the provider.
                raise SignInRefused(
                    f"the identity provider refused this site ({error})", status=502, reason=reason
                )
            raise SignInRefused(f"the identity provider refused the sign-in's code ({error})", reason=reason)
        try:
            got = self._tokens(answer)
            if got.scopes is None:
                # RFC 6749 section 5.1: it may be left out when all was granted. What cannot be read grants nothing.
                granted = self._settings.scopes if answer.get("scope") is None else ()
                got = replace(got, scopes=frozenset(granted))
            claims = await self._id_claims(got.id_token, nonce)
            roles = tokens.roles_of(claims, self._settings.roles)
        except TokenRefused as refusal:
            raise SignInRefused(
                f"the identity provider's answer cannot be accepted: {refusal}", status=502
            ) from None
        sid = claims.get("sid")
        return SessionRecord(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            sid=sid if isinstance(sid, str) and sid else None,
            claims=tokens.person_claims(claims),
            tokens=got,
            roles=roles,
        )

    async def renew(self, refresh_token: str) -> TokenSet:
        """Redeem a refresh token. Raises RefreshRefused or FetchFailed.

        The ID token, where there is one, is not verified: the caller compares whom it is about.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        status, answer = await self._token_request(form)
        if status != 200:
            error = _error_of(answer)
            if error == "invalid_grant":
                raise RefreshRefused(error)
            raise FetchFailed(f"{self.issuer} answered a refresh with {status} {error}{_described(answer)}")
        try:
            return self._tokens(answer)
        except TokenRefused as refusal:
            raise FetchFailed(
                f"{self.issuer} answered a refresh with something unusable: {refusal}"
            ) from None

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
        await self._trusted.verify_signature(parsed)
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
        await self._trusted.verify_signature(parsed)
        return claims

    def _parsed(self, token: str, types: Collection[str], *, subject: bool) -> Parsed:
        """A token of this type whose issuer, audience and times are right; its signature is not verified yet."""
        parsed = tokens.parse(token)
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

    async def _token_request(self, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        document = await self._discovery.document()
        secret = self._settings.client_secret.get_secret_value()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        fields = dict(form)
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            fields |= {"client_id": self._settings.client_id, "client_secret": secret}
        else:
            # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
            pair = f"{quote_plus(self._settings.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        status, received, body = await self._exchange(
            await self._discovery.endpoint("token_endpoint"),
            method="POST",
            headers=headers,
            body=urlencode(fields).encode(),
        )
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and isinstance(text := answer.get("error_description"), str):
            # Some providers repeat what they received.
            for given in (secret, *form.values()):
                text = text.replace(given, "[withheld]")
            answer["error_description"] = text
        # 4xx with an error document is the provider's answer; anything else is a provider that does not work.
        if not isinstance(answer, dict) or status >= 500 or 300 <= status < 400 or status == 429:
            kind = received.get("content-type", "no content type").partition(";")[0]
            what = _error_of(answer) + _described(answer) if isinstance(answer, dict) else readable(kind)
            raise FetchFailed(f"{self.issuer} answered its token endpoint with {status} ({what})")
        return status, answer

    def _tokens(self, answer: Mapping[str, Any]) -> TokenSet:
        access = _token(answer, "access_token")
        if access is None or str(answer.get("token_type")).lower() != "bearer":
            raise TokenRefused("there is no bearer token in it")
        scope = answer.get("scope")
        now = self._clock()
        return TokenSet(
            access_token=access,
            issued_at=now,
            expires_at=now + _lifetime(answer),
            scopes=frozenset(scope.split()) if isinstance(scope, str) else None,
            refresh_token=_token(answer, "refresh_token"),
            id_token=_token(answer, "id_token"),
        )


def _token(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > tokens.MAX_TOKEN or not value.isascii():
        raise TokenRefused(f"its {name} cannot be read")
    if not value.isprintable() or " " in value:
        raise TokenRefused(f"its {name} holds characters no token has")
    return value


def _lifetime(answer: Mapping[str, Any]) -> float:
    """Seconds; some providers write the number as text. Raises TokenRefused."""
    seconds = answer.get("expires_in")
    if seconds is None:
        return DEFAULT_LIFETIME
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit() and len(seconds) < 10:
        seconds = int(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e9:
        raise TokenRefused("its expiry cannot be read")
    return float(seconds)


def readable(text: str, most: int = 200) -> str:
    """Text from outside as a log line may hold it: no line breaks, no control or direction characters."""
    cut = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:most])
    return cut + "…" if len(text) > most else cut


def _described(answer: Mapping[str, Any]) -> str:
    text = answer.get("error_description")
    return f": {readable(text)}" if isinstance(text, str) and text else ""


def _error_of(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    if (
        isinstance(error, str)
        and 0 < len(error) <= 64
        and error.replace("_", "").isalnum()
        and error.isascii()
    ):
        return error
    return "no reason given"


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
