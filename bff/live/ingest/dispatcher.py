"""Where every event arrives, whatever carried it: into a journal, among the values, to the caches, or set aside.

Promises that an event that cannot be used blocks nobody, and that a repeat changes nothing. An event ahead of its turn
is held by its journal; `settle`, called every so often, lets it through when the one before it does not come. At most
10,000 owners are remembered for that; those of the others come through with their owner's next event, with its next
stream, or when positions are compared. All buses of a process share one intake.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ...stores.dead_letters import DeadLetters
from ...stores.events import BrokerEvent
from ...stores.journal import Journal
from ...stores.values import Values
from .events import BadEvent, ChangedEvent, Registry, SagaEvent, ValueEvent

log = logging.getLogger("bff.live")

_HELD = 10_000


class EventDispatcher:
    """changed: told what events say has changed, and whose it is (None: everybody's). Raises StoreUnavailable when
    Redis is away: the event is then not taken. losses: times a bus has dropped events unread."""

    def __init__(
        self,
        journal: Journal,
        values: Values,
        registry: Registry,
        dead: DeadLetters,
        *,
        changed: Callable[[Sequence[str], str | None], Awaitable[None]] | None = None,
    ) -> None:
        self._journal = journal
        self._values = values
        self._registry = registry
        self._dead = dead
        self._changed = changed
        self._held: dict[str, float] = {}
        self.losses = 0

    async def take(self, event: BrokerEvent) -> bool:
        """Carry it to its place; False when it was set aside."""
        try:
            meaning = self._registry.meaning(event.body, now_ms=self._journal.now_ms())
        except Exception as error:
            # BadEvent, or a model of the user's that stumbled over it: one event must not stop everybody's.
            why = str(error) if isinstance(error, BadEvent) else f"its model raised {type(error).__name__}"
            log.warning("event %s of %s %s is set aside: %s", event.id, event.broker, event.stream, why)
            await self._dead.add(event, why)
            return False
        match meaning:
            case SagaEvent(owner, entry):
                if await self._journal.append(owner, entry) == "held" and len(self._held) < _HELD:
                    due = asyncio.get_running_loop().time() + self._journal.gap
                    self._held.setdefault(owner, due)
            case ValueEvent(name, version, data, at):
                await self._values.put(name, version, data, at)
            case ChangedEvent(tags, owner):
                if self._changed is not None:
                    await self._changed(tags, owner)
            case None:
                log.debug("event %s of %s %s is of no declared type", event.id, event.broker, event.stream)
        return True

    async def settle(self) -> None:
        """Let through what has waited for a gap long enough."""
        now = asyncio.get_running_loop().time()
        for owner in [owner for owner, due in self._held.items() if due <= now]:
            if self._held.pop(owner, None) is None:
                # Another bus's reader is at it.
                continue
            waits = True
            try:
                waits = await self._journal.release_overdue(owner) > 0
            finally:
                if waits:
                    self._held.setdefault(owner, now + self._journal.gap)

    async def lost(self, bus: str, why: str) -> None:
        """A bus has dropped events that nobody had read, whose they were is not known: every journal is to be restored
        from the services once more."""
        doubted = await self._journal.mark_incomplete()
        self.losses += 1
        log.warning("events of %s were lost unread (%s): %d journals are to be restored", bus, why, doubted)
