"""Settings every service of the demo reads from its environment: variables that begin with `SHOP_`, and no others, so
that a developer's `HOST` or `DATABASE_URL` changes nothing. Guarantees one typed, frozen value with the demo's
defaults. Refuses values of the wrong type, and one database for several services."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ShopSettings(BaseSettings):
    """What a service needs to know of its surroundings; `SHOP_` and a field's name is its environment variable.

    Each service has a class of its own that extends this one.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SHOP_")
    service: ClassVar[str]
    own_port: ClassVar[int]

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=0, le=65535, description="None: the service's own port of the demo")
    data_dir: Path = Path(".bff/data")
    database_url: str | None = Field(
        None,
        description="an SQLAlchemy URL with {service} in it, where each service's name stands; None: a SQLite file "
        "named after the service in data_dir",
    )
    identity_url: str = "http://localhost:8101"
    audience: str = "shop"
    gateway_keys_url: str | None = Field(
        None,
        description="where the gateway publishes the keys of its internal tokens; with it people come by those alone",
    )
    gateway_issuer: str = Field("http://localhost:8000", description="the gateway's name in its tokens")
    redis_url: str = "redis://127.0.0.1:6379/0"
    faults: bool = Field(False, description="serve /faults; never outside a demo or a test")
    log_level: str = "INFO"

    @field_validator("database_url")
    @classmethod
    def _one_database_each(cls, url: str | None) -> str | None:
        if url is not None and "{service}" not in url:
            raise ValueError(
                "SHOP_DATABASE_URL names one database for all services, whose tables would then be together: write "
                "{service} where the service's name belongs, as in postgresql+asyncpg://db/{service}"
            )
        return url

    @property
    def issuer(self) -> str:
        """The `iss` of every token: the identity service's URL without a trailing slash."""
        return self.identity_url.rstrip("/")

    @property
    def own_database_url(self) -> str:
        """The SQLAlchemy URL of this service's database."""
        if self.database_url is None:
            return f"sqlite+aiosqlite:///{self.data_dir / self.service}.db"
        return self.database_url.replace("{service}", self.service)
