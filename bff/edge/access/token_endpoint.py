"""Requests of this gateway's client to the identity provider: tokens (RFC 6749), pushed authorization requests (RFC
9126) and revocations (RFC 7009); and what is read of a token answer.

Guarantees that an error of the provider is told apart from a provider that does not work (FetchFailed), and that no
token, code or secret is in a message, even where the provider repeats what it received. Token answers are read as
providers send them: `expires_in` may be a text, null or missing, `scope` and a new refresh token may be missing. Tokens
that cannot be sent in a header are refused, and so are tokens longer than 64 KB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ...policies.tokens import TokenRefused
from .client_authentication import ClientAuthentication, Proof
from .fetch import Fetch, FetchFailed, FetchResponse
from .issuer import Discovery
from .session_record import TokenSet

DEFAULT_LIFETIME = 300.0
"""Seconds of an access token's lifetime where the provider does not say."""
MAX_SESSION_TOKEN = 65_536
"""Characters of a token that a session stores. Bearer tokens of API clients have a smaller bound of their own."""
ANSWER_BYTES = 4 * MAX_SESSION_TOKEN
"""Bytes of a token answer at most: three tokens, and what is around them."""


class TokenEndpoint:
    """issuer: names the provider in messages; discovery: of its addresses; fetch: sends the requests."""

    def __init__(
        self, issuer: str, discovery: Discovery, authentication: ClientAuthentication, fetch: Fetch
    ) -> None:
        self._issuer = issuer
        self._discovery = discovery
        self._authentication = authentication
        self._fetch = fetch

    async def request(
        self, form: Mapping[str, str], *, endpoint: str = "token_endpoint", fetch: Fetch | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Send a form; returns the status, which is 200, 201 or the 4xx of an error document, and the answer's members.
        endpoint: its name in the discovery document; fetch: None for the one of the constructor. Raises FetchFailed."""
        proof, (status, received, body) = await self._send(form, endpoint, fetch or self._fetch)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and isinstance(text := answer.get("error_description"), str):
            # Some providers repeat what they received.
            for given in (*proof.sensitive, *form.values()):
                text = text.replace(given, "[withheld]")
            answer["error_description"] = text
        # 4xx with an error document is the provider's answer; anything else is a provider that does not work.
        if not isinstance(answer, dict) or status >= 500 or 300 <= status < 400 or status == 429:
            kind = received.get("content-type", "no content type").partition(";")[0]
            what = error_of(answer) + described(answer) if isinstance(answer, dict) else readable(kind)
            raise FetchFailed(f"{self._issuer} answered its {endpoint} with {status} ({what})")
        return status, answer

    async def revoke(self, token: str, hint: str, *, fetch: Fetch | None = None) -> None:
        """Revoke a token. hint: `refresh_token` or `access_token`. Nothing happens where the provider revokes none.
        fetch: as in `request`. Raises FetchFailed, also for a revocation that is refused."""
        if "revocation_endpoint" not in await self._discovery.document():
            return
        form = {"token": token, "token_type_hint": hint}
        _, (status, _, body) = await self._send(form, "revocation_endpoint", fetch or self._fetch)
        # Section 2.2.1: some providers revoke refresh tokens alone.
        if status != 200 and b"unsupported_token_type" not in body:
            raise FetchFailed(f"{self._issuer} answered a revocation with {status}")

    async def _send(
        self, form: Mapping[str, str], endpoint: str, fetch: Fetch
    ) -> tuple[Proof, FetchResponse]:
        url = await self._discovery.endpoint(endpoint)
        proof = self._authentication.proof(await self._discovery.document())
        answered = await fetch(
            url,
            method="POST",
            headers={"content-type": "application/x-www-form-urlencoded", **proof.headers},
            body=urlencode({**form, **proof.fields}).encode(),
        )
        return proof, answered


def tokens_of(answer: Mapping[str, Any], now: float) -> TokenSet:
    """The tokens of an answer; now: Unix seconds. Raises TokenRefused."""
    access = _token(answer, "access_token")
    if access is None or str(answer.get("token_type")).lower() != "bearer":
        raise TokenRefused("there is no bearer token in it")
    scope = answer.get("scope")
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
    if not isinstance(value, str) or not value.isascii():
        raise TokenRefused(f"its {name} cannot be read")
    if len(value) > MAX_SESSION_TOKEN:
        raise TokenRefused(f"its {name} is longer than {MAX_SESSION_TOKEN // 1024} KB")
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


def described(answer: Mapping[str, Any]) -> str:
    """The description of an error, as a log line may end with it."""
    text = answer.get("error_description")
    return f": {readable(text)}" if isinstance(text, str) and text else ""


def error_of(answer: Mapping[str, Any]) -> str:
    """The code of an error (RFC 6749 section 5.2)."""
    error = answer.get("error")
    if isinstance(error, str) and len(error) <= 64 and error.replace("_", "").isalnum() and error.isascii():
        return error
    return "no reason given"
