"""The user or client of a request. A principal is made only from a verified token or session, never from anything else
in a request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


@dataclass(frozen=True, slots=True)
class RevocationKeys:
    """Hashes of what a token or session can be revoked by: the token's id and its subject. issued: Unix seconds."""

    token: str | None
    subject: str
    issued: float


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller.

    issuer, subject  `iss` and `sub` of the verified token; together they are the identity
    id               `<iss>|<sub>`: names the owner of journals, claims and cached answers
    token            the access token that is sent to services; never in logs (left out of `repr`)
    expires_at       Unix seconds at which the session or token ends
    scopes           granted scopes
    roles            the user's roles in the token, see `roles` in the issuer's settings
    claims           verified claims that a page may see
    session          hashed id of the browser session, None for a bearer token
    revocation_keys  what it can be revoked by; a session counts as issued when it began
    authenticated_at Unix seconds at which the person last proved who they are (`auth_time`); None where it is not known
    acr              the class of that authentication; None where it is not known
    is_person        whether a person signed in or the token was issued for one; False for a client with a token for
                     itself (client credentials), and where it is not known
    left_out         claims with roles that the provider left out of the access token, because they have too many values
                     (Entra: `groups`); none of their roles is in `roles`
    session_key      from which the session store gets an access token that is valid later; None for a bearer token
    rights           who it is, with client, scopes and roles: equal for two principals who may see the same
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
    authenticated_at: float | None = field(default=None, compare=False)
    acr: str | None = field(default=None, compare=False)
    is_person: bool = field(default=False, compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)
    id: str = field(init=False, repr=False, compare=False)
    rights: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        id = f"{self.issuer}|{self.subject}"
        client = str(self.claims.get("client_id", ""))
        allowed = (*sorted(self.scopes), "", *sorted(self.roles))
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "rights", "\n".join((id, client, *allowed)))

    @property
    def header_id(self) -> str:
        """`id` as a header can hold it: `%`, characters outside ASCII and spaces at the end are percent-encoded in
        UTF-8 (RFC 3986 section 2.1)."""
        id = self.id
        if id.isascii() and "%" not in id and not id.endswith(" "):
            return id
        bare = id.rstrip(" ")
        return quote(bare, safe=_PRINTABLE) + "%20" * (len(id) - len(bare))

    @property
    def pseudonym(self) -> str:
        """The first 32 hex digits of the SHA-256 hash of `id`: replaces it where others can read it, as in the name of
        a value."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]
