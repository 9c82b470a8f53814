"""The tables as they were before there were revisions: what an early database lacks is added by the next one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_idempotency_keys

revision = "orders_1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("step", sa.String(20)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("cancel_asked", sa.Boolean, nullable=False),
        sa.Column("cancel_closed", sa.Boolean, nullable=False),
        if_not_exists=True,
    )
    op.create_index("orders_by_owner", "orders", ["owner", "created"], if_not_exists=True)
    op.create_table(
        "history",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("step", sa.String(20)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("at", sa.Float, nullable=False),
        if_not_exists=True,
    )
    create_idempotency_keys()
