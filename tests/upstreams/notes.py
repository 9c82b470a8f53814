"""A service for the tests: it writes notes, refuses some texts, and crashes once."""

from __future__ import annotations

from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from upstreams.kit import Answer, Ask, Nothing, Refusal, Service, ServiceSettings

NO = Refusal(409, "no", "Never.", final=True)
LATER = Refusal(409, "later", "Not now.")


class Note(BaseModel):
    text: str = Field(min_length=1)
    depth: list[list[int]] = []


class Count(BaseModel):
    count: int


def build(settings: ServiceSettings) -> Service:
    """The service; its `POST /notes` refuses `never` always, and `later`, `race` and `crash` once."""
    metadata = MetaData()
    notes = Table("notes", metadata, Column("id", Integer, primary_key=True), Column("text", String(100)))

    async def page(_request: Request) -> Response:
        return PlainTextResponse("a page")

    service = Service(
        "notes",
        team="Notes",
        contact="#notes",
        settings=settings,
        metadata=metadata,
        routes=[Route("/page", page)],
    )
    seen: list[str] = []

    async def write(ask: Ask[Note]) -> Answer:
        await ask.db.execute(insert(notes).values(text=ask.input.text))
        seen.append(ask.input.text)
        if ask.input.text == "never":
            raise NO.problem()
        if ask.input.text == "later" and seen.count("later") == 1:
            raise LATER.problem()
        if ask.input.text == "race" and seen.count("race") == 1:
            await ask.db.execute(
                insert(notes), [{"id": 1000, "text": "mine"}, {"id": 1000, "text": "theirs"}]
            )
        if ask.input.text == "crash" and seen.count("crash") == 1:
            raise ZeroDivisionError("the secret of this crash")
        return Answer(Count(count=1), location="/notes/1")

    async def count(ask: Ask[Nothing]) -> Count:
        return Count(count=(await ask.db.execute(select(func.count()).select_from(notes))).scalar_one())

    async def loose(ask: Ask[Nothing]) -> Note:
        return Note(text=f"{ask.key} {ask.fingerprint[:8]} {ask.hop.trace_id}")

    service.post(
        "/notes", write, takes=Note, answers=Count, status=201, scope="saga", or_person=True, refuses=(NO,)
    )
    service.get("/notes", count, takes=Nothing, answers=Count, public=True)
    service.post("/loose/{id}", loose, takes=Nothing, answers=Note, scope="saga", transaction=False)
    return service
