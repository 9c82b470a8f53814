"""The identity provider as this gateway's confidential client sees it: OpenID Connect, code flow with PKCE.

Promises that an ID token is believed only when its signature, issuer, audience, nonce and times are right, whatever
connection it came over; that a refresh token is called refused only when the provider says `invalid_grant`, so that a
provider that is away, broken or misconfigured never signs anyone out; and that what an answer leaves out, or says in a
way that cannot be read, gives no right. Refuses tokens that could not travel in a header.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus, urlencode

from ...calls import Clock
from ...calls.ending import end_tasks
from ...policies import tokens
from ...policies.tokens import TokenRefused
from ..settings import IssuerSettings, OidcSettings
from .discovery import Discovery
from .fetch import Fetch, FetchFailed
from .jwks import KeySet, KeysUnavailable
from .jwt import verified
from .refresh import RefreshRefused
from .session_record import SessionRecord, TokenSet

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LEEWAY = 10.0
LIFE = 300.0
"""Seconds an access token is taken to live when the provider does not say."""
REDEMPTION = 10.0
"""Seconds the token endpoint may take: an answer given up on may hold the only refresh token that still works."""
ID_TOKEN_AGE = 600.0
"""Seconds since its issue after which an ID token is no answer to a sign-in that just happened."""
LOGOUT_TOKEN_AGE = 600.0
"""Seconds since its issue after which a logout token is refused, whenever it says that it expires. So long, and no
longer, it is remembered. Providers give it two minutes (Back-Channel Logout 1.0 section 2.4)."""


class SignInRefused(Exception):
    """The answer cannot be accepted. The message is fit for the person signing in.

    status  400 when the browser brought it, 502 when the provider gave it
    reason  what the operator is told besides; never a secret
    """

    def __init__(self, why: str, *, status: int = 400, reason: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A verified back-channel logout: by the provider's session, by the person, or both. until: Unix seconds from which
    on it would be refused for its age."""

    sid: str | None
    subject: str | None
    token_id: str
    until: float


class Provider:
    """redirect_uri: this gateway's callback; exchange: asks the token endpoint, where it is given more time; trusted:
    the issuer's entry in settings and its keys, where it has one (its algorithms and leeway then hold for ID tokens,
    too)."""

    def __init__(
        self,
        settings: OidcSettings,
        fetch: Fetch,
        *,
        redirect_uri: str,
        exchange: Fetch | None = None,
        trusted: IssuerSettings | None = None,
        keys: KeySet | None = None,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self.issuer = settings.issuer
        self.client_id = settings.client_id
        self._settings = settings
        self._exchange = exchange or fetch
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._discovery = Discovery(settings.issuer, fetch, monotonic)
        self._algorithms = trusted.algorithms if trusted else ("ES256", "RS256", "EdDSA")
        self._leeway = trusted.leeway if trusted else LEEWAY
        self._looking: asyncio.Task[None] | None = None
        self._own_keys = keys is None
        self._keys = keys or KeySet(
            lambda: self._discovery.endpoint("jwks_uri"), fetch, frozenset(self._algorithms), monotonic
        )

    def look(self) -> dict[str, object]:
        """What is known of the provider; where nothing is, or not lately, it is asked meanwhile."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="bff-provider")
        return {"issuer": self.issuer, "state": self._discovery.state}

    async def _look(self) -> None:
        with contextlib.suppress(FetchFailed):
            await self._discovery.document()

    async def close(self) -> None:
        if self._looking is not None:
            await end_tasks([self._looking])
        if self._own_keys:
            await self._keys.close()

    async def authorize_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send the browser. Raises FetchFailed."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = self._settings.authorize | {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(await self._discovery.endpoint("authorization_endpoint"), query)

    async def end_session_url(self, id_token: str | None, back_to: str) -> str | None:
        """Where to send the browser to end its session at the provider, too; None when the provider has no such
        place. Raises FetchFailed."""
        if "end_session_endpoint" not in await self._discovery.document():
            return None
        query = {"client_id": self.client_id, "post_logout_redirect_uri": back_to}
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
                # Not the browser's fault: the client is not set up as the provider knows it.
                raise SignInRefused(
                    f"the identity provider would not answer this site ({error})", status=502, reason=reason
                )
            raise SignInRefused(
                f"the identity provider would not take the sign-in's code ({error})", reason=reason
            )
        try:
            got = self._tokens(answer)
            if got.scopes is None:
                # RFC 6749 section 5.1: left out when it is what was asked for. What cannot be read grants nothing.
                asked = self._settings.scopes if answer.get("scope") is None else ()
                got = replace(got, scopes=frozenset(asked))
            claims = await self._id_claims(got.id_token, nonce)
            roles = tokens.roles_of(claims, self._settings.roles)
        except TokenRefused as refusal:
            why = f"the identity provider's answer cannot be accepted: {refusal}"
            raise SignInRefused(why, status=502, reason=f"its answer cannot be accepted: {refusal}") from None
        except KeysUnavailable:
            raise FetchFailed(f"the keys of {self.issuer} cannot be fetched") from None
        sid = claims.get("sid")
        return SessionRecord(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            sid=sid if isinstance(sid, str) and sid else None,
            claims=tokens.visible(claims),
            tokens=got,
            roles=roles,
        )

    async def renew(self, refresh_token: str) -> TokenSet:
        """Redeem a refresh token. Raises RefreshRefused or FetchFailed.

        Its ID token, where there is one, is that of the answer: whoever keeps the session compares who it is about.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        status, answer = await self._token_request(form)
        if status != 200:
            error = _error_of(answer)
            if error == "invalid_grant":
                raise RefreshRefused(error)
            raise FetchFailed(f"{self.issuer} answered a refresh with {status} {error}{_described(answer)}")
        try:
            got = self._tokens(answer)
        except TokenRefused as refusal:
            raise FetchFailed(
                f"{self.issuer} answered a refresh with something unusable: {refusal}"
            ) from None
        return got

    async def logout_token(self, token: str) -> LogoutToken:
        """Verify a logout token (Back-Channel Logout 1.0 section 2.6). Raises TokenRefused or KeysUnavailable."""
        parsed = tokens.parse(token)
        tokens.judge_type(parsed, tokens.LOGOUT_TOKEN_TYPES)
        claims = parsed.claims
        self._judge(claims, subject=False)
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
        await verified(parsed, self._keys, self._algorithms)
        until = min(tokens.expiry_of(claims), issued + LOGOUT_TOKEN_AGE) + self._leeway
        return LogoutToken(sid, subject, token_id, until)

    async def _id_claims(self, id_token: str | None, nonce: str) -> Mapping[str, Any]:
        if id_token is None:
            raise TokenRefused("there is no ID token in it")
        parsed = tokens.parse(id_token)
        tokens.judge_type(parsed, tokens.ID_TOKEN_TYPES)
        claims = parsed.claims
        self._judge(claims, subject=True)
        audience, party = claims["aud"], claims.get("azp")
        if (isinstance(audience, list) and len(audience) > 1 and party is None) or (
            party is not None and party != self.client_id
        ):
            raise TokenRefused("its authorized party is another client")
        named = claims.get("nonce")
        if not isinstance(named, str) or not hmac.compare_digest(named.encode(), nonce.encode()):
            raise TokenRefused("its nonce belongs to another sign-in")
        if self._clock() - float(claims["iat"]) > ID_TOKEN_AGE:
            raise TokenRefused("it was issued for an earlier sign-in")
        await verified(parsed, self._keys, self._algorithms)
        return claims

    def _judge(self, claims: Mapping[str, Any], *, subject: bool) -> None:
        if claims.get("iss") != self.issuer:
            raise TokenRefused("it is from another issuer")
        tokens.judge_claims(
            claims, audience=self.client_id, now=self._clock(), leeway=self._leeway, subject=subject
        )

    async def _token_request(self, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        document = await self._discovery.document()
        endpoint = await self._discovery.endpoint("token_endpoint")
        secret = self._settings.client_secret.get_secret_value()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        fields = dict(form)
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            fields |= {"client_id": self.client_id, "client_secret": secret}
        else:
            # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        status, told, body = await self._exchange(
            endpoint, method="POST", headers=headers, body=urlencode(fields).encode()
        )
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and isinstance(text := answer.get("error_description"), str):
            # Some providers repeat what they were sent.
            for given in (secret, *form.values()):
                text = text.replace(given, "[withheld]")
            answer["error_description"] = text
        # 4xx with an error document is the provider's word; anything else is a provider that does not work.
        if not isinstance(answer, dict) or status >= 500 or 300 <= status < 400 or status == 429:
            kind = told.get("content-type", "no content type").partition(";")[0]
            what = _error_of(answer) + _described(answer) if isinstance(answer, dict) else readable(kind)
            raise FetchFailed(f"{self.issuer} answered its token endpoint with {status} ({what})")
        return status, answer

    def _tokens(self, answer: Mapping[str, Any]) -> TokenSet:
        access = _token(answer, "access_token")
        kind = answer.get("token_type")
        if access is None or not isinstance(kind, str) or kind.lower() != "bearer":
            raise TokenRefused("there is no bearer token in it")
        scope = answer.get("scope")
        now = self._clock()
        return TokenSet(
            access_token=access,
            issued_at=now,
            expires_at=now + _life(answer),
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


def _life(answer: Mapping[str, Any]) -> float:
    """Seconds; some providers write the number as a text. Raises TokenRefused."""
    life = answer.get("expires_in")
    if life is None:
        return LIFE
    if isinstance(life, str) and life.isascii() and life.isdigit() and len(life) < 10:
        life = int(life)
    if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < 1e9:
        raise TokenRefused("its expiry cannot be read")
    return float(life)


def readable(text: str, most: int = 200) -> str:
    """What somebody else wrote, as a log may have it: one line, no control characters, no marks of direction."""
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
