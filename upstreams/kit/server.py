"""A service as a process of its own. Promises uvicorn on uvloop and httptools, JSON logs, and an end within about a
second of SIGTERM even with requests parked; refuses proxies' headers, for nothing stands before a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import uvicorn

from upstreams.kit.logs import configure_logs
from upstreams.kit.service import Service
from upstreams.kit.settings import ServiceSettings

Settings = TypeVar("Settings", bound=ServiceSettings)

GRACE_SECONDS = 1


def run(build: Callable[[Settings], Service], settings: Settings, *, port: int) -> None:
    """Serve what `build` makes until SIGTERM or SIGINT; `port` is used where the settings name none."""
    service = build(settings)
    configure_logs(service.name, settings.log_level)
    uvicorn.run(
        service.app(),
        host=settings.host,
        port=port if settings.port is None else settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
