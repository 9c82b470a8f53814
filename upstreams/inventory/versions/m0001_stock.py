"""The tables as they were before there were revisions; the outbox of then is made by the next one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_idempotency_keys

revision = "inventory_1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "levels",
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("available", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.CheckConstraint("available >= 0"),
        if_not_exists=True,
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("lines", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    create_idempotency_keys()
