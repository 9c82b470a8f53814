"""The tables as they were before there were revisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_idempotency_keys

revision = "catalog_1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.String(1000), nullable=False),
        sa.Column("category", sa.String(50), nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("weight_g", sa.Integer, nullable=False),
        sa.Column("art", sa.String(50), nullable=False),
        if_not_exists=True,
    )
    create_idempotency_keys()
