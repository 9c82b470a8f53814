"""Identity's settings: everything comes from the environment, with demo defaults.

Promises an issuer without a trailing slash and lists of exact redirect addresses. Refuses an issuer that is
not an http(s) origin, and empty secrets. The default secrets are for the demo on loopback alone.
"""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from upstreams.kit import ShopSettings

DEMO_SECRET = "demo-only-secret"  # noqa: S105 - says itself that it is none

Addresses = Annotated[tuple[str, ...], NoDecode]


class IdentitySettings(ShopSettings):
    """What identity reads from its environment; lists are separated by commas or blanks.

    `identity_url` is the issuer, as browsers and services reach it; the database (without `database_url` the file
    `identity.db` in `data_dir`) has the signing key, sign-ins, codes and refresh tokens.
    """

    service: ClassVar[str] = "identity"
    own_port: ClassVar[int] = 8101

    access_token_seconds: int = Field(600, ge=1, le=86_400)
    refresh_token_seconds: int = Field(30 * 86_400, ge=1)
    code_seconds: int = Field(60, ge=1, le=600)
    """How long an authorization code may be redeemed (RFC 6749 section 4.1.2: at most ten minutes)."""
    choice_seconds: int = Field(900, ge=1)
    """How long the page "Who are you?" may stay open before its form is refused."""

    bff_client_secret: SecretStr = Field(SecretStr(DEMO_SECRET), min_length=8)
    bff_redirect_uris: Addresses = ("http://localhost:8000/bff/callback",)
    bff_post_logout_redirect_uris: Addresses = ("http://localhost:8000/",)
    orders_client_secret: SecretStr = Field(SecretStr(DEMO_SECRET), min_length=8)
    operator_client_secret: SecretStr = Field(SecretStr(DEMO_SECRET), min_length=8)

    @field_validator("bff_redirect_uris", "bff_post_logout_redirect_uris", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("identity_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("SHOP_IDENTITY_URL must be an http or https address without query or fragment")
        return value.rstrip("/")
