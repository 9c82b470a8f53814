"""Settings every demo service reads from its environment. Promises one typed, frozen value with the demo's
defaults; refuses values of the wrong type at start. It reads no file and knows no service's own rules."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What a service needs to know of its surroundings; every field is the environment variable of its name.

    A service with settings of its own extends this class.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=0, le=65535, description="None: the service's own port of the demo")
    data_dir: Path = Path(".bff/data")
    database_url: str | None = Field(
        None, description="None: a SQLite file named after the service in data_dir"
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
    catalog_url: str = "http://localhost:8102"
    inventory_url: str = "http://localhost:8103"
    payments_url: str = "http://localhost:8104"
    shipping_url: str = "http://localhost:8105"

    @property
    def issuer(self) -> str:
        """The `iss` of every token: the identity service's URL without a trailing slash."""
        return self.identity_url.rstrip("/")

    def database_of(self, name: str) -> str:
        """The SQLAlchemy URL of the named service's database."""
        if self.database_url is None:
            return f"sqlite+aiosqlite:///{self.data_dir / name}.db"
        return self.database_url.replace("{service}", name)
