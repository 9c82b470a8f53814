"""The data of a browser session, and its encryption in Redis by a key that is derived from the browser's cookie.

The cookie's value is 256 random bits. One hash of it is the session's id, by which it is stored and logged; another is
the key (AES-256-GCM) that encrypts its tokens. A reader of Redis learns neither tokens nor claims, and no secret has to
be configured or rotated.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_NONCE = 12


@dataclass(frozen=True, slots=True)
class TokenSet:
    """An answer of the token endpoint. Times are Unix seconds on this gateway's clock; tokens are not in `repr`.

    scopes         None after a refresh: unchanged (RFC 6749 section 6)
    refresh_token  None after a refresh: the old one stays valid
    id_token       of the sign-in; the provider's logout wants it as a hint
    """

    access_token: str = field(repr=False)
    issued_at: float
    expires_at: float
    scopes: frozenset[str] | None = None
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)

    def renewed_by(self, newer: TokenSet) -> TokenSet:
        """These tokens after a refresh, whose answer may leave some of them out. A refresh may take scopes away and
        never adds one."""
        granted = self.scopes or frozenset()
        return TokenSet(
            newer.access_token,
            newer.issued_at,
            newer.expires_at,
            granted if newer.scopes is None else granted & newer.scopes,
            newer.refresh_token or self.refresh_token,
            newer.id_token or self.id_token,
        )


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One signed-in browser.

    sid        the id of the provider's own session, for back-channel logout
    roles      of the sign-in: they last as long as the session
    auth_time  Unix seconds at which the person proved who they are; None where the provider does not say
    acr        the class of that authentication
    left_out   claims with roles that the provider left out of the sign-in, because they have too many values
    provider   the name of the provider in the settings, "" for `oidc`: the session is valid only with its cookie
    """

    issuer: str
    subject: str
    sid: str | None
    claims: Mapping[str, Any]
    tokens: TokenSet
    roles: frozenset[str] = frozenset()
    auth_time: float | None = None
    acr: str | None = None
    provider: str = ""
    left_out: tuple[str, ...] = ()


# Written among the claims: the release before this one reads a record with them, and none with other members. No claim
# of a person has such a name.
_AMONG_CLAIMS = ("auth_time", "acr", "left_out")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """value: of the cookie, neither stored nor logged; id: a hash of it, stored and logged."""

    id: str
    value: str = field(repr=False)

    @classmethod
    def new(cls) -> SessionKey:
        return cls._of(secrets.token_urlsafe(32))

    @classmethod
    def read(cls, value: str | None) -> SessionKey | None:
        """None for a value that cannot be a session cookie."""
        return cls._of(value) if value is not None and _VALUE.fullmatch(value) else None

    @classmethod
    def _of(cls, value: str) -> SessionKey:
        return cls(hashlib.sha256(b"bff session id:" + value.encode()).hexdigest(), value)

    def seal(self, record: SessionRecord) -> bytes:
        tree = asdict(record)
        moved = {name: tree.pop(name) for name in _AMONG_CLAIMS}
        tree["claims"] |= {name: value for name, value in moved.items() if value not in (None, ())}
        if not record.provider:
            del tree["provider"]
        return self.encrypt(json.dumps(tree, default=sorted, separators=(",", ":")).encode())

    def open(self, sealed: bytes) -> SessionRecord | None:
        """None when it was not sealed with this key, or by another version of this program."""
        try:
            tree = json.loads(self.decrypt(sealed))
            scopes = _shared(*(tree["tokens"]["scopes"] or ()))
            tokens = TokenSet(**tree["tokens"] | {"scopes": scopes})
            tree |= {name: tree["claims"].pop(name, None) for name in _AMONG_CLAIMS}
            tree["left_out"] = tuple(tree["left_out"] or ())
            return SessionRecord(**tree | {"tokens": tokens, "roles": _shared(*tree["roles"])})
        except (ValueError, KeyError, TypeError):
            return None

    def encrypt(self, text: bytes) -> bytes:
        return encrypt(self._secret(), text, self.id.encode())

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises ValueError for what was not encrypted with this key."""
        return decrypt(self._secret(), sealed, self.id.encode())

    def _secret(self) -> bytes:
        return hashlib.sha256(b"bff session key:" + self.value.encode()).digest()


def encrypt(secret: bytes, text: bytes, context: bytes = b"") -> bytes:
    """AES-256-GCM with a new nonce. context: not encrypted, and has to be the same for `decrypt`."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(secret).encrypt(nonce, text, context)


def decrypt(secret: bytes, sealed: bytes, context: bytes = b"") -> bytes:
    """Raises ValueError for what was not encrypted with this secret and context."""
    try:
        return AESGCM(secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
    except InvalidTag:
        raise ValueError("it was not encrypted with this secret") from None


@lru_cache(1024)
def _shared(*names: str) -> frozenset[str]:
    """One set for all principals with the same names: they are held as long as their streams are open."""
    return frozenset(names)
