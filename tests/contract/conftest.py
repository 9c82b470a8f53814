"""The services as real processes, and their OpenAPI documents: one set for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import free_port, start_module
from tests.upstreams.world import World, eventually, variables


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All services; an order is under way long enough to be cancelled."""
    with World(tmp_path_factory.mktemp("contract"), STEP_PAUSE_MS="200") as world:
        if "notifications" not in world.ports:
            _start_notifications(world)
        yield world


def _start_notifications(world: World) -> None:
    world.ports["notifications"] = free_port()
    world.programs["notifications"] = start_module(
        "upstreams.notifications",
        log=world.log("notifications"),
        env=variables(
            {
                "PORT": str(world.ports["notifications"]),
                "DATA_DIR": str(world.folder),
                "REDIS_URL": world.valkey.url,
                "IDENTITY_URL": world.url("identity"),
            }
        ),
    )
    world.wait_ready("notifications")


@pytest.fixture(scope="session")
def documents(services: World) -> dict[str, dict[str, Any]]:
    """The OpenAPI document of each service the shop calls, as it is served."""
    names = ("catalog", "inventory", "payments", "shipping", "orders", "notifications")
    return {
        name: services.http.get(f"{services.url(name)}/openapi.json").raise_for_status().json()
        for name in names
    }


@pytest.fixture(scope="session")
def order(services: World) -> str:
    """A completed order of ada's, with its notification."""
    placed = services.order_id()
    services.ended(placed)
    notifications = f"{services.url('notifications')}/notifications"
    eventually(
        lambda: bool(services.http.get(notifications, headers=services.bearer("ada")).json()["notifications"])
    )
    return placed
