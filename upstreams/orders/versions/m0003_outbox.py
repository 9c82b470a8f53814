"""Events are written with the change that they tell."""

from __future__ import annotations

from bff_service.migrations import create_outbox

revision = "orders_3"
down_revision = "orders_2"


def upgrade() -> None:
    create_outbox()
