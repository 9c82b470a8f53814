"""Orders say how far they came: the last step that was begun on the way forward."""

import sqlalchemy as sa
from alembic import op

revision = "orders_2"
down_revision = "orders_1"


def upgrade() -> None:
    op.add_column("orders", sa.Column("reached", sa.String(20)))
