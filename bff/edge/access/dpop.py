"""Proofs of possession of API clients: DPoP (RFC 9449).

An access token that is bound to a key (`cnf.jkt`) is accepted with the scheme `DPoP` and with a proof: a JWT that the
key signed for this method, this address, this token, and this moment. Guarantees that a proof works once, over all
gateways (one step in Redis), that only asymmetric algorithms and sound public keys count, and that a proof made ahead
is of no use: it needs a nonce of this server, which is derived from a secret that all gateways share and that changes
every hour. Addresses are compared with the public URL, its path prefix included, or with one of the hosts that settings
list in its place, whatever proxies did to the request. While Redis is away no proof can be accepted: 503.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from ...calls import Clock
from ...policies import tokens
from ...policies.tokens import Parsed, Reason, TokenRefused
from ...stores.proofs import ProofStore
from ...stores.redis.client import StoreUnavailable
from ..http.request import header_values
from ..problem import Problem
from ..settings import DpopSettings
from .jwks import PublicKey, is_signed_by, public_key
from .jwt import challenge
from .session_cookies import Site

TYPE = "dpop+jwt"
LEEWAY = 10.0
"""Seconds by which the client's clock may be ahead."""
WINDOW = 300
"""Seconds for which a nonce is given out; it is accepted for as long again."""
PERIOD = 3600
"""Seconds after which the nonces have another secret; a multiple of `WINDOW`."""
MAX_ID = 256
"""Characters of a proof's `jti` at most."""

# RFC 7638 section 3.2: the members of a thumbprint, in their order.
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS = {"http": 80, "https": 443}


class Nonces:
    """The nonces of this server (section 8). They are stored nowhere: `<window>.<HMAC of the window>`. clock: Unix
    seconds; random: makes so many random bytes."""

    def __init__(
        self,
        store: ProofStore,
        clock: Clock = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._secrets: dict[int, bytes] = {}

    async def current(self) -> str:
        """The nonce to give out now. Raises StoreUnavailable."""
        return await self._nonce(self._window)

    async def accepts(self, nonce: object) -> bool:
        """Whether it is the nonce of this window or of the last one. Raises StoreUnavailable."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        window = self._window
        for one in (window, window - 1):
            if nonce.startswith(f"{one}."):
                return hmac.compare_digest(nonce, await self._nonce(one))
        return False

    @property
    def _window(self) -> int:
        return int(self._clock() // WINDOW)

    async def _nonce(self, window: int) -> str:
        period = window * WINDOW // PERIOD
        secret = self._secrets.get(period)
        if secret is None:
            secret = await self._store.nonce_secret(period, self._random(32), keep=PERIOD * 1.5)
            # Two periods at most are in use.
            self._secrets = {old: one for old, one in self._secrets.items() if old >= period - 1}
            self._secrets[period] = secret
        mac = hmac.digest(secret, f"bff dpop nonce {window}".encode(), "sha256")
        return f"{window}.{_b64(mac[:16])}"


class ProofVerifier:
    """`await verifier.verify(scope, token, key)`: returns when the request has a good proof; raises Problem 401
    `invalid-proof` or `dpop-nonce`, or 503 while Redis is away.

    site        where clients reach this gateway
    clock       Unix seconds
    """

    def __init__(
        self, store: ProofStore, site: Site, settings: DpopSettings, clock: Clock = time.time
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._nonces = Nonces(store, clock)
        self._site = site

    async def verify(
        self, scope: MutableMapping[str, Any], token: str, key: str, refused: Callable[[TokenRefused], object]
    ) -> None:
        """token: the access token as it was sent; key: the thumbprint to which it is bound; refused: is told of every
        refusal, for the log, except that a nonce is needed, which happens to every client."""
        try:
            await self._verify(scope, token, key)
        except TokenRefused as refusal:
            if refusal.reason is not Reason.PROOF_NONCE:
                refused(refusal)
            raise await self._problem(refusal.reason or Reason.PROOF_MALFORMED) from None
        except StoreUnavailable:
            raise _unavailable() from None

    async def _verify(self, scope: MutableMapping[str, Any], token: str, key: str) -> None:
        proofs = header_values(scope, b"dpop")
        if len(proofs) != 1:
            raise TokenRefused(Reason.PROOF_MISSING, seen=len(proofs), expected=1)
        parsed = _parsed(proofs[0].decode("latin-1"))
        if not hmac.compare_digest(_checked_signature(parsed), key):
            raise TokenRefused(Reason.PROOF_BINDING)
        claims = parsed.claims
        if claims.get("htm") != scope["method"]:
            raise TokenRefused(Reason.PROOF_METHOD, seen=claims.get("htm"), expected=scope["method"])
        parts = urlsplit(self._site.url(scope))
        expected = f"{parts.scheme}://{parts.netloc}{_raw_path(scope)}"
        named = _normalized(claims.get("htu"))
        # Neither is an address that cannot be read: two of them must not count as equal.
        if named is None or named != _normalized(expected):
            raise TokenRefused(Reason.PROOF_ADDRESS, seen=claims.get("htu"), expected=expected)
        now, issued = self._clock(), tokens.timestamp(claims, "iat", Reason.PROOF_TIME)
        if not now - self._settings.age <= issued <= now + LEEWAY:
            raise TokenRefused(Reason.PROOF_TIME, seen=issued, expected=f"{now:.0f}")
        if claims.get("ath") != _b64(hashlib.sha256(token.encode()).digest()):
            raise TokenRefused(Reason.PROOF_TOKEN)
        proof_id = claims.get("jti")
        if not isinstance(proof_id, str) or not 0 < len(proof_id) <= MAX_ID or not proof_id.isprintable():
            raise TokenRefused(Reason.PROOF_ID, seen=proof_id)
        if self._settings.nonce and not await self._nonces.accepts(claims.get("nonce")):
            raise TokenRefused(Reason.PROOF_NONCE)
        # It is accepted from `LEEWAY` before its time until `age` after it.
        if not await self._store.use(key, proof_id, keep=self._settings.age + 2 * LEEWAY):
            raise TokenRefused(Reason.PROOF_REPLAYED, seen=proof_id)

    async def _problem(self, reason: Reason) -> Problem:
        headers = {}
        if self._settings.nonce:
            try:
                headers["dpop-nonce"] = await self._nonces.current()
            except StoreUnavailable:
                return _unavailable()
        if reason is Reason.PROOF_NONCE:
            code, error, cure = (
                "dpop-nonce",
                "use_dpop_nonce",
                "Repeat the request with the nonce in DPoP-Nonce",
            )
        else:
            code, error, cure = "invalid-proof", "invalid_dpop_proof", "Make a new proof for each request"
        return Problem(
            401,
            code,
            f"The proof of possession cannot be accepted: {reason.text}. {cure}.",
            headers={"www-authenticate": challenge("DPoP", error, reason), **headers},
            extra={"reason": reason.code},
        )


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint of a public key (RFC 7638). jwk: of the type EC, RSA or OKP."""
    members = {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}
    text = json.dumps(members, separators=(",", ":"))
    return _b64(hashlib.sha256(text.encode()).digest())


def _parsed(proof: str) -> Parsed:
    try:
        parsed = tokens.parse(proof)
    except TokenRefused as refusal:
        raise TokenRefused(Reason.PROOF_MALFORMED, seen=refusal.reason and refusal.reason.code) from None
    if parsed.header.get("typ") != TYPE:
        raise TokenRefused(Reason.PROOF_MALFORMED, seen=parsed.header.get("typ"), expected=TYPE)
    return parsed


def _checked_signature(parsed: Parsed) -> str:
    """The thumbprint of the key that made the signature, which the header contains."""
    jwk = parsed.header.get("jwk")
    key: PublicKey | None = public_key(jwk, parsed.algorithm) if isinstance(jwk, dict) else None
    if key is None or not isinstance(jwk, dict):
        raise TokenRefused(Reason.PROOF_KEY, seen=parsed.algorithm)
    if not is_signed_by(key, parsed.algorithm, parsed.signed, parsed.signature):
        raise TokenRefused(Reason.PROOF_SIGNATURE)
    return thumbprint(jwk)


def _raw_path(scope: MutableMapping[str, Any]) -> str:
    raw = scope.get("raw_path")
    return raw.decode("latin-1") if raw else quote(scope["path"])


def _normalized(url: object) -> tuple[str, bytes, int | None, str] | None:
    """The address without query and fragment, normalized by RFC 3986 sections 6.2.2 and 6.2.3; None where it cannot be
    read."""
    if not isinstance(url, str) or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname and parts.hostname.encode("idna")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not host or "@" in parts.netloc or parts.scheme not in _PORTS:
        return None
    return parts.scheme, host, port, _ESCAPE.sub(_unescaped, parts.path) or "/"


def _unescaped(escape: re.Match[str]) -> str:
    letter = chr(int(escape[1], 16))
    return letter if letter in _UNRESERVED else escape[0].upper()


def _unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "Whether this proof was used before cannot be checked at the moment. Try again shortly, with a new proof.",
        retry_after=1.0,
    )


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
