"""A token issuer and its documents: the discovery document (OpenID Connect Discovery 1.0) and the signing keys.

Guarantees that each document is fetched without blocking the event loop, once for all requests that wait for it, and is
used on while the issuer is away. The discovery document must name exactly the configured issuer, and an https issuer
never leads to a plain http address. At least five seconds pass between two fetches of keys, so that made-up key ids do
not make the gateway flood the issuer. While the issuer is away, keys are used for up to 24 hours and a discovery
document for as long as the process lives. (PyJWT's own PyJWKClient blocks the loop.)
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...calls import Clock
from ...calls.shutdown import cancel_tasks, close_all
from ...policies.tokens import Parsed, Reason, TokenRefused
from ..settings import IssuerSettings
from .fetch import Fetch, FetchFailed, fetch_json
from .jwks import SigningKey, is_signed_by, usable_keys

log = logging.getLogger("bff.jwks")

FIRST_GAP = 1.0
"""Seconds between the starts of two fetches while there is no document to use."""
GAP = 5.0
"""Seconds between the starts of two fetches while there are keys."""
FRESH = 300.0
"""Seconds after which keys are fetched again in the background: this is how a removed key is noticed."""
STALE = 24 * 3600.0
"""Seconds for which keys are used after their last successful fetch."""
UNKNOWN_FOR = 30.0
"""Seconds for which an unknown key id is refused without another fetch."""
UNKNOWN_MOST = 1000
"""Unknown key ids remembered; when full all are dropped, and the gap between fetches still holds."""


class IssuerDocument(ABC):
    """A document of an issuer: fetched when it is first needed, and again when it is old.

    fresh  seconds after which it is old
    stale  seconds for which it is used while no newer one can be fetched
    gap    seconds between the starts of two fetches while there is a document to use
    state  `up` or `away` as of the last fetch, `unknown` before the first has ended
    """

    def __init__(self, fetch: Fetch, clock: Clock, *, fresh: float, stale: float, gap: float) -> None:
        self.state = "unknown"
        self._fetch = fetch
        self._clock = clock
        self._fresh, self._stale, self._gap = fresh, stale, gap
        self._failure = ""
        self._fetched_at = self._tried_at = float("-inf")
        self._flight: asyncio.Task[None] | None = None

    @abstractmethod
    async def _load(self) -> None:
        """Fetch the document and use it from now on. Raises FetchFailed."""

    def refresh_when_old(self) -> None:
        """Start a fetch in the background where there is no document or an old one."""
        if self._clock() - self._fetched_at >= self._fresh:
            self._start()

    async def close(self) -> None:
        if self._flight is not None:
            await cancel_tasks([self._flight])

    def _is_usable(self) -> bool:
        return self._clock() - self._fetched_at < self._stale

    async def _wait(self) -> bool:
        """Wait for the fetch under way, or for a new one where the gap allows it; False when there is neither."""
        flight = self._start()
        if flight is not None:
            # A caller that disconnects must not cancel the fetch that others wait for.
            await asyncio.shield(flight)
        return flight is not None

    def _start(self) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one where the gap allows it."""
        gap = self._gap if self._is_usable() else FIRST_GAP
        if self._flight is None and self._clock() - self._tried_at >= gap:
            self._tried_at = self._clock()
            self._flight = asyncio.get_running_loop().create_task(self._run(), name="bff-issuer")
        return self._flight

    async def _run(self) -> None:
        try:
            await self._load()
        except FetchFailed as error:
            if str(error) != self._failure:
                log.warning("a document of an issuer cannot be fetched: %s", error)
            self._failure, self.state = str(error), "away"
        except Exception:
            log.exception("reading a document of an issuer failed")
            raise
        else:
            self._failure, self.state, self._fetched_at = "", "up", self._clock()
        finally:
            self._flight = None


class Discovery(IssuerDocument):
    """The discovery document of one issuer, whose name is compared character by character (section 4.3). Fetched again
    after an hour, or a minute after a fetch that failed. inner: the scheme, host and port at which the issuer is
    reached, where they are others than its own; the addresses of its document count as below the issuer's own."""

    def __init__(
        self, issuer: str, fetch: Fetch, clock: Clock = time.monotonic, inner: str | None = None
    ) -> None:
        super().__init__(fetch, clock, fresh=3600.0, stale=float("inf"), gap=60.0)
        self._issuer = issuer
        self._inner = inner
        self._document: Mapping[str, Any] = {}

    async def endpoint(self, name: str) -> str:
        """The address under `name`, for example `token_endpoint`. Raises FetchFailed when there is none."""
        value = (await self.document()).get(name)
        if isinstance(value, str):
            value = self._outer(value)
        if not isinstance(value, str) or not self._is_acceptable(value):
            raise FetchFailed(f"{self._issuer} names no usable {name}")
        return value

    def _outer(self, url: str) -> str:
        """The address as browsers have it: a provider may name the address at which it was asked."""
        inner = self._inner
        if inner is None or not (url == inner or url.startswith((f"{inner}/", f"{inner}?"))):
            return url
        return "/".join(self._issuer.split("/")[:3]) + url.removeprefix(inner)

    async def document(self) -> Mapping[str, Any]:
        """The whole document. Waits for a newer one where it is old. Raises FetchFailed when there is none and none can
        be fetched."""
        if self._clock() - self._fetched_at >= self._fresh:
            await self._wait()
        if not self._is_usable():
            raise FetchFailed(self._failure)
        return self._document

    async def _load(self) -> None:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await fetch_json(self._fetch, url)
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise FetchFailed(f"the discovery document at {self._issuer} is another issuer's")
        self._document = document

    def _is_acceptable(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        plain = parts.scheme == "http" and self._issuer.startswith("http:")
        return bool(parts.hostname) and (parts.scheme == "https" or plain)


class KeySet(IssuerDocument):
    """The signing keys of one issuer, from `jwks_uri` of its settings or of its discovery document.

    generation  counts the changes of the keys: what was verified under an older one has to be verified again
    """

    def __init__(self, settings: IssuerSettings, discovery: Discovery, fetch: Fetch, clock: Clock) -> None:
        super().__init__(fetch, clock, fresh=FRESH, stale=STALE, gap=GAP)
        self.generation = 0
        self._settings = settings
        self._discovery = discovery
        self._keys: tuple[SigningKey, ...] = ()
        self._unknown: dict[tuple[str | None, str], float] = {}

    async def find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """The key for a token's `kid` and `alg`; None when the issuer has no such key.

        A token without `kid` is accepted only when exactly one key fits. Raises FetchFailed when there are no keys and
        none can be fetched now.
        """
        self.refresh_when_old()
        if not self._is_usable():
            await self._wait()
        if not self._is_usable():
            raise FetchFailed(f"the keys of {self._settings.issuer} cannot be fetched")
        key = self._match(kid, algorithm)
        if key is not None or self._clock() < self._unknown.get((kid, algorithm), float("-inf")):
            return key
        # The issuer may have a new key: fetch, at most once in the gap, however many tokens ask for one.
        if await self._wait():
            key = self._match(kid, algorithm)
            if key is None and self.state == "up":
                # Only a successful fetch shows that there is no such key.
                if len(self._unknown) >= UNKNOWN_MOST:
                    self._unknown.clear()
                self._unknown[kid, algorithm] = self._clock() + UNKNOWN_FOR
        return key

    async def replacement(self, key: SigningKey, kid: str | None, algorithm: str) -> SigningKey | None:
        """Another key with the id and algorithm of `key`, whose signatures turn out wrong: fetched now where the gap
        allows it. None where the issuer still has the same key."""
        found = self._match(kid, algorithm)
        if found == key and await self._wait():
            found = self._match(kid, algorithm)
        return None if found == key else found

    def status(self) -> dict[str, object]:
        """As of the last fetch: `state`, the number of usable `keys`, and their `age` in seconds, None where there are
        none. Missing or old keys are fetched in the background."""
        self.refresh_when_old()
        usable = self._is_usable()
        age = round(self._clock() - self._fetched_at) if usable else None
        return {"state": self.state, "keys": len(self._keys) if usable else 0, "age": age}

    async def _load(self) -> None:
        url = self._settings.jwks_uri or await self._discovery.endpoint("jwks_uri")
        keys = usable_keys(await fetch_json(self._fetch, url), frozenset(self._settings.algorithms))
        if not keys:
            # An empty set is far more often a broken deployment than a withdrawal of every key. The old keys are used
            # until STALE.
            raise FetchFailed(f"{url} holds no usable key")
        if len(keys) != len(self._keys) or any(key not in self._keys for key in keys):
            self._keys = keys
            self._unknown.clear()
            self.generation += 1

    def _match(self, kid: str | None, algorithm: str) -> SigningKey | None:
        fitting = [
            key for key in self._keys if algorithm in key.algorithms and (kid is None or key.kid == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None


class Issuer:
    """A trusted issuer. settings: which of its tokens are accepted; clock: monotonic seconds; discovery: its discovery
    document, None for one of its own."""

    def __init__(
        self,
        settings: IssuerSettings,
        fetch: Fetch,
        clock: Clock = time.monotonic,
        *,
        discovery: Discovery | None = None,
    ) -> None:
        self.settings = settings
        self.discovery = discovery or Discovery(settings.issuer, fetch, clock, settings.internal_url)
        self.keys = KeySet(settings, self.discovery, fetch, clock)

    async def verify_signature(self, parsed: Parsed) -> None:
        """Raises TokenRefused unless a key of the issuer made the signature; FetchFailed when there are no keys."""
        if parsed.algorithm not in self.settings.algorithms:
            raise TokenRefused(
                Reason.ISSUER_ALGORITHM, seen=parsed.algorithm, expected=self.settings.algorithms
            )
        key = await self.keys.find(parsed.key_id, parsed.algorithm)
        if key is None:
            raise TokenRefused(Reason.UNKNOWN_KEY, seen=parsed.key_id)
        if not is_signed_by(key.key, parsed.algorithm, parsed.signed, parsed.signature):
            # The issuer may have replaced the key and kept its id.
            newer = await self.keys.replacement(key, parsed.key_id, parsed.algorithm)
            if newer is None or not is_signed_by(
                newer.key, parsed.algorithm, parsed.signed, parsed.signature
            ):
                raise TokenRefused(Reason.SIGNATURE)

    async def close(self) -> None:
        """Cancel the fetches under way."""
        await close_all([("the keys", self.keys.close), ("the discovery", self.discovery.close)])
