"""The revisions of each service: what they make is what the code declares, on SQLite and on PostgreSQL; and databases
from before there were revisions are taken over with all that is in them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from bff_service import Database
from fastapi import FastAPI
from sqlalchemy import Connection

from tests.upstreams.conftest import Issuer, Serve, until
from tests.upstreams.postgres import Postgres, postgres, postgres_session
from tests.upstreams.test_inventory import events
from upstreams.inventory.app import build as build_inventory
from upstreams.kit import ShopSettings
from upstreams.kit.migrate import migrate

__all__ = ["postgres", "postgres_session"]

SERVICES = ("catalog", "inventory", "notifications", "orders", "payments", "shipping")


def built(service: str, **values: Any) -> tuple[FastAPI, Database]:
    """The service's application, not started, and its database with the tables that its code declares."""
    build: Callable[[ShopSettings], FastAPI] = import_module(f"upstreams.{service}.app").build
    found = vars(import_module(f"upstreams.{service}.settings")).values()
    (settings,) = [
        one for one in found if isinstance(one, type) and one.__name__ == f"{service.title()}Settings"
    ]
    app = build(settings(**values))
    database: Database = app.state.service.database
    return app, database


def differences(link: Connection, database: Database) -> list[Any]:
    context = MigrationContext.configure(link, opts={"compare_type": True})
    return list(compare_metadata(context, database.metadata))


async def made_and_compared(service: str, **values: Any) -> list[Any]:
    _, database = built(service, **values)
    try:
        await migrate(database, service)
        # A second time changes nothing.
        await migrate(database, service)
        async with database.read() as db:
            return await db.run_sync(differences, database)
    finally:
        await database.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_the_revisions_make_what_the_code_declares(service: str, tmp_path: Path) -> None:
    assert await made_and_compared(service, data_dir=tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
async def test_the_revisions_make_it_on_postgresql_too(service: str, postgres: Postgres) -> None:
    assert await made_and_compared(service, database_url=postgres.url()) == []


async def test_an_inventory_from_before_the_revisions_keeps_its_stock_and_tells_what_waited(
    serve: Serve, issuer: Issuer, tmp_path: Path, redis_url: str
) -> None:
    event = {"id": "mug-01:7", "subject": "mug-01", "type": "shop.stock.value", "data": {"version": 7}}
    with contextlib.closing(sqlite3.connect(tmp_path / "inventory.db")) as old, old:
        old.execute("CREATE TABLE levels (sku VARCHAR(64) PRIMARY KEY, available INTEGER, version INTEGER)")
        old.execute("INSERT INTO levels VALUES ('mug-01', 33, 7)")
        old.execute(
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, subject VARCHAR(255), "
            "partition_key VARCHAR(512), body BLOB)"
        )
        row = ("mug-01", "mug-01", json.dumps(event).encode())
        old.execute("INSERT INTO outbox (subject, partition_key, body) VALUES (?, ?, ?)", row)
    inventory = await serve(build_inventory, redis_url=redis_url)
    assert (await inventory.get("/stock/mug-01")).json() == {"sku": "mug-01", "available": 33, "version": 7}
    assert (await inventory.get("/stock/pen-01")).json()["available"] == 50

    async def told() -> bool:
        return event in await events(redis_url, "mug-01")

    await until(told)
    with contextlib.closing(sqlite3.connect(tmp_path / "inventory.db")) as new:
        tables = {name for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "outbox" not in tables and "alembic_version" in tables
