"""Makes the client of Redis from its settings."""

from __future__ import annotations

from pydantic import SecretStr

from ...stores.redis.client import RedisClient
from ...stores.redis.login import FetchedLogin, LoginSource, RedisCredentials, RedisLogin, StoredLogin
from ..settings import Settings
from .network import Connections


def redis_client(
    settings: Settings, connections: Connections, credentials: RedisCredentials | None = None
) -> RedisClient:
    """No connection is opened before the first command. credentials: fetch each login, in place of the settings'.
    Raises ValueError for an address that cannot be read, DeclarationError for certificates that cannot."""
    redis = settings.redis
    # Without settings for certificates, the address alone says what is trusted.
    by_settings = redis.tls is not None or settings.network.ca is not None
    options = redis.url.partition("?")[2]
    trust = None
    if by_settings and redis.url.startswith("rediss") and "ssl_" not in options:
        trust = connections.to("BFF_REDIS", "Redis", redis.tls).trust
    return RedisClient(
        redis.url,
        timeout=redis.timeout,
        most=redis.pending,
        login=FetchedLogin(credentials) if credentials else _stored(redis.password, redis.username),
        trust=trust,
        sentinel_login=_stored(redis.sentinel_password),
    )


def _stored(password: SecretStr | None, username: str | None = None) -> LoginSource | None:
    if password is None:
        return None
    return StoredLogin(lambda: RedisLogin(password.get_secret_value(), username))
