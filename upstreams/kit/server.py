"""A service as a process of its own. Guarantees uvicorn on uvloop and httptools, JSON logs, and an end within about a
second of SIGTERM even with requests parked. Refuses proxies' headers, for nothing stands before a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import uvicorn
from bff_service import configure_logs, configure_traces
from fastapi import FastAPI

from upstreams.kit.settings import ShopSettings

Settings = TypeVar("Settings", bound=ShopSettings)

GRACE_SECONDS = 1


def run(build: Callable[[Settings], FastAPI], settings: Settings) -> None:
    """Serve what `build` makes until SIGTERM or SIGINT."""
    configure_logs(settings.service, settings.log_level)
    end_traces = configure_traces(settings.service)
    uvicorn.run(
        build(settings),
        host=settings.host,
        port=settings.own_port if settings.port is None else settings.port,
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
    end_traces()
