"""What the operator API needs, in databases that are older than it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "orders_2"
down_revision = "orders_1"
ADDED: dict[str, dict[str, Any]] = {  # SQLAlchemy's types are generic over what they read
    "orders": {"next_try_at": sa.Float(), "last_error": sa.String(64), "given_up": sa.Text()},
    "history": {"next_try_at": sa.Float(), "last_error": sa.String(64), "note": sa.Text()},
}


def upgrade() -> None:
    for table, columns in ADDED.items():
        present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        for name, kind in columns.items():
            if name not in present:
                op.add_column(table, sa.Column(name, kind))
