"""Everyone's notifications and bells, as rules over one transaction. Promises one notification for an event, however
often it comes, and a bell version that counts each change of a person's unread from 1; shows nobody another's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bff_service import Event, EventSource, Refusal, rfc3339
from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.notifications.models import Notification, StatusEvent
from upstreams.notifications.texts import Wording

PAGE = 50
MOST_BELLS = 1000
_EVENTS = EventSource("notifications", domain="shop")
UNKNOWN_CURSOR = Refusal(422, "unknown-cursor", "`after` is not the id of one of your notifications.")


@dataclass(frozen=True, slots=True)
class Bell:
    """How many a person has not read; `version` counts its changes."""

    owner: str
    unread: int
    version: int


def bell_name(owner: str) -> str:
    """The bell's public name: it tells nobody whose it is."""
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def bell_event(bell: Bell, traceparent: str | None = None, mutation: str | None = None) -> Event:
    """The bell as the event of the value `bell/<name>`. mutation: the command that changed it."""
    return _EVENTS.value(
        "bell",
        bell_name(bell.owner),
        version=bell.version,
        data={"unread": bell.unread, "version": bell.version},
        mutation=mutation,
        traceparent=traceparent,
    )


class Inbox:
    """The tables `notifications` and `bells`; each method runs in the caller's transaction."""

    def __init__(self, metadata: MetaData) -> None:
        self._notifications = Table(
            "notifications",
            metadata,
            # The order of arrival: what came last is what a person sees first.
            Column("number", Integer, primary_key=True, autoincrement=True),
            Column("id", String(255), nullable=False, unique=True),
            Column("owner", String(512), nullable=False),
            Column("kind", String(40), nullable=False),
            Column("title", String(200), nullable=False),
            Column("text", String(2000), nullable=False),
            Column("order_id", String(64), nullable=False),
            Column("at", String(32), nullable=False),
            Column("read", Boolean, nullable=False),
            Index("notifications_by_owner", "owner", "number"),
            sqlite_autoincrement=True,
        )
        self._bells = Table(
            "bells",
            metadata,
            Column("owner", String(512), primary_key=True),
            Column("version", Integer, nullable=False),
        )

    async def take(self, db: AsyncConnection, event: StatusEvent, wording: Wording) -> Bell | None:
        """Write the event's notification; the changed bell, None when this was told before.

        That is when the event came before, and when it says again what the order's owner knows: an order that needs
        attention says so with every attempt.

        Two writers of one event at once: the later one gets an IntegrityError and, tried again, None.
        """
        table = self._notifications
        again = (
            (table.c.owner == event.data.owner)
            & (table.c.order_id == event.subject)
            & (table.c.kind == wording.kind)
        )
        known = select(table.c.number).where((table.c.id == event.id) | again).limit(1)
        if (await db.execute(known)).first() is not None:
            return None
        await db.execute(
            insert(table).values(
                id=event.id,
                owner=event.data.owner,
                kind=wording.kind,
                title=wording.title,
                text=wording.text,
                order_id=event.subject,
                at=rfc3339(event.data.at),
                read=False,
            )
        )
        return await self._ring(db, event.data.owner)

    async def page(self, db: AsyncConnection, owner: str, after: str | None) -> list[Notification]:
        """The owner's newest 50, or those older than the one named; 422 when that is not theirs."""
        table = self._notifications
        wanted = select(table).where(table.c.owner == owner).order_by(table.c.number.desc()).limit(PAGE)
        if after is not None:
            place = select(table.c.number).where(table.c.owner == owner, table.c.id == after)
            number = (await db.execute(place)).scalar()
            if number is None:
                raise UNKNOWN_CURSOR.problem()
            wanted = wanted.where(table.c.number < number)
        return [Notification.model_validate(row, from_attributes=True) for row in await db.execute(wanted)]

    async def unread(self, db: AsyncConnection, owner: str) -> int:
        table = self._notifications
        wanted = select(func.count()).where(table.c.owner == owner, table.c.read.is_(False))
        return int((await db.execute(wanted)).scalar_one())

    async def mark_read(self, db: AsyncConnection, owner: str, ids: Sequence[str] | None) -> Bell | None:
        """Mark these of the owner's, or all, as read; the changed bell, None when nothing was unread."""
        table = self._notifications
        change = update(table).where(table.c.owner == owner, table.c.read.is_(False)).values(read=True)
        if ids is not None:
            change = change.where(table.c.id.in_(ids))
        changed = (await db.execute(change)).rowcount
        return await self._ring(db, owner) if changed else None

    async def bells(self, db: AsyncConnection) -> list[Bell]:
        """The current bells, at most 1000."""
        rows = (await db.execute(select(self._bells).limit(MOST_BELLS))).all()
        return [Bell(row.owner, await self.unread(db, row.owner), row.version) for row in rows]

    async def _ring(self, db: AsyncConnection, owner: str) -> Bell:
        # The bell's row is locked before anything is counted: a later version has counted what an earlier one had.
        bells = self._bells
        rung = await db.execute(
            update(bells).where(bells.c.owner == owner).values(version=bells.c.version + 1)
        )
        if rung.rowcount == 0:
            await db.execute(insert(bells).values(owner=owner, version=1))
        version = (await db.execute(select(bells.c.version).where(bells.c.owner == owner))).scalar_one()
        return Bell(owner, await self.unread(db, owner), int(version))
