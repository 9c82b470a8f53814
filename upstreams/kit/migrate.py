"""The schema of a service's database, by Alembic: `upstreams/<service>/versions` has a revision for each change.

Guarantees that a start brings a database of any earlier version to the newest, in one transaction where the database
can. Databases from before there were revisions are taken over: the first revision of each service creates what is
missing. A test compares what the revisions make with what the code declares.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from alembic import command, op
from alembic.config import Config
from bff_service import Database
from sqlalchemy import Connection

HERE = Path(__file__).parent
SERVICES = HERE.parent
PARTITIONS = 16
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def migrate(database: Database, service: str) -> None:
    """Bring the service's database to its newest version."""
    # Alembic keeps what it is at in its modules: two services in one process take turns.
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turn, database.write() as db:
        await db.run_sync(upgrade, service)


def upgrade(connection: Connection, service: str, revision: str = "head") -> None:
    """The same over a connection that blocks, to any revision."""
    config = Config()
    config.set_main_option("script_location", str(HERE / "alembic"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(SERVICES / service / "versions"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def move_old_outbox() -> None:
    """What waits in an `outbox` of the first kind goes into `outbox_messages`, in its order."""
    link = op.get_bind()
    if not sa.inspect(link).has_table("outbox"):
        return
    for key, body in link.execute(sa.text("SELECT partition_key, body FROM outbox ORDER BY id")).all():
        move_message(id=str(json.loads(body)["id"]), key=key, body=body)
    op.drop_table("outbox")


def move_message(*, id: str, key: str, body: bytes) -> None:
    """Add a message to `outbox_messages`."""
    names = ("partition", "key", "id", "body")
    messages = sa.table("outbox_messages", *(sa.column(name) for name in names))
    partition = zlib.crc32(key.encode()) % PARTITIONS
    op.get_bind().execute(messages.insert().values(partition=partition, key=key, id=id, body=body))
