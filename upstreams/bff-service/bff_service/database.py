"""A service's own database. Guarantees short read and write transactions on any SQLAlchemy async URL, with SQLite made
safe (WAL, foreign keys, writers in one orderly queue), a server's restart survived, and that replicas prepare their
database one after the other. Refuses to know what a table is for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import MetaData, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

_log = logging.getLogger(__name__)
_IMMEDIATE = "immediate"
# Any number will do, if it is the same in every replica: "shop" in ASCII.
_START_LOCK = 0x73686F70
_START_PAUSE = 0.05
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_ATTEMPTS = 3

T = TypeVar("T")


def is_away(error: BaseException) -> bool:
    """Whether the database could not be asked or asks to try again, rather than refused what it was told.

    SQLSTATE classes 22, 23 and 42 (data, constraint, syntax) are the statement's own fault; asyncpg's first
    one arrives without a class of its own.
    """
    if isinstance(error, OSError | TimeoutError | PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError | DataError | ProgrammingError):
        return False
    return str(getattr(error.orig, "sqlstate", None) or "")[:2] not in ("22", "23", "42")


class Database:
    """An engine and the two kinds of transactions.

    `durable` sets SQLite's `synchronous=FULL` (every commit survives a power cut) instead of NORMAL.
    """

    def __init__(self, url: str, metadata: MetaData, *, durable: bool = False) -> None:
        parsed = make_url(url)
        self.metadata = metadata
        self._committed: list[Callable[[], None]] = []
        self._sqlite = parsed.get_backend_name() == "sqlite"
        # SQLite has one writer; a fair queue here instead of its busy loop, which starves the unlucky.
        self._writer: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self._sqlite else contextlib.nullcontext()
        )
        if self._sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        # A server that restarted leaves dead connections in the pool: each is tried before it is used.
        self.engine = create_async_engine(
            parsed, pool_size=8, max_overflow=8, pool_timeout=10, pool_pre_ping=not self._sqlite
        )
        if self._sqlite:
            self._prepare_sqlite("FULL" if durable else "NORMAL")

    def _prepare_sqlite(self, synchronous: str) -> None:
        def connected(link: Any, _record: object) -> None:  # the driver's own connection type
            # The driver must not begin transactions by itself: `began` below does.
            link.isolation_level = None
            cursor = link.cursor()
            for pragma in (
                "busy_timeout=5000",
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "foreign_keys=ON",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        def began(connection: Connection) -> None:
            # IMMEDIATE takes the write lock first: a read-then-write transaction never fails half way.
            immediate = connection.get_execution_options().get(_IMMEDIATE, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        event.listen(self.engine.sync_engine, "connect", connected)
        event.listen(self.engine.sync_engine, "begin", began)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this after each write transaction's commit; it must neither wait nor raise."""
        self._committed.append(call)

    async def create_tables(self) -> None:
        """Create the tables that are missing. For a start without migrations."""
        async with self.write() as db:
            await db.run_sync(self.metadata.create_all)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads; it sees one state of the database."""
        async with self.engine.connect() as db:
            if not self._sqlite:
                # A server's default shows each statement a newer state; SQLite's snapshot is always one.
                await db.execution_options(isolation_level="REPEATABLE READ")
            async with db.begin():
                yield db

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end and rolls back on any exception."""
        async with self._writer, self.engine.connect() as link:
            db = await link.execution_options(**{_IMMEDIATE: True})
            async with db.begin():
                yield db
        for call in self._committed:
            call()

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do the work in a write transaction. Where it loses a race for a row (IntegrityError) it is done again, three
        times in all: on a server two transactions may insert one row, and the later one now finds it."""
        for _ in range(_ATTEMPTS - 1):
            try:
                async with self.write() as db:
                    return await work(db)
            except IntegrityError:
                continue
        async with self.write() as db:
            return await work(db)

    async def transact_patiently(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        *,
        passes: Callable[[BaseException], bool] = is_away,
    ) -> T:
        """The same for work that nobody waits for: it is done again after each error that passes, with pauses that grow
        from 0.05 s to 2 s. passes: whether an error does; a database that is away."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self.transact(work)
            except Exception as error:
                if not passes(error):
                    raise
                _log.warning("waiting for the database", extra={"reason": repr(error)})
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """While inside, no other process on this database is inside: replicas create and seed one by one.

        On SQLite nothing is needed: a write transaction there holds the whole file. On another server than
        PostgreSQL nothing is done.
        """
        if self.engine.dialect.name != "postgresql":
            yield
            return
        async with self.engine.connect() as link:
            # No transaction may be open meanwhile, neither the holder's nor that of one waiting: an index built
            # concurrently by a start (the saga engine's) waits for all of them. So the session holds the lock,
            # whose end frees it whatever happens to this process, and the others ask again.
            await link.execution_options(isolation_level="AUTOCOMMIT")
            lock = {"lock": _START_LOCK}
            ask = text("SELECT pg_try_advisory_lock(:lock)")
            while not (await link.execute(ask, lock)).scalar():  # noqa: ASYNC110 - a server has no event for it
                await asyncio.sleep(_START_PAUSE)
            try:
                yield
            finally:
                await link.execute(text("SELECT pg_advisory_unlock(:lock)"), lock)

    async def ping(self) -> None:
        """Raise unless the database answers."""
        async with self.read() as db:
            await db.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()
