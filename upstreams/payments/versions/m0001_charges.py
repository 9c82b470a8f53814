"""The tables as they were before there were revisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_idempotency_keys

revision = "payments_1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "charges",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("charge_id", sa.String(40), unique=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        if_not_exists=True,
    )
    op.create_table("bad_cards", sa.Column("sub", sa.String(255), primary_key=True), if_not_exists=True)
    create_idempotency_keys()
