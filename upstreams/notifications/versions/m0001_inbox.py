"""The tables as they were before there were revisions; the outbox of then is made by the next one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_idempotency_keys

revision = "notifications_1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(255), nullable=False, unique=True),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("text", sa.String(2000), nullable=False),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("read", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("notifications_by_owner", "notifications", ["owner", "number"], if_not_exists=True)
    op.create_table(
        "bells",
        sa.Column("owner", sa.String(512), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "replays",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    create_idempotency_keys()
