"""Notifications' API. Guarantees each person their own notifications and a live bell, and an operator the dead letters
with a way back for them. Refuses to show anyone another one's, and is not called by orders at all."""

from __future__ import annotations

from typing import Annotated, Final

from bff_service import (
    NOT_FOUND,
    Database,
    IdempotencyKeys,
    Mutation,
    Once,
    Outbox,
    Person,
    Problem,
    Reading,
    Refusal,
    RequireScope,
    StreamPublisher,
    Text,
    TraceContext,
    refusals,
)
from fastapi import Depends, FastAPI, Path, Query, Request, Response
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit import Faults, shop_service
from upstreams.notifications.consumer import Consumer
from upstreams.notifications.dead_letters import DeadLetterQueue
from upstreams.notifications.handler import EventHandler, PoisonError, RefusedError
from upstreams.notifications.inbox import UNKNOWN_CURSOR, Inbox, bell_event
from upstreams.notifications.models import (
    DeadLetters,
    Notifications,
    NotificationsQuery,
    ReadNow,
    Replayed,
    Unread,
)
from upstreams.notifications.settings import NotificationsSettings

STILL_FAILS: Final = Refusal(409, "still-failing", "The event failed again; it stays a dead letter.")
OPERATOR: Final = Depends(RequireScope("operator"))


def build(settings: NotificationsSettings) -> FastAPI:
    """The notifications service on its own database, with its consumer and its outbox."""
    metadata = MetaData()
    inbox = Inbox(metadata)
    outbox = Outbox(metadata)
    dead = DeadLetterQueue(metadata, settings.redis_url)
    keys = IdempotencyKeys(metadata)
    database = Database(settings.own_database_url, metadata)
    publisher = StreamPublisher(settings.redis_url, "notifications")
    faults = Faults()
    handler = EventHandler(database, inbox, outbox, faults if settings.faults else None)

    async def republish() -> None:
        # Whoever emptied Redis emptied the gateway's values with it.
        async with database.write() as db:
            for bell in await inbox.bells(db):
                await outbox.add(db, bell_event(bell).message())

    consumer = Consumer(
        settings.redis_url,
        settings.consumer_name,
        claim_idle_ms=settings.claim_idle_ms,
        max_deliveries=settings.max_deliveries,
        handle=handler.handle,
        new_bus=republish,
        tidy=lambda: dead.tidy(database),
    )
    app = shop_service(
        settings,
        database,
        keys,
        tasks=[lambda: outbox.drain(database, publisher), consumer.run],
        closing=[publisher.close, dead.close, consumer.close],
        informs={"redis": publisher.ping},
        faults=faults,
        planned_refusals={"POST /dead-letters/{id}/replay": STILL_FAILS},
    )

    @app.get("/notifications", responses=refusals(UNKNOWN_CURSOR), summary="My notifications, newest first")
    async def notifications(
        person: Person, query: Annotated[NotificationsQuery, Query()], db: Reading
    ) -> Notifications:
        page = await inbox.page(db, person.id, query.after)
        return Notifications(notifications=page, unread=await inbox.unread(db, person.id))

    @app.post("/notifications/read", response_model=Unread, summary="Mark some or all of mine as read")
    async def read(
        asked: ReadNow, person: Person, mutation: Mutation, request: Request, once: Once
    ) -> Response:
        async def effect(db: AsyncConnection) -> Unread:
            bell = await inbox.mark_read(db, person.id, asked.ids)
            if bell is not None:
                trace: TraceContext = request.state.trace
                await outbox.add(db, bell_event(bell, trace.traceparent, mutation).message())
            return Unread(unread=await inbox.unread(db, person.id))

        return await once(effect)

    @app.get(
        "/dead-letters", dependencies=[OPERATOR], summary="Events that could not be handled, newest first"
    )
    async def dead_letters(db: Reading) -> DeadLetters:
        return DeadLetters(dead_letters=await dead.newest(db))

    @app.post(
        "/dead-letters/{id}/replay",
        response_model=Replayed,
        responses=refusals(STILL_FAILS, NOT_FOUND),
        dependencies=[OPERATOR],
        summary="Handle a dead letter now",
    )
    async def replay(id: Annotated[Text, Path(max_length=64)], once: Once) -> Response:
        async def effect(db: AsyncConnection) -> Replayed:
            if await dead.replayed(db, id):
                return Replayed(id=id)
            body = await dead.body(id)
            if body is None:
                raise NOT_FOUND.problem("There is no such dead letter.")
            try:
                await handler.handle_in(db, body)
            except (PoisonError, RefusedError, Problem) as error:
                # Not final: the same key may try again once the cause is gone.
                why = error.detail if isinstance(error, Problem) else str(error)
                raise STILL_FAILS.problem(f"It failed again: {why}"[:300]) from None
            await dead.mark(db, id)
            return Replayed(id=id)

        return await once(effect)

    return app
