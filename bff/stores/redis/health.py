"""Whether Redis does what the gateway needs: probed while commands fail, and looked at for settings that lose data.

Promises that the end of an outage is noticed within about a second, that `/readyz` tells a Redis that is away from one
that answers but refuses, and that each setting by which Redis would lose what it was given is named in the log once.
Refuses nothing itself: it says how things are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from ..background import Background
from .client import RedisClient, StoreUnavailable
from .outage import CURES, refusal_code

log = logging.getLogger("bff.stores")

_PAUSE = 1.0
"""Seconds between two probes while commands fail."""
_AGAIN = 300.0
"""Seconds between two looks at the settings."""
_EVICTS = (
    "it drops keys when its memory is full (maxmemory-policy {policy}): claims, sessions and journals would be gone "
    "without a word; set maxmemory-policy noeviction"
)
_FRESH = 1.0
"""Seconds for which an answer to `look` is given again: anybody may ask for `/readyz`."""


class RedisHealth(Background):
    """`async with health:`, or `start()` and `stop()`. once_only: some commands must not be carried out twice.

    warnings  settings of Redis by which it loses what it was given, each with its cure
    """

    def __init__(
        self, client: RedisClient, *, once_only: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__("bff-redis-health", "nobody looks after Redis")
        self._client = client
        self._once_only = once_only
        self._clock = clock
        self._wake = asyncio.Event()
        self._looked: tuple[float, dict[str, Any]] | None = None
        self.warnings: tuple[str, ...] = ()

    async def _run(self, started: asyncio.Event) -> None:
        condition = self._client.outage
        condition.on_outage = self._wake.set
        started.set()
        probes = 0
        while True:
            if condition.current is None:
                probes = 0
                self._wake.clear()
                await self._inspect()
                try:
                    async with asyncio.timeout(_AGAIN):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            await asyncio.sleep(_PAUSE)
            if await self.probe_failure() is None:
                condition.record_recovery(probes)
            else:
                probes += 1

    async def probe_failure(self) -> str | None:
        """Why a probe is not carried out: a word of `CURES`, or what happened; None when it is."""
        try:
            await self._client.probe()
        except StoreUnavailable as error:
            return refusal_code(_said(error)) or str(error)
        return None

    async def report(self) -> dict[str, Any]:
        """What `/readyz` says: `state` is up, away or refusing; `refuses` has reasons and cures; `warnings`."""
        now = self._clock()
        if self._looked is not None and now - self._looked[0] < _FRESH:
            return self._looked[1]
        why = await self.probe_failure()
        trouble = self._client.outage.current
        words = {} if why is None or trouble is None else dict.fromkeys(trouble.refusals)
        if why in CURES:
            words = {why: None} | words
        found: dict[str, Any] = {"state": "up" if why is None else "refusing" if words else "away"}
        if words:
            found["refuses"] = [{"code": word, "detail": CURES[word]} for word in words]
        if self.warnings:
            found["warnings"] = list(self.warnings)
        self._looked = now, found
        return found

    async def _inspect(self) -> None:
        try:
            found = await self.inspect()
        except StoreUnavailable as error:
            log.debug("Redis' settings cannot be looked at: %s", error)
            return
        for warning in found:
            if warning not in self.warnings:
                log.warning("Redis at %s: %s", self._client.outage.name, warning)
        self.warnings = found

    async def inspect(self) -> tuple[str, ...]:
        """Settings of Redis by which it would lose what it was given. Raises StoreUnavailable."""
        found: dict[str, None] = {}
        for answer in await self._client.call_all_nodes("INFO", "memory"):
            if isinstance(answer, Exception):
                continue  # a probe says so
            told = dict(line.split(":", 1) for line in answer.decode().splitlines() if ":" in line)
            policy = told.get("maxmemory_policy", "noeviction")
            if policy != "noeviction" and int(told.get("maxmemory", "0")):
                found[_EVICTS.format(policy=policy)] = None
        if self._once_only:
            keeps = zip(
                await self._client.call_all_nodes("CONFIG", "GET", "appendonly"),
                await self._client.call_all_nodes("CONFIG", "GET", "appendfsync"),
                strict=True,
            )
            for appendonly, appendfsync in keeps:
                if (warning := _forgets(appendonly, appendfsync)) is not None:
                    found[warning] = None
        return tuple(found)


def _forgets(appendonly: Any, appendfsync: Any) -> str | None:
    cure = "set appendonly yes and appendfsync always, or declare the commands safe where their services honour keys"
    if (
        isinstance(appendonly, Exception)
        or isinstance(appendfsync, Exception)
        or not (appendonly and appendfsync)
    ):
        return (
            "whether it keeps what it has confirmed cannot be told (CONFIG GET is refused), and a command declared "
            f"safe=False could be carried out twice after a crash where it does not; {cure}"
        )
    if appendonly[1] == b"yes" and appendfsync[1] == b"always":
        return None
    what = "appendonly no" if appendonly[1] != b"yes" else f"appendfsync {appendfsync[1].decode()}"
    return (
        f"a command declared safe=False could be carried out twice after a crash of Redis, which confirms what is not "
        f"on its disk yet ({what}); {cure}"
    )


def _said(error: BaseException) -> str:
    """What Redis answered, below our own words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RedisError):
            return str(cause)
        cause = cause.__cause__
    return str(error)
