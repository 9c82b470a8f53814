"""Dispatches the events of all brokers: to a journal, the values, the caches or the dead letters.

Guarantees that an event that cannot be used does not block others, and that a repeated event changes nothing. An event
that arrives before its predecessor is held by its journal; `settle`, called at intervals, releases it when the
predecessor does not arrive. At most 10,000 owners are remembered for that; held events of further owners are released
with the owner's next event, with their next stream, or when positions are compared. All brokers of a process share one
dispatcher.
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

_MAX_OWNERS = 10_000


class EventDispatcher:
    """Its methods raise StoreUnavailable when Redis is away; the event is then not dispatched.

    invalidate  called with the tags of a `changed` event, and the id of the principal it is for (None: all users)
    losses      number of times that a broker has dropped unread events
    """

    def __init__(
        self,
        journal: Journal,
        values: Values,
        registry: Registry,
        dead_letters: DeadLetters,
        *,
        invalidate: Callable[[Sequence[str], str | None], Awaitable[None]] | None = None,
    ) -> None:
        self._journal = journal
        self._values = values
        self._registry = registry
        self._dead_letters = dead_letters
        self._invalidate = invalidate
        self._due: dict[str, float] = {}
        self.losses = 0

    async def dispatch(self, event: BrokerEvent) -> bool:
        """Apply the event. Returns False when it became a dead letter."""
        try:
            meaning = self._registry.meaning(event.body, now_ms=self._journal.now_ms())
        except Exception as error:
            # BadEvent, or an error in a user's model. One event must not block the others.
            why = str(error) if isinstance(error, BadEvent) else f"its model raised {type(error).__name__}"
            log.warning(
                "event %s of %s %s becomes a dead letter: %s", event.id, event.broker, event.partition, why
            )
            await self._dead_letters.add(event, why)
            return False
        match meaning:
            case SagaEvent(owner, entry):
                if await self._journal.append(owner, entry) == "held" and len(self._due) < _MAX_OWNERS:
                    due = asyncio.get_running_loop().time() + self._journal.gap
                    self._due.setdefault(owner, due)
            case ValueEvent(name, version, data, at, mutations):
                await self._values.put(name, version, data, at, mutations)
            case ChangedEvent(tags, owner):
                if self._invalidate is not None:
                    await self._invalidate(tags, owner)
            case None:
                log.debug("event %s of %s %s is of no declared type", event.id, event.broker, event.partition)
        return True

    async def settle(self) -> None:
        """Release events that have waited long enough for the event before them."""
        now = asyncio.get_running_loop().time()
        for owner in [owner for owner, due in self._due.items() if due <= now]:
            if self._due.pop(owner, None) is None:
                # The reader of another broker is settling this owner.
                continue
            waiting = True
            try:
                waiting = await self._journal.release_overdue(owner) > 0
            finally:
                if waiting:
                    self._due.setdefault(owner, now + self._journal.gap)

    async def record_loss(self, broker: str, why: str) -> None:
        """A broker has dropped unread events of unknown owners: mark every journal incomplete, so that it is restored
        from the services."""
        journals = await self._journal.mark_incomplete()
        self.losses += 1
        log.warning(
            "unread events of %s were lost (%s): %d journals have to be restored", broker, why, journals
        )
