"""Which gateway processes are dead. A killed process is recognised in less than a second.

Each process subscribes to a channel of its own, on which nothing is published, and writes a heartbeat every few
seconds. The connections of a killed process end with it, so its channel has no subscriber any more. A process that is
frozen, or whose machine is gone, has no heartbeat for `ALIVE` seconds. A process does not count as dead while Redis is
away, nor when it only lost a connection and made another one within `RECONNECT` seconds.

Key and channel (after the prefix of keys.py): `{process:<id>}:alive`, TTL `ALIVE`; `{process:<id>}:channel`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Sequence

from .keys import redis_key
from .redis.client import RedisClient, StoreUnavailable, store_errors

log = logging.getLogger("bff.stores")

ALIVE = 10.0
"""Seconds for which a heartbeat is valid."""
RECONNECT = 0.3
"""Seconds within which a process that lost a connection makes another one."""


class Processes:
    """id: of this process, letters and digits; channel: to count as alive, this process must be subscribed to it."""

    def __init__(self, redis: RedisClient, *, process: str | None = None) -> None:
        self._redis = redis
        self.id = process or secrets.token_hex(6)
        self.channel = _channel(self.id)

    async def heartbeat(self) -> bool:
        """Write the heartbeat of this process. Returns False when the last one had expired: other processes may have
        taken what this one held. Raises StoreUnavailable."""
        with store_errors("processes"):
            previous = await self._redis.call("SET", _alive(self.id), "1", "PX", int(ALIVE * 1000), "GET")
        return previous is not None

    async def dead(self, processes: Sequence[str]) -> list[str]:
        """The processes that have no heartbeat or have ended. Never raises."""
        silent, unsubscribed = await self._check(processes)
        if unsubscribed:
            # A process that only lost that connection makes another at once.
            await asyncio.sleep(RECONNECT)
            still = await self._check(unsubscribed)
            silent += still[0] + still[1]
        return silent

    async def ended(self, process: str) -> bool:
        """Whether this process has ended, judged by its connections. One that only lacks a heartbeat may be running:
        Redis may have lost the heartbeat. Never raises."""
        for last in (False, True):
            _, unsubscribed = await self._check([process], heartbeats=False)
            if not unsubscribed:
                return False
            if not last:
                await asyncio.sleep(RECONNECT)
        return True

    async def _check(
        self, processes: Iterable[str], *, heartbeats: bool = True
    ) -> tuple[list[str], list[str]]:
        """The processes without a heartbeat, and of the others those that are not subscribed to their channel.

        heartbeats: whether heartbeats count
        """
        names = list(processes)
        count = "SHARDNUMSUB" if self._redis.cluster else "NUMSUB"
        commands: list[tuple[str, ...]] = []
        for name in names:
            commands += [("EXISTS", _alive(name)), ("PUBSUB", count, _channel(name))]
        try:
            answers = await self._redis.batch(commands)
        except StoreUnavailable as error:
            log.debug("cannot ask which processes are alive: %s", error)
            return [], []
        silent, unsubscribed = [], []
        for process, alive, subscribers in zip(names, answers[::2], answers[1::2], strict=True):
            if heartbeats and alive == 0:
                silent.append(process)
            elif isinstance(subscribers, list) and not subscribers[1]:
                unsubscribed.append(process)
        return silent, unsubscribed


def _alive(process: str) -> str:
    return redis_key(f"process:{process}", "alive")


def _channel(process: str) -> str:
    return redis_key(f"process:{process}", "channel")
