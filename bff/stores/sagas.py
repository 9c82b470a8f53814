"""Which sagas of each type are open, in all gateways together: for metrics, nothing else depends on it.

Guarantees: each version of a saga counts once, whatever process reads it and however often; a version that comes after
a later one changes nothing. Bounded: the 50,000 sagas of a type whose events came last; an older one, even if it is
open, is forgotten.

Keys (after the prefix of keys.py), all in the slot of `{sagas:<type>}`, TTL 30 days after the last event:

    open       zset    `<owner's tag>/<id>` → Unix ms of its first event
    attention  zset    those that need a person → ms of the event that said so
    versions   hash    the last version of each
    touched    zset    ms of the last event of each
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from .keys import owner_tag, redis_key
from .redis.client import RedisClient
from .redis.scripts import Step, run_all

REMEMBERED = 50_000
_TTL = 30 * 86_400

Phase = Literal["open", "attention", "ended"]


@dataclass(frozen=True, slots=True)
class SagaStates:
    """The sagas of one type. open: their number; oldest: seconds since the first event of the oldest open one, 0
    without one; attention: how many of the open ones need a person."""

    open: int = 0
    oldest: float = 0.0
    attention: int = 0


@dataclass(frozen=True, slots=True)
class SagaEnd:
    """A saga has ended. seconds: from its first event to its last, None where the first one was not seen."""

    seconds: float | None


class OpenSagas:
    """Both methods raise StoreUnavailable when Redis is away. clock: Unix seconds."""

    def __init__(self, redis: RedisClient, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._track = redis.script("saga_track")
        self._states = redis.script("saga_states")

    async def track(
        self,
        type: str,
        owner: str,
        id: str,
        version: int,
        at_ms: int,
        phase: Phase,
        *,
        is_repeat: bool = False,
    ) -> SagaEnd | None:
        """Record an event; the end of the saga if this event is it. at_ms: Unix ms; is_repeat: the journal had the
        event already, so that a saga that is not known here has ended long ago."""
        now = int(self._clock() * 1000)
        ended, began = await self._track(
            _keys(type),
            [f"{owner_tag(owner)}/{id}", version, at_ms, phase, int(is_repeat), now, _TTL, REMEMBERED],
        )
        if not ended:
            return None
        return SagaEnd(max(0.0, at_ms - float(began)) / 1000 if began else None)

    async def states(self, types: Iterable[str]) -> dict[str, SagaStates]:
        """The states of these types, in one round trip."""
        names, now = list(types), self._clock()
        answers = await run_all(self._redis, [Step(self._states, _keys(name)[:2], ()) for name in names])
        return {
            name: SagaStates(
                int(count), max(0.0, now - float(oldest) / 1000) if oldest else 0.0, int(attention)
            )
            for name, (count, oldest, attention) in zip(names, answers, strict=True)
        }


def _keys(type: str) -> list[str]:
    return [redis_key(f"sagas:{type}", name) for name in ("open", "attention", "versions", "touched")]
