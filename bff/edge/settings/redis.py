"""Settings of the connection to Redis."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from .fields import RedisUrl, Section, split
from .network import TlsSettings


class RedisSettings(Section):
    """Where Redis is, and how long to wait for it."""

    url: RedisUrl = Field("redis://127.0.0.1:6379/0", repr=False)
    """`redis://`, `unix://`, `redis+sentinel://host:port,host:port/<master>/<db>`, or
    `redis+cluster://host:port,host:port`; with TLS `rediss://`, `rediss+sentinel://` and `rediss+cluster://`."""
    username: str | None = Field(None, min_length=1)
    """User (ACL), with any characters; unset: the default user."""
    password: SecretStr | None = None
    """Password, with any characters. Better than a password in the address: it is not percent-encoded and
    can be in a file. Open connections authenticate again when it changes."""
    sentinel_password: SecretStr | None = None
    """Password of the Sentinels, where they have one."""
    tls: TlsSettings | None = None
    timeout: float = Field(0.5, gt=0, le=10)
    """Seconds that one command may take, and that Redis may be silent."""
    pending: int = Field(10_000, ge=100, le=1_000_000)
    """Commands under way at most; one more is refused."""

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if self.username is not None and self.password is None:
            raise ValueError("username needs a password; set it, too")
        if self.url.startswith("unix://"):
            holds_login, options = "@" in self.url, self.url.partition("?")[2]
        else:
            parts = split(self.url, self.url.partition("://")[0], several=True)
            holds_login, options = parts.username is not None or parts.password is not None, parts.query
        if self.password is not None and (holds_login or "password=" in options):
            raise ValueError("the url holds a user or password, and password is set, too; set one of the two")
        return self

    @model_validator(mode="after")
    def _tls_is_used(self) -> Self:
        if self.tls is None:
            return self
        if not self.url.startswith("rediss"):
            raise ValueError("tls is set, but the url does not begin with rediss")
        if "ssl_" in self.url.partition("?")[2]:
            raise ValueError("tls is set, and the url has ssl_ options; set one of the two")
        return self
