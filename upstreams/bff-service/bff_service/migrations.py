"""This package's tables, for a service's Alembic migrations: each function is one revision's work, fixed for ever."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create_idempotency_keys() -> None:
    """The table of `IdempotencyKeys`, unless it is there."""
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.String(512), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("location", sa.String(512)),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_idempotency_keys_at", "idempotency_keys", ["at"], if_not_exists=True)


def create_outbox() -> None:
    """The two tables of `Outbox`."""
    op.create_table(
        "outbox_messages",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_messages_by_partition", "outbox_messages", ["partition", "number"])
    op.create_table(
        "outbox_leases",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
