"""What identity keeps, as Authlib's core reads it: sign-ins, codes, refresh tokens, and secrets of its own.

Guarantees that codes and refresh tokens are kept only as SHA-256 digests, and that both go with their sign-in. Refuses
to decide who may redeem what: the grants do that (`provider.py`). Times are seconds since the epoch.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from .people import Client, Person, person


def digest(value: str) -> str:
    """What is kept of a code or a refresh token."""
    return hashlib.sha256(value.encode()).hexdigest()


class Base(DeclarativeBase):
    """Identity's tables."""


class Secret(Base):
    """A value made at the first start."""

    __tablename__ = "secrets"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class SignIn(Base):
    """A person's consent to one client; every code and token of it ends with it. The core's "user"."""

    __tablename__ = "sign_ins"
    sid: Mapped[str] = mapped_column(primary_key=True)
    sub: Mapped[str]
    auth_time: Mapped[int] = mapped_column(BigInteger)
    client_id: Mapped[str]
    scope: Mapped[str]
    nonce: Mapped[str | None]
    expires: Mapped[int] = mapped_column(BigInteger, index=True)
    ended: Mapped[bool] = mapped_column(default=False)

    @property
    def person(self) -> Person:
        """LookupError when the demo does not have this person any more."""
        found = person(self.sub)
        if found is None:
            raise LookupError(f"there is no person {self.sub!r}")
        return found

    def get_user_id(self) -> str:
        return self.sub


class Redeemable:
    """What works once, until it expires or its sign-in ends. A used one is kept as long as its sign-in: only so is its
    replay seen for what it is."""

    digest: Mapped[str] = mapped_column(primary_key=True)
    sid: Mapped[str] = mapped_column(ForeignKey("sign_ins.sid", ondelete="CASCADE"), index=True)
    expires: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[bool] = mapped_column(default=False)

    @declared_attr
    def sign_in(cls) -> Mapped[SignIn]:
        return relationship(SignIn)


class AuthorizationCode(Redeemable, Base):
    """A code (RFC 6749, section 4.1.2) with its PKCE challenge (RFC 7636)."""

    __tablename__ = "codes"
    code_challenge_method = "S256"
    redirect_uri: Mapped[str]
    code_challenge: Mapped[str]

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.sign_in.scope

    def get_nonce(self) -> str | None:
        return self.sign_in.nonce

    def get_auth_time(self) -> int:
        return self.sign_in.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class RefreshToken(Redeemable, Base):
    """A refresh token (RFC 6749, section 6)."""

    __tablename__ = "refresh_tokens"
    scope: Mapped[str]

    def check_client(self, client: Client) -> bool:
        return self.sign_in.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope
