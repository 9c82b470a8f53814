"""The outbox of bff-service takes over what waits in the one before."""

from __future__ import annotations

from bff_service.migrations import create_outbox

from upstreams.kit.migrate import move_old_outbox

revision = "notifications_2"
down_revision = "notifications_1"


def upgrade() -> None:
    create_outbox()
    move_old_outbox()
