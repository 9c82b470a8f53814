"""Notifications' API. Promises each person their own notifications and a live bell, and an operator the dead letters
with a way back for them; refuses to show anyone another one's, and is not called by orders at all."""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData

from upstreams.kit import NOT_FOUND, Ask, Nothing, Outbox, Problem, Publisher, Refusal, Service
from upstreams.notifications.consumer import Consumer
from upstreams.notifications.dead_letters import DeadLetterOffice
from upstreams.notifications.inbox import UNKNOWN_CURSOR, Inbox, bell_event
from upstreams.notifications.models import (
    DeadLetters,
    Notifications,
    NotificationsQuery,
    ReadNow,
    Replayed,
    Unread,
)
from upstreams.notifications.reception import PoisonError, Reception, RefusedError
from upstreams.notifications.settings import NotificationsSettings

STILL_FAILS: Final = Refusal(409, "still-failing", "The event failed again; it stays a dead letter.")


def build(settings: NotificationsSettings) -> Service:
    """The notifications service on its own database, with its consumer and its outbox."""
    metadata = MetaData()
    inbox = Inbox(metadata)
    outbox = Outbox(metadata)
    office = DeadLetterOffice(metadata, settings.redis_url)
    publisher = Publisher(settings.redis_url, "notifications")
    service = Service(
        "notifications", team="Notifications", contact="#notifications", settings=settings, metadata=metadata
    )
    reception = Reception(service.database, inbox, outbox, service.faults if settings.faults else None)

    async def republish() -> None:
        # Whoever emptied Redis emptied the gateway's values with it.
        async with service.database.write() as db:
            for bell in await inbox.bells(db):
                await outbox.add(db, bell_event(bell))
        outbox.wake()

    async def tidy() -> None:
        await office.tidy(service.database)

    consumer = Consumer(
        settings.redis_url,
        settings.consumer_name,
        claim_idle_ms=settings.claim_idle_ms,
        max_deliveries=settings.max_deliveries,
        handle=reception.handle,
        new_bus=republish,
        tidy=tidy,
    )

    async def notifications(ask: Ask[NotificationsQuery]) -> Notifications:
        owner = ask.caller.id
        page = await inbox.page(ask.db, owner, ask.input.after)
        return Notifications(notifications=page, unread=await inbox.unread(ask.db, owner))

    async def read(ask: Ask[ReadNow]) -> Unread:
        bell = await inbox.mark_read(ask.db, ask.caller.id, ask.input.ids)
        if bell is not None:
            await outbox.add(ask.db, bell_event(bell, ask.hop.traceparent))
        return Unread(unread=await inbox.unread(ask.db, ask.caller.id))

    async def dead_letters(ask: Ask[Nothing]) -> DeadLetters:
        return DeadLetters(dead_letters=await office.newest(ask.db))

    async def replay(ask: Ask[Nothing]) -> Replayed:
        letter_id = ask.path["id"]
        if await office.replayed(ask.db, letter_id):
            return Replayed(id=letter_id)
        body = await office.body(letter_id)
        if body is None:
            raise NOT_FOUND.problem("There is no such dead letter.")
        try:
            await reception.handle_in(ask.db, body)
        except (PoisonError, RefusedError, Problem) as error:
            # Not final: the same key may try again once the cause is gone.
            why = error.detail if isinstance(error, Problem) else str(error)
            raise STILL_FAILS.problem(f"It failed again: {why}"[:300]) from None
        await office.mark(ask.db, letter_id)
        return Replayed(id=letter_id)

    async def drain() -> None:
        await outbox.drain_forever(service.database, publisher)

    for stop in (publisher.close, office.close, consumer.close):
        service.on_stop(stop)
    service.background(drain)
    service.background(consumer.run)
    service.after_commit(outbox.wake)
    service.needs("redis", publisher.ping, required=False)
    service.get(
        "/notifications",
        notifications,
        takes=NotificationsQuery,
        answers=Notifications,
        refuses=(UNKNOWN_CURSOR,),
        summary="My notifications, newest first",
    )
    service.post(
        "/notifications/read", read, takes=ReadNow, answers=Unread, summary="Mark some or all of mine as read"
    )
    service.get(
        "/dead-letters",
        dead_letters,
        takes=Nothing,
        answers=DeadLetters,
        scope="operator",
        summary="Events that could not be handled, newest first",
    )
    service.post(
        "/dead-letters/{id}/replay",
        replay,
        takes=Nothing,
        answers=Replayed,
        scope="operator",
        refuses=(STILL_FAILS, NOT_FOUND),
        summary="Handle a dead letter now",
    )
    return service
