"""Settings of the connection to Redis."""

from __future__ import annotations

from pydantic import Field

from .fields import RedisUrl, Section


class RedisSettings(Section):
    """Where Redis is, and how long to wait for it."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    """`redis://`, `unix://`, `redis+sentinel://host:port,host:port/<master>/<db>`, or
    `redis+cluster://host:port,host:port`; with TLS `rediss://`, `rediss+sentinel://` and `rediss+cluster://`."""
    timeout: float = Field(0.5, gt=0, le=10)
    """Seconds that one command may take, and that Redis may be silent."""
    pending: int = Field(10_000, ge=100, le=1_000_000)
    """Commands under way at most; one more is refused."""
