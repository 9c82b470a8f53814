"""Who is asking. A principal is only ever made from a verified token or session, never from a request's own words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RevocationKeys:
    """By what a token or session could be revoked, each of them hashed. issued: Unix seconds."""

    token: str | None
    subject: str
    issued: float


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller.

    issuer, subject  `iss` and `sub` of the verified token; together the identity
    id               `<iss>|<sub>`: the owner of journals, claims and cached parts
    token            the access token handed on to services; never in logs (left out of `repr`)
    expires_at       Unix seconds at which the session or token ends
    scopes           granted scopes
    roles            what the issuer says this person may be here, see `roles` in the issuer's settings
    claims           verified claims that a page may see
    session          hashed id of the browser session, None for a bearer token
    revocation_keys  by what it can be revoked; a session's counts as issued when it began
    session_key      what the sessions need to give an access token that is valid at a later moment; None for a bearer's
    """

    issuer: str
    subject: str
    token: str = field(repr=False, compare=False)
    expires_at: float
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)
    session: str | None = None
    roles: frozenset[str] = frozenset()
    revocation_keys: RevocationKeys | None = field(default=None, repr=False, compare=False)
    session_key: object = field(default=None, repr=False, compare=False)
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.issuer}|{self.subject}")

    @property
    def pseudonym(self) -> str:
        """The first 32 hex digits of SHA-256 of `id`: stands for it where others may read, as in a value's name."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]
