"""The gateway under measurement: a stream needs the scope `read`; one value, one kind of saga."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from bff import Gateway, SagaStatus

SCOPE = "read"


class Tick(BaseModel):
    n: int


class Tasks(BaseModel):
    open: int


live = Gateway("live", scopes=(SCOPE,))
live.value("tick/{name}", Tick, public=True)
live.saga("order", SagaStatus)


@live.view("/tasks", public=True)
async def tasks() -> Tasks:
    """The number of tasks in this process."""
    return Tasks(open=len(asyncio.all_tasks()))
