"""One event in, at most one notification out. Guarantees that handling is one transaction with the bell's event and
may be repeated at any point. Refuses an event it cannot understand as poison, for trying again would not help."""

from __future__ import annotations

from bff_service import Database, Outbox, TraceContext, set_trace, span
from bff_service.problems import pointed
from bff_service.tracing import follows_from
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit.faults import FaultPlan, Faults
from upstreams.notifications.inbox import Inbox, bell_event
from upstreams.notifications.models import ORDER_STATUS, AnyEvent, StatusEvent
from upstreams.notifications.texts import wording_of


class PoisonError(Exception):
    """The event can never be handled; the text says why."""


class RefusedError(Exception):
    """The planned fault: handling fails as it may fail for any reason that passes."""


def understood(body: bytes) -> StatusEvent | None:
    """The event in these bytes; None for an event of another type, PoisonError for what is no such event."""
    try:
        if AnyEvent.model_validate_json(body).type != ORDER_STATUS:
            return None
        return StatusEvent.model_validate_json(body)
    except ValidationError as error:
        wrong = "; ".join(f"{pointer or '/'} {detail}" for pointer, detail in pointed(error)[:5])
        raise PoisonError(f"not an event of an order: {wrong}"[:500]) from None


class EventHandler:
    """Handles events. `faults` (None: there are none) may strike them as `EVENT <type>`."""

    def __init__(self, database: Database, inbox: Inbox, outbox: Outbox, faults: Faults | None) -> None:
        self._database = database
        self._inbox = inbox
        self._outbox = outbox
        self._faults = faults

    async def handle(self, body: bytes) -> None:
        """Handle the event in a transaction of its own; waits, at most 2 s between tries, for a database away.

        Raises PoisonError, or whatever else handling failed of; nothing is written then.
        """
        # The logs of one event must not carry the trace of the one before.
        set_trace(TraceContext.continued({}))
        event = understood(body)
        if event is None:
            return
        trace = TraceContext.continued({"traceparent": event.traceparent or ""})
        about = {
            "messaging.system": "redis",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": "events:orders",
            "cloudevents.event_type": event.type,
            "cloudevents.event_id": event.id,
        }
        with span("process events:orders", "consumer", about, context=trace):
            await self._handle(event)

    async def _handle(self, event: StatusEvent) -> None:
        plan = await self._before(event)
        # A database away is not the event's failure: it spends no delivery.
        await self._database.transact_patiently(lambda db: self._take(db, event))
        if self._faults is not None and plan is not None:
            await self._faults.after(plan)

    async def handle_in(self, db: AsyncConnection, body: bytes) -> None:
        """Handle the event in the caller's transaction."""
        event = understood(body)
        if event is not None:
            await self._before(event)
            await self._take(db, event)

    async def _before(self, event: StatusEvent) -> FaultPlan | None:
        if self._faults is None:
            return None
        plan = self._faults.strike("EVENT", event.type, event.type, refusable=True)
        if plan is not None:
            await self._faults.before(plan)
            if plan.refuse:
                raise RefusedError("this failure was asked for at /faults")
        return plan

    async def _take(self, db: AsyncConnection, event: StatusEvent) -> None:
        wording = wording_of(event)
        if wording is None:
            return
        bell = await self._inbox.take(db, event, wording)
        if bell is not None:
            await self._outbox.add(db, bell_event(bell, follows_from(event.traceparent)).message())
