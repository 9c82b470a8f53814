"""Dispatches the events of all brokers: to a journal, the values, the caches or the dead letters.

Guarantees that an event that cannot be used does not block others, that none vanishes unseen, and that a repeated event
changes nothing. What cannot be used is counted by what is wrong with it, logged once for each kind with what to do, and
becomes a dead letter when it is one of ours: of a declared type, or a saga's or value's event in all but its type. Of
one undeclared type a process stores `MAX_UNDECLARED` dead letters, so that they do not displace others; `MAX_KINDS`
kinds are logged, further ones are not.

An event that arrives before its predecessor is held by its journal; `settle`, called at intervals, releases it when the
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
from ...stores.sagas import OpenSagas, Phase
from ...stores.values import Values
from ..observation import UNOBSERVED, LiveObserver
from ..traces import LiveTraces
from .events import (
    CURES,
    WRONG,
    BadEvent,
    ChangedEvent,
    Follow,
    Registry,
    SagaEvent,
    Undeclared,
    ValueEvent,
    Wrong,
    same_trace,
)

log = logging.getLogger("bff.live")

_MAX_OWNERS = 10_000
MAX_KINDS = 200
"""Kinds of unusable events that a process logs and remembers."""
MAX_UNDECLARED = 100
"""Dead letters of one undeclared type that a process stores."""
OUTCOMES = {"COMPLETED": "confirmed", "COMPENSATED": "compensated", "REJECTED": "failed"}
"""How metrics name the end of a saga, by the status that ends it."""


class EventDispatcher:
    """Its methods raise StoreUnavailable when Redis is away; the event is then not dispatched.

    invalidate    called with the tags of a `changed` event, and the id of the principal it is for (None: all users)
    traces        records each event in its trace; None: no event is recorded
    sagas         which sagas are open; None: nobody asks
    observer      told of ends of sagas
    losses        number of times that a broker has dropped unread events
    dead_letters  number of events that could not be used, by what was wrong; also of those that are not stored
    """

    def __init__(
        self,
        journal: Journal,
        values: Values,
        registry: Registry,
        dead_letters: DeadLetters,
        *,
        invalidate: Callable[[Sequence[str], str | None], Awaitable[None]] | None = None,
        traces: LiveTraces | None = None,
        sagas: OpenSagas | None = None,
        observer: LiveObserver = UNOBSERVED,
    ) -> None:
        self._journal = journal
        self._values = values
        self._registry = registry
        self._dead_letters = dead_letters
        self._invalidate = invalidate
        self._traces = traces
        self._sagas = sagas
        self._observer = observer
        self._due: dict[str, float] = {}
        self._kinds: dict[tuple[str, ...], int] = {}
        self.losses = 0
        self.dead_letters: dict[Wrong, int] = dict.fromkeys(WRONG, 0)

    async def dispatch(self, event: BrokerEvent) -> bool:
        """Apply the event. Returns False when it became a dead letter."""
        received = None if self._traces is None else self._traces.receive(event)
        follow = same_trace if received is None else received.follow
        outcome = "failed"
        try:
            outcome = await self._dispatch(event, follow)
        finally:
            if received is not None:
                received.end(outcome, failed=outcome in ("failed", "dead-letter"))
        return outcome != "dead-letter"

    async def _dispatch(self, event: BrokerEvent, follow: Follow) -> str:
        """Apply the event. Returns what became of it."""
        try:
            meaning = self._registry.meaning(event.body, now_ms=self._journal.now_ms(), follow=follow)
        except BadEvent as error:
            kind = (error.type, *error.fields)
            return await self._reject(event, error.wrong, str(error), kind, CURES[error.wrong])
        except Exception as error:
            # An error in a user's model. One event must not block the others.
            why = f"its model raised {type(error).__name__}"
            return await self._reject(event, "model", why, (why,), CURES["model"])
        match meaning:
            case SagaEvent(owner, entry):
                appended = await self._journal.append(owner, entry)
                if self._sagas is not None:
                    await self._track(self._sagas, meaning, is_repeat=appended == "repeat")
                if appended == "held" and len(self._due) < _MAX_OWNERS:
                    due = asyncio.get_running_loop().time() + self._journal.gap
                    self._due.setdefault(owner, due)
                return appended
            case ValueEvent(name, version, data, at, mutations):
                await self._values.put(name, version, data, at, mutations)
                return "value"
            case ChangedEvent(tags, owner):
                if self._invalidate is not None:
                    await self._invalidate(tags, owner)
                return "changed"
            case Undeclared():
                near = f" (did you mean {meaning.near}?)" if meaning.near else ""
                why = f"the type {_short(meaning.type)} is not declared{near}"
                cure, most = CURES[meaning.wrong], MAX_UNDECLARED if meaning.ours else 0
                return await self._reject(event, meaning.wrong, why, (meaning.type,), cure, most)
            case None:
                return "ignored"

    async def _reject(
        self,
        event: BrokerEvent,
        wrong: Wrong,
        why: str,
        kind: tuple[str, ...],
        cure: str,
        most: int | None = None,
    ) -> str:
        """Count an event that cannot be used, log the first of its kind, and store it as a dead letter. most: dead
        letters of this kind. Returns what became of it: `dead-letter`, or `dropped` where it is not stored."""
        kind = (wrong, *(_short(part) for part in kind))
        stored = most is None or (self._has_room(kind) and self._kinds.get(kind, 0) < most)
        if stored:
            await self._dead_letters.add(event, why)
        # From here on without a pause: the events of several partitions are dispatched at the same time.
        self.dead_letters[wrong] += 1
        fate = "dead-letter" if stored else "dropped"
        if not self._has_room(kind):
            return fate
        first = kind not in self._kinds
        self._kinds[kind] = self._kinds.get(kind, 0) + stored
        if first:
            told = "becomes a dead letter" if stored else "is not used"
            log.warning(
                "event %s of %s %s %s (%s): %s. What to do: %s. Further ones of this kind are not logged.",
                *(event.id, event.broker, event.partition, told, wrong, _short(why, 500), cure),
            )
            if len(self._kinds) == MAX_KINDS:
                log.warning("%d kinds of events could not be used: further kinds are not logged", MAX_KINDS)
        return fate

    def _has_room(self, kind: tuple[str, ...]) -> bool:
        return kind in self._kinds or len(self._kinds) < MAX_KINDS

    async def _track(self, sagas: OpenSagas, event: SagaEvent, *, is_repeat: bool) -> None:
        outcome = OUTCOMES.get(event.status)
        phase: Phase = "ended" if outcome else "attention" if event.status == "NEEDS_ATTENTION" else "open"
        end = await sagas.track(
            *(event.type, event.owner, event.id, event.entry.version, event.at_ms, phase), is_repeat=is_repeat
        )
        if end is not None and outcome is not None:
            self._observer.on_saga_ended(event.type, outcome, end.seconds)

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


def _short(text: str, most: int = 100) -> str:
    """The beginning of a text from outside, in ASCII without control characters, for the log."""
    return ascii(text[:most])[1:-1]
