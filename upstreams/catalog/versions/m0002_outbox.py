"""The outbox of bff-service takes over the changes that wait to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from bff_service.migrations import create_outbox

from upstreams.kit.migrate import move_message

revision = "catalog_2"
down_revision = "catalog_1"


def upgrade() -> None:
    create_outbox()
    link = op.get_bind()
    if not sa.inspect(link).has_table("deliveries"):
        return
    for id, body in link.execute(sa.text("SELECT id, body FROM deliveries ORDER BY rank")).all():
        move_message(id=id, key="changes", body=body)
    op.drop_table("deliveries")
