"""A service for the tests: it writes notes, refuses some texts, and crashes once."""

from __future__ import annotations

from typing import Annotated, ClassVar

from bff_service import (
    Caller,
    Database,
    IdempotencyKeys,
    Once,
    Reading,
    Refusal,
    RequestKeyed,
    RequireScope,
    refusals,
)
from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from upstreams.kit import ShopSettings, shop_service

NO = Refusal(409, "no", "Never.", final=True)
LATER = Refusal(409, "later", "Not now.")


class NotesSettings(ShopSettings):
    service: ClassVar[str] = "notes"
    own_port: ClassVar[int] = 0


class Note(BaseModel):
    text: str = Field(min_length=1)
    depth: list[list[int]] = []


class Count(BaseModel):
    count: int


SagaOrPerson = Annotated[Caller, Depends(RequireScope("saga", or_person=True))]


def build(settings: NotesSettings) -> FastAPI:
    """The service; its `POST /notes` refuses `never` always, and `later`, `race` and `crash` once."""
    metadata = MetaData()
    notes = Table("notes", metadata, Column("id", Integer, primary_key=True), Column("text", String(100)))
    database, keys = Database(settings.own_database_url, metadata), IdempotencyKeys(metadata)
    app = shop_service(settings, database, keys, migrations=database.create_tables)
    seen: list[str] = []

    async def page(_request: Request) -> Response:
        return PlainTextResponse("a page")

    app.router.routes.append(Route("/page", page))

    async def write(db: AsyncConnection, note: Note) -> Response:
        await db.execute(insert(notes).values(text=note.text))
        seen.append(note.text)
        if note.text == "never":
            raise NO.problem()
        if note.text == "later" and seen.count("later") == 1:
            raise LATER.problem()
        if note.text == "race" and seen.count("race") == 1:
            await db.execute(insert(notes), [{"id": 1000, "text": "mine"}, {"id": 1000, "text": "theirs"}])
        if note.text == "crash" and seen.count("crash") == 1:
            raise ZeroDivisionError("the secret of this crash")
        body = Count(count=1).model_dump_json()
        return Response(body, 201, {"Location": "/notes/1"}, "application/json")

    @app.post("/notes", status_code=201, response_model=Count, responses=refusals(NO))
    async def write_note(caller: SagaOrPerson, note: Note, once: Once) -> Response:
        return await once(lambda db: write(db, note))

    @app.get("/notes")
    async def count(db: Reading) -> Count:
        return Count(count=(await db.execute(select(func.count()).select_from(notes))).scalar_one())

    @app.post("/loose/{id}", dependencies=[Depends(RequireScope("saga"))])
    async def loose(id: str, request: Request, key: RequestKeyed) -> Note:
        return Note(text=f"{key.key} {key.fingerprint[:8]} {request.state.trace.trace_id}")

    return app
