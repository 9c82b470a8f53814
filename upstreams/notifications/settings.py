"""Notifications' settings, from the environment. Promises bounded times and counts; refuses a delivery cap of none:
an event that nobody can handle must end somewhere."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from upstreams.kit import ShopSettings


class NotificationsSettings(ShopSettings):
    """What notifications reads beside the settings of every service."""

    service: ClassVar[str] = "notifications"
    own_port: ClassVar[int] = 8107

    consumer_name: str = Field(
        "notifications-0",
        min_length=1,
        max_length=100,
        description="stable for each process: a new name at every start would grow the group's list for ever",
    )
    claim_idle_ms: int = Field(
        10_000,
        ge=50,
        le=3_600_000,
        description="how long an event is left with the consumer that took it, before any may take it over",
    )
    max_deliveries: int = Field(
        5, ge=1, le=1000, description="an event delivered so often without success is a dead letter"
    )
