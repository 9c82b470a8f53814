"""Health of Redis: probes while commands fail, and checks for settings that lose data.

The end of an outage is noticed within about a second. `/readyz` distinguishes a Redis that is away from one that
answers but refuses commands. Each setting with which Redis would lose data is logged once. This module refuses nothing.
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

_PROBE_PAUSE = 1.0
"""Seconds between two probes while commands fail."""
_INSPECT_PAUSE = 300.0
"""Seconds between two checks of the settings."""
_EVICTS = (
    "it deletes keys when its memory is full (maxmemory-policy {policy}), so claims, sessions and journals would be "
    "lost without an error; set maxmemory-policy noeviction"
)
_NO_REPLICATION_ID = (
    "it does not say its replication id (INFO replication), as some managed services do not: when it loses data that "
    "it had confirmed, open pages are not told; allow INFO, or choose a service with replicas that are written to "
    "before it confirms"
)
_FRESH = 1.0
"""Seconds for which a report is reused, because anybody may request `/readyz`."""


class RedisHealth(Background):
    """Use `async with health:`, or `start()` and `stop()`. once_only: the gateway has commands that must not run twice.

    warnings  settings of Redis that lose data, each with what to do
    """

    def __init__(
        self, client: RedisClient, *, once_only: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__("bff-redis-health", "Redis is not checked")
        self._client = client
        self._once_only = once_only
        self._clock = clock
        self._wake = asyncio.Event()
        self._last_report: tuple[float, dict[str, Any]] | None = None
        self.warnings: tuple[str, ...] = ()

    async def _run(self, started: asyncio.Event) -> None:
        tracker = self._client.outage
        tracker.on_outage = self._wake.set
        started.set()
        probes = 0
        while True:
            if tracker.current is None:
                probes = 0
                self._wake.clear()
                await self._inspect()
                try:
                    async with asyncio.timeout(_INSPECT_PAUSE):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            await asyncio.sleep(_PROBE_PAUSE)
            if await self.probe_failure() is None:
                tracker.record_recovery(probes)
            else:
                probes += 1

    async def probe_failure(self) -> str | None:
        """Run a probe. Returns None when it succeeded, otherwise the reason: a code of `CURES`, or the error's text."""
        try:
            await self._client.probe()
        except StoreUnavailable as error:
            return refusal_code(_redis_error(error)) or str(error)
        return None

    async def report(self) -> dict[str, Any]:
        """The entry in `/readyz`: `state` is up, away or refusing; `refuses` has the codes with what to do; `warnings`
        has the settings that lose data."""
        now = self._clock()
        if self._last_report is not None and now - self._last_report[0] < _FRESH:
            return self._last_report[1]
        why = await self.probe_failure()
        outage = self._client.outage.current
        words = {} if why is None or outage is None else dict.fromkeys(outage.refusals)
        if why in CURES:
            words = {why: None} | words
        found: dict[str, Any] = {"state": "up" if why is None else "refusing" if words else "away"}
        if words:
            found["refuses"] = [{"code": word, "detail": CURES[word]} for word in words]
        if self.warnings:
            found["warnings"] = list(self.warnings)
        self._last_report = now, found
        return found

    async def _inspect(self) -> None:
        try:
            found = await self.inspect()
        except StoreUnavailable as error:
            log.debug("cannot read the settings of Redis: %s", error)
            return
        for warning in found:
            if warning not in self.warnings:
                log.warning("Redis at %s: %s", self._client.outage.name, warning)
        self.warnings = found

    async def inspect(self) -> tuple[str, ...]:
        """Find settings of Redis that lose data. Raises StoreUnavailable."""
        found: dict[str, None] = {}
        for answer in await self._client.call_all_nodes("INFO", "memory"):
            if isinstance(answer, Exception):
                continue  # a probe reports it
            info = dict(line.split(":", 1) for line in answer.decode().splitlines() if ":" in line)
            policy = info.get("maxmemory_policy", "noeviction")
            if policy != "noeviction" and int(info.get("maxmemory", "0")):
                found[_EVICTS.format(policy=policy)] = None
        for answer in await self._client.call_all_nodes("INFO", "replication"):
            if isinstance(answer, Exception) or b"master_replid:" not in answer:
                found[_NO_REPLICATION_ID] = None
        if self._once_only:
            persistence = zip(
                await self._client.call_all_nodes("CONFIG", "GET", "appendonly"),
                await self._client.call_all_nodes("CONFIG", "GET", "appendfsync"),
                strict=True,
            )
            for appendonly, appendfsync in persistence:
                if (warning := _persistence_warning(appendonly, appendfsync)) is not None:
                    found[warning] = None
        return tuple(found)


def _persistence_warning(appendonly: Any, appendfsync: Any) -> str | None:
    cure = "set appendonly yes and appendfsync always, or declare the commands safe where their services honour keys"
    if (
        isinstance(appendonly, Exception)
        or isinstance(appendfsync, Exception)
        or not (appendonly and appendfsync)
    ):
        return (
            "it refuses CONFIG GET, so it is unknown whether a crash loses confirmed writes; a command declared "
            f"safe=False could then run twice; {cure}"
        )
    if appendonly[1] == b"yes" and appendfsync[1] == b"always":
        return None
    what = "appendonly no" if appendonly[1] != b"yes" else f"appendfsync {appendfsync[1].decode()}"
    return (
        f"a command declared safe=False could run twice after a crash of Redis, because Redis confirms writes before "
        f"they are on its disk ({what}); {cure}"
    )


def _redis_error(error: BaseException) -> str:
    """The text of Redis' error reply, without the text that the gateway added."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RedisError):
            return str(cause)
        cause = cause.__cause__
    return str(error)
