"""A gateway with routes that one network may use."""

from __future__ import annotations

from pydantic import BaseModel

from bff import Gateway

desk = Gateway("desk")


class Seen(BaseModel):
    seen: bool


@desk.view("/api/open", public=True, limit="2/minute")
async def open_to_all() -> Seen:
    return Seen(seen=True)


@desk.view("/api/office", public=True, network="office")
async def for_the_office() -> Seen:
    return Seen(seen=True)


@desk.command("/api/office", network="office")
async def done_in_the_office() -> Seen:
    return Seen(seen=True)
