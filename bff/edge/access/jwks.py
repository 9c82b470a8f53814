"""The signing keys of one issuer: fetched without blocking the event loop, and used on while the issuer is away.

Guarantees at most one fetch at a time and five seconds between two, so that made-up key ids do not make the gateway
flood the issuer. Keys are used for up to 24 hours while the issuer is away. Refuses keys that are not for signing, that
share a key id, are symmetric or private, are of a type that no algorithm of the issuer uses, or are so weak that others
than their owner could sign with them (`is_sound`). (PyJWT's own PyJWKClient blocks the loop and accepts all of those.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ...calls import Clock
from ...calls.shutdown import cancel_tasks
from .fetch import Fetch, FetchFailed

log = logging.getLogger("bff.jwks")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

GAP = 5.0
"""Seconds between the starts of two fetches while there are keys."""
FIRST_GAP = 1.0
"""Seconds between the starts of two fetches while there are no keys."""
FRESH = 300.0
"""Seconds after which keys are fetched again in the background: this is how a removed key is noticed."""
STALE = 24 * 3600.0
"""Seconds for which keys are used after their last successful fetch."""
UNKNOWN_FOR = 30.0
"""Seconds for which an unknown key id is refused without another fetch."""
UNKNOWN_MOST = 1000
"""Unknown key ids remembered; when full all are dropped, and the gap between fetches still holds."""
KEYS_MOST = 32
"""Keys of a set that are read: providers publish two to twelve, and each costs 12 µs."""

_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class KeysUnavailable(Exception):
    """There are no keys, and none can be fetched now."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """kid: None when the issuer gave none; algorithms: those this key may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: PublicKey


def usable_keys(document: object, allowed: frozenset[str]) -> tuple[SigningKey, ...]:
    """The keys of a JWK set (RFC 7517) that may verify signatures by one of the `allowed` algorithms."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FetchFailed("the answer is not a JWK set")
    entries = [one for one in entries[:KEYS_MOST] if isinstance(one, dict)]
    found = [key for key in (_usable(one, allowed) for one in entries) if key is not None]
    kids = Counter(key.kid for key in found)
    return tuple(key for key in found if key.kid is None or kids[key.kid] == 1)


def _usable(entry: Mapping[str, Any], allowed: frozenset[str]) -> SigningKey | None:
    kid, kty, curve = entry.get("kid"), entry.get("kty"), str(entry.get("crv"))
    if kid is not None and (not isinstance(kid, str) or not kid):
        return None
    if entry.get("use", "sig") != "sig" or "verify" not in _operations(entry) or "d" in entry:
        return None
    if kty == "EC" and curve in _CURVES:
        fitting = frozenset({_CURVES[curve]})
    elif kty == "RSA":
        fitting = _RSA
    elif kty == "OKP" and curve == "Ed25519":
        fitting = frozenset({"EdDSA"})
    else:
        return None
    fitting &= allowed
    if "alg" in entry:
        fitting &= frozenset({str(entry["alg"])})
    if not fitting:
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm=min(fitting)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return SigningKey(kid, fitting, key) if isinstance(key, PublicKey) and is_sound(key) else None


def is_sound(key: PublicKey) -> bool:
    """Whether a signature by this key proves anything, and does not cost too much to verify.

    RSA: 2,048–8,192 bits; an exponent above 2^16 (FIPS 186-5; with 1 every message is its own signature) and below
    2^32 (one as long as the modulus makes a verification a hundred times as expensive); an odd modulus. Ed25519: no
    point of small order, for which one signature fits every message.
    """
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return 2048 <= key.key_size <= 8192 and 2**16 < numbers.e < 2**32 and numbers.n & numbers.e & 1 == 1
    if isinstance(key, Ed25519PublicKey):
        point = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
        return point % _P not in _SMALL_ORDER
    return True


# RFC 8032: the prime of Ed25519, and the heights y of the points whose order divides 8.
_P = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


def _operations(entry: Mapping[str, Any]) -> list[Any]:
    operations = entry.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


class KeySet:
    """One issuer's keys. locate: gives their address, or raises FetchFailed.

    generation  counts the changes of the keys: what was verified under an older one has to be verified again
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[str]],
        fetch: Fetch,
        algorithms: frozenset[str],
        clock: Clock = time.monotonic,
    ) -> None:
        self.generation = 0
        self._locate = locate
        self._fetch = fetch
        self._algorithms = algorithms
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._good_at = float("-inf")
        self._asked_at = float("-inf")
        self._unknown: dict[tuple[str | None, str], float] = {}
        self._flight: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """The key for a token's `kid` and `alg`; None when the issuer has no such key.

        A token without `kid` is accepted only when exactly one key fits. Raises KeysUnavailable.
        """
        self.refresh_when_old()
        if not self._have():
            await self._ask()
            if not self._have():
                raise KeysUnavailable
        key = self._match(kid, algorithm)
        if key is not None or self._clock() < self._unknown.get((kid, algorithm), float("-inf")):
            return key
        # The issuer may have a new key: fetch, at most once in the gap, however many tokens ask for one.
        if await self._ask():
            key = self._match(kid, algorithm)
            if key is None and self._good_at >= self._asked_at:
                # Only a successful fetch shows that there is no such key.
                if len(self._unknown) >= UNKNOWN_MOST:
                    self._unknown.clear()
                self._unknown[kid, algorithm] = self._clock() + UNKNOWN_FOR
        return key

    def refresh_when_old(self) -> None:
        """Start a fetch in the background when the keys are older than five minutes."""
        if self._keys and self._clock() - self._good_at >= FRESH and self._may_ask():
            self._begin()

    def refresh_if_needed(self) -> None:
        """Start a fetch in the background when there are no keys, or old ones."""
        if self._may_ask() and (not self._have() or self._clock() - self._good_at >= FRESH):
            self._begin()

    @property
    def state(self) -> dict[str, object]:
        """As of the last fetch: `state` (`up`, `away`, or `unknown` before the first), the number of usable `keys`, and
        their `age` in seconds, None where there are none."""
        have = self._have()
        state = "up" if have and self._good_at >= self._asked_at else "away"
        if self._asked_at == float("-inf") or (not have and self._flight is not None):
            state = "unknown"
        age = round(self._clock() - self._good_at) if have else None
        return {"state": state, "keys": len(self._keys) if have else 0, "age": age}

    async def close(self) -> None:
        if self._flight is not None:
            await cancel_tasks([self._flight])

    def _have(self) -> bool:
        return bool(self._keys) and self._clock() - self._good_at < STALE

    def _match(self, kid: str | None, algorithm: str) -> SigningKey | None:
        fitting = [
            key for key in self._keys if algorithm in key.algorithms and (kid is None or key.kid == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _may_ask(self) -> bool:
        return self._flight is None and self._clock() - self._asked_at >= (GAP if self._have() else FIRST_GAP)

    def _begin(self) -> asyncio.Task[None]:
        self._asked_at = self._clock()
        self._flight = asyncio.get_running_loop().create_task(self._load(), name="bff-jwks")
        self._flight.add_done_callback(self._on_done)
        return self._flight

    def _on_done(self, flight: asyncio.Task[None]) -> None:
        self._flight = None
        if not flight.cancelled() and flight.exception() is not None:
            log.error("reading the signing keys failed", exc_info=flight.exception())

    async def _ask(self) -> bool:
        """Wait for the fetch under way, or for a new one where the gap allows it; False when there is neither."""
        flight = self._flight or (self._begin() if self._may_ask() else None)
        if flight is None:
            return False
        # A caller that disconnects must not cancel the fetch that others wait for.
        await asyncio.shield(flight)
        return True

    async def _load(self) -> None:
        try:
            url = await self._locate()
            status, _, body = await self._fetch(url)
            if status != 200:
                raise FetchFailed(f"{url} answered {status}")
            keys = usable_keys(_json(body), self._algorithms)
        except FetchFailed as error:
            log.warning("no new signing keys: %s", error)
            return
        if not keys and self._keys:
            # An empty set is far more often a broken deployment than a withdrawal of every key. The old keys expire
            # after STALE all the same.
            log.warning("the issuer's key set holds no usable key; keeping the known ones")
            return
        self._good_at = self._clock()
        if _prints(keys) != _prints(self._keys):
            self._keys = keys
            self._unknown.clear()
            self.generation += 1


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise FetchFailed("the answer is not JSON") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise FetchFailed("the answer names a member twice")
    return members


def _prints(keys: tuple[SigningKey, ...]) -> set[tuple[str | None, frozenset[str], object]]:
    return {(key.kid, key.algorithms, _numbers(key.key)) for key in keys}


def _numbers(key: PublicKey) -> object:
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    return key.public_numbers()
