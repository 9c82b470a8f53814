"""Which run of its saga an order is at, and since when it is at its step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "orders_4"
down_revision = "orders_3"


def upgrade() -> None:
    op.add_column("orders", sa.Column("run", sa.Integer, nullable=False, server_default="1"))
    op.add_column("orders", sa.Column("step_since", sa.Float))
    op.execute(
        "UPDATE orders SET step_since = (SELECT min(history.at) FROM history "
        "WHERE history.order_id = orders.id AND history.step = orders.step)"
    )
