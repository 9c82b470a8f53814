"""`bff check --connect`: checks with Redis itself that the gateway can use it."""

from __future__ import annotations

import asyncio

from ..edge.app.network import Connections
from ..edge.app.redis import redis_client
from ..edge.gateway import Gateway
from ..edge.settings import Settings
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.health import RedisHealth
from ..stores.redis.outage import CURES


def connected(gateway: Gateway, settings: Settings) -> tuple[list[str], list[str]]:
    """Mistakes when Redis does not do what the gateway needs, and warnings about settings with which Redis loses data.
    Waits for each reply for `redis.timeout` seconds."""

    async def ask() -> tuple[list[str], list[str]]:
        credentials = gateway.extensions.redis_credentials
        async with redis_client(settings, Connections(settings.network), credentials) as redis:
            health = RedisHealth(redis, once_only=any(not command.safe for command in gateway.commands))
            why = await health.probe_failure()
            if why in CURES:
                return [f"Redis at {redis.outage.name} refuses commands with {why}: {CURES[why]}"], []
            if why is not None:
                return [f"Redis at {redis.outage.name} cannot be used: {why} (BFF_REDIS__URL)"], []
            return [], [f"Redis at {redis.outage.name}: {warning}" for warning in await health.inspect()]

    try:
        return asyncio.run(ask())
    except ValueError:
        return [], []  # `check.mistakes` reports an address that cannot be read
    except StoreUnavailable as error:
        return [f"Redis cannot be used: {error} (BFF_REDIS__URL)"], []
