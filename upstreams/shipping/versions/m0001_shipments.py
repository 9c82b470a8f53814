"""The tables as they were before there were revisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_idempotency_keys

revision = "shipping_1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "shipments",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("shipment_id", sa.String(40), unique=True),
        sa.Column("tracking", sa.String(40), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("lines", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    create_idempotency_keys()
