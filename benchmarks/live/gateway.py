"""The gateway under measurement: one value everybody may ask for, one kind of saga; tokens are checked as ever."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from bff import Gateway, SagaStatus


class Tick(BaseModel):
    n: int


class Tasks(BaseModel):
    open: int


live = Gateway("live")
live.value("tick/{name}", Tick, public=True)
live.saga("order", SagaStatus)


@live.view("/tasks", public=True)
async def tasks() -> Tasks:
    """How many tasks there are in this process."""
    return Tasks(open=len(asyncio.all_tasks()))
