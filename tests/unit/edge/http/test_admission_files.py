"""A page's own files are served by a loop that runs late: a page without one of its scripts stays blank."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bff.edge.http.admission import Admission
from bff.edge.http.cors import Cors
from bff.edge.settings import AdmissionSettings
from bff.edge.settings.http import HttpSettings
from bff.policies.admission import MIN_LIMIT

from ....waiting import GUARD


class World:
    """Admission before an application that answers when `release` is set."""

    def __init__(self, in_flight: int = 1000) -> None:
        self.release = asyncio.Event()
        settings = AdmissionSettings(in_flight=in_flight)
        self.admission = Admission(
            self._app, settings, "http://localhost:8000", Cors(HttpSettings()), ("/assets/",)
        )
        self.running: list[asyncio.Task[int]] = []

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def status(self, path: str) -> int:
        seen: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.append(message["status"])

        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        await self.admission(scope, lambda: asyncio.sleep(0), send)  # type: ignore[arg-type, return-value]
        return seen[0]

    async def refused(self, path: str) -> bool:
        task = asyncio.create_task(self.status(path))
        await asyncio.sleep(0)
        if not task.done():
            self.running.append(task)
            return False
        return task.result() == 503

    def ask(self, path: str) -> asyncio.Task[int]:
        task = asyncio.create_task(self.status(path))
        self.running.append(task)
        return task


async def test_files_are_served_after_the_loop_was_late_and_other_requests_are_refused() -> None:
    world = World()
    for number in range(10 * MIN_LIMIT):
        world.ask(f"/assets/{number}.js")
    await asyncio.sleep(0)
    assert world.admission.in_flight == 10 * MIN_LIMIT
    # The loop is late for longer than is borne, which lowers the number of requests that are admitted.
    time.sleep(0.6)
    async with asyncio.timeout(GUARD):
        while not await world.refused("/api/screens/home"):
            pass
    late = world.ask("/assets/late.js")
    await asyncio.sleep(0)
    world.release.set()
    assert await asyncio.gather(late, *world.running) == [200] * (len(world.running) + 1)
    assert world.admission.in_flight == 0


async def test_files_are_refused_beyond_the_configured_number() -> None:
    world = World(in_flight=3)
    for number in range(3):
        world.ask(f"/assets/{number}.js")
    await asyncio.sleep(0)
    assert await world.status("/assets/one-more.js") == 503
    world.release.set()
    assert await asyncio.gather(*world.running) == [200] * 3
