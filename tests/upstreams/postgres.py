"""The cluster of the services' tests: a database for each service, emptied before each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import PostgresServer

SERVICES = ("catalog", "inventory", "payments", "shipping", "notifications", "orders")


class Postgres(PostgresServer):
    """A cluster with the services' databases."""

    def url(self, database: str = "{service}") -> str:
        """The services' DATABASE_URL; each service finds its own database with it."""
        return f"postgresql+asyncpg://shop@127.0.0.1:{self.port}/{database}"

    def empty(self) -> None:
        """Empty databases, one for each service; open connections are ended."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as link:
            there = {str(row[0]) for row in link.execute("SELECT datname FROM pg_database")}
            for name in SERVICES:
                if name not in there:
                    self.add(name)
            link.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = ANY(%s) AND pid <> pg_backend_pid()",
                [list(SERVICES)],
            )
        for name in SERVICES:
            # Several times faster than creating a database.
            with psycopg.connect(self.address(name), autocommit=True) as link:
                link.execute("DROP SCHEMA public CASCADE")
                link.execute("CREATE SCHEMA public")


@pytest.fixture(scope="session")
def postgres_session() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="shop-pg-"))
    server = Postgres(folder)
    try:
        yield server.make()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_session: Postgres) -> Postgres:
    """The session's shared server with empty databases."""
    if postgres_session.process is None:
        postgres_session.start()
    postgres_session.empty()
    return postgres_session
