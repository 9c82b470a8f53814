"""An error names the owning team also where the event loop is late, so that the time of the screen or command ends
before the error of its call has arrived."""

from __future__ import annotations

import asyncio
import time

from bff import Call, Gateway, Upstream

from ..wire.scripted import upstream
from .kit import PATIENT, client


class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def silent(self) -> Call[dict[str, str]]:
        return self.get("/things/silent", dict[str, str])


async def test_a_screen_that_ends_late_names_the_owner_of_the_call_it_waited_for(redis_url: str) -> None:
    shelf = Shelf()
    gateway = Gateway("late", deadline=0.3)

    @gateway.view("/late", public=True)
    async def late() -> dict[str, str]:
        # Longer than the deadline and the grace after it: both time limits are found together.
        asyncio.get_running_loop().call_later(0.1, time.sleep, 0.6)
        return await shelf.silent()

    @gateway.view("/alone", public=True)
    async def alone() -> str:
        await asyncio.sleep(30)
        return ""

    async with (
        upstream() as scripted,
        client(gateway, redis_url, {"shelf": scripted.port}, **PATIENT) as http,
    ):
        answer = await http.get("/late")
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
        assert answer.json()["owner"]["team"] == "Shelf team"
        nobody = await http.get("/alone")
        assert (nobody.status_code, nobody.json()["code"]) == (504, "timeout")
        assert "owner" not in nobody.json()
