"""The schema of each service, on SQLite and on PostgreSQL: a new database is what the code declares, an older one gets
the revisions that it lacks, and one that no revision made is refused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from bff_service import Database
from fastapi import FastAPI
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, text

from tests.conftest import ROOT, free_port
from tests.upstreams.postgres import Postgres, postgres, postgres_session
from tests.upstreams.world import variables
from upstreams.kit import ShopSettings
from upstreams.kit.migrate import UnknownSchema, migrate

__all__ = ["postgres", "postgres_session"]

SERVICES = ("catalog", "inventory", "notifications", "orders", "payments", "shipping")
LATER = """
import sqlalchemy as sa
from alembic import op

revision = "{service}_later"
down_revision = "{newest}"


def upgrade() -> None:
    op.add_column("{table}", sa.Column("later", sa.String(10)))
"""


def versions(service: str) -> Path:
    return ROOT / "upstreams" / service / "versions"


def declared(service: str, **values: Any) -> Database:
    """The service's database with the tables that its code declares; nothing is made yet."""
    build: Callable[[ShopSettings], FastAPI] = import_module(f"upstreams.{service}.app").build
    found = vars(import_module(f"upstreams.{service}.settings")).values()
    (settings,) = [
        one for one in found if isinstance(one, type) and one.__name__ == f"{service.title()}Settings"
    ]
    database: Database = build(settings(**values)).state.service.database
    return database


def differences(link: Connection, database: Database) -> list[Any]:
    context = MigrationContext.configure(link, opts={"compare_type": True})
    return list(compare_metadata(context, database.metadata))


async def revision(database: Database) -> str:
    async with database.read() as db:
        return str((await db.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())


async def made_and_migrated(service: str, folder: Path, **values: Any) -> None:
    """Makes the database, and gives it a later revision that its code does not have yet."""
    database = declared(service, **values)
    try:
        await migrate(database, versions(service))
        # A second time changes nothing.
        await migrate(database, versions(service))
        async with database.read() as db:
            assert await db.run_sync(differences, database) == []
        newest = ScriptDirectory(str(ROOT), version_locations=[str(versions(service))]).get_current_head()
        assert await revision(database) == newest

        table = min(database.metadata.tables)
        for file in versions(service).glob("*.py"):
            (folder / file.name).write_text(file.read_text())
        (folder / "later.py").write_text(LATER.format(service=service, newest=newest, table=table))
        await migrate(database, folder)
        assert await revision(database) == f"{service}_later"
        async with database.read() as db:
            ((kind, _, changed, column),) = await db.run_sync(differences, database)
        assert (kind, changed, column.name) == ("remove_column", table, "later")
    finally:
        await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For a copy of a service's revisions."""
    made = tmp_path / "versions"
    made.mkdir()
    return made


@pytest.mark.parametrize("service", SERVICES)
async def test_a_new_database_is_what_the_code_declares_and_gets_later_revisions(
    service: str, tmp_path: Path, folder: Path
) -> None:
    await made_and_migrated(service, folder, data_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
async def test_a_new_database_on_postgresql_gets_later_revisions_too(
    service: str, postgres: Postgres, folder: Path
) -> None:
    await made_and_migrated(service, folder, database_url=postgres.url())


async def test_a_database_that_no_revision_made_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'inventory.db'}"
    old = MetaData()
    Table("levels", old, Column("sku", String(64), primary_key=True), Column("available", Integer))
    before = Database(url, old)
    await before.create_tables()
    after = declared("inventory", data_dir=tmp_path)
    try:
        with pytest.raises(UnknownSchema, match=r"no revision \(levels\).*make clean"):
            await migrate(after, versions("inventory"))
        async with before.read() as db:
            assert await db.run_sync(differences, before) == []
    finally:
        await before.close()
        await after.close()


def test_a_service_that_cannot_start_logs_why(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "inventory.db")) as old:
        old.execute("CREATE TABLE levels (sku TEXT)")
    env = {**os.environ, **variables({"DATA_DIR": str(tmp_path), "PORT": str(free_port())})}
    command = [sys.executable, "-m", "upstreams.inventory"]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
    assert "no revision (levels)" in run.stdout
