"""The schema of a service's database, by Alembic: `upstreams/<service>/versions` has a revision for each change.

Guarantees that a new database is made as the code declares it and marked with the newest revision (Alembic's cookbook,
"Building an Up to Date Database from Scratch"), and that an older one gets the revisions that it lacks, in one
transaction where the database can. Refuses a database that has tables and no revision: nobody knows what it is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from bff_service import Database
from sqlalchemy import Connection, MetaData, inspect

HERE = Path(__file__).parent
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class UnknownSchema(Exception):
    """The database has tables that no revision made."""


async def migrate(database: Database, versions: Path) -> None:
    """Bring the database to the newest revision in this folder. Raises UnknownSchema."""
    # Alembic keeps what it is at in its modules: two services in one process take turns.
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turn, database.write() as db:
        await db.run_sync(_upgrade, database.metadata, versions)


def _upgrade(connection: Connection, metadata: MetaData, versions: Path) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(HERE / "alembic"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(versions))
    if MigrationContext.configure(connection).get_current_heads():
        command.upgrade(config, "head")
        return
    if tables := inspect(connection).get_table_names():
        raise UnknownSchema(
            f"{connection.engine.url!r} has tables and no revision ({', '.join(sorted(tables))}): it is older than "
            "the revisions; remove it (`make clean`, `make down`), and a new one is made"
        )
    metadata.create_all(connection)
    command.stamp(config, "head")
