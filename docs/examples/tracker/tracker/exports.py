"""Tickets as a file for spreadsheets. It is written while it is sent, so its length does not matter."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated

from bff import Download, Resource, Router

from . import upstreams
from .upstreams import State

router = Router(prefix="/api/exports", limit="10/minute")

COLUMNS = ("id", "project", "title", "state", "assignee")
PAGE = 20


class Exports:
    """Bounds the exports that run at once in one process: each reads all tickets."""

    def __init__(self, at_once: int) -> None:
        self.turn = asyncio.Semaphore(at_once)


@asynccontextmanager
async def opened() -> AsyncIterator[Exports]:
    """For `Gateway(lifespan=…)`: what is yielded is a `Resource` of views and commands."""
    yield Exports(at_once=2)


@router.view("/tickets.csv", deadline=30)
async def tickets_file(
    exports: Annotated[Exports, Resource()], project: str | None = None, state: State | None = None
) -> Download:
    """All tickets, or those of one project or state, as CSV."""
    rows = _rows(exports, project, () if state is None else (state,))
    return Download(rows, f"{project or 'tickets'}.csv", "text/csv; charset=utf-8")


async def _rows(exports: Exports, project: str | None, states: tuple[State, ...]) -> AsyncIterator[bytes]:
    async with exports.turn:
        yield _line(COLUMNS)
        number, more = 1, True
        while more:
            page = await upstreams.tickets.page(number, PAGE, project=project, states=states)
            for ticket in page.value.tickets:
                yield _line(getattr(ticket, column) or "" for column in COLUMNS)
            number, more = number + 1, 'rel="next"' in page.headers.get("link", "")


def _line(cells: Iterable[str]) -> bytes:
    # A spreadsheet runs a cell that begins like a formula, and anybody can write a title.
    safe = [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells]
    line = io.StringIO()
    csv.writer(line).writerow(safe)
    return line.getvalue().encode()
