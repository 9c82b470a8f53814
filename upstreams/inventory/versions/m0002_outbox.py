"""The outbox of bff-service takes over what waits in the one before."""

from __future__ import annotations

from bff_service.migrations import create_outbox

from upstreams.kit.migrate import move_old_outbox

revision = "inventory_2"
down_revision = "inventory_1"


def upgrade() -> None:
    create_outbox()
    move_old_outbox()
