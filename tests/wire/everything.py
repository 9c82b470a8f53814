"""A gateway with every kind of declaration, for tests that send it anything, and the service behind it."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bff import (
    Body,
    Call,
    Cookie,
    Depends,
    Download,
    Gateway,
    Header,
    Part,
    Principal,
    Query,
    Redirect,
    Reply,
    Router,
    SetCookie,
    Upstream,
    optional,
)

from ..unit.edge.access.issuing import jwk
from ..waiting import GUARD
from .scripted import KEY


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Filter(BaseModel):
    state: Literal["open", "closed"] = "open"
    page: Annotated[int, Field(ge=1, le=1000)] = 1
    label: list[str] = []
    since: datetime.date | None = None
    page_size: Annotated[int, Field(alias="page-size", ge=1)] = 20


class Box(BaseModel):
    kind: Literal["box"]
    width: Annotated[float, Field(gt=0)]


class Bag(BaseModel):
    kind: Literal["bag"]
    litres: Decimal


class Note(BaseModel):
    text: Annotated[str, Field(max_length=200)]
    at: datetime.datetime | None = None
    colour: Colour = Colour.RED
    inside: Annotated[Box | Bag, Field(discriminator="kind")] | None = None
    notes: list[Note] = []
    more: dict[str, int] = {}


class Change(BaseModel):
    text: str | None = None
    colour: Colour | None = None


class Given(BaseModel):
    value: Any


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def file(self, name: str) -> Call[Any]:
        return self.get("/v1/files/{name}", Any, name=name).public()

    def note(self, name: str) -> Call[Note]:
        return self.get("/v1/notes/{name}", Note, name=name).passes(404)


shelf = Shelf()


async def locale(language: Annotated[str, Header("Accept-Language")] = "en") -> str:
    return language.partition(",")[0]


def declare() -> Gateway:
    notes = Router(prefix="/api/notes")
    gateway = Gateway("everything", deadline=GUARD, redirects=("https://pay.example.org",))

    @notes.view("")
    async def search(filter: Filter, q: Annotated[str, Query()] = "") -> Given:
        return Given(value=[filter.model_dump(mode="json"), q])

    @notes.view("/{id}")
    async def read(id: uuid.UUID, who: Principal) -> Note:
        return Note(text=f"{id} {who.subject}")

    @notes.command("/{id}", method="PUT")
    async def write(id: uuid.UUID, note: Note) -> Note:
        return note

    @notes.command("/{id}", method="PATCH")
    async def change(id: uuid.UUID, changes: list[Change]) -> Given:
        return Given(value=len(changes))

    @notes.command("/{id}", method="DELETE")
    async def remove(id: uuid.UUID, force: bool = False) -> None: ...

    @notes.command("/{id}/inside")
    async def put_inside(id: uuid.UUID, inside: Annotated[Box | Bag, Field(discriminator="kind")]) -> Given:
        return Given(value=inside.kind)

    @notes.command("/{id}/done")
    async def done(id: uuid.UUID, note: Note | None = None) -> Reply[Given]:
        return Reply(Given(value=note is None), 201, cookies=(SetCookie("seen", "1"),))

    @notes.command("/{id}/count")
    async def count(id: uuid.UUID, number: Annotated[int, Body()]) -> Given:
        return Given(value=number)

    @gateway.view("/api/parameters/{size}/{number}", public=True)
    async def parameters(
        size: Size,
        number: int,
        colours: list[Colour] = [],  # noqa: B006
        either: int | Colour | None = None,
        share: float = 0.5,
        price: Decimal = Decimal(1),
        at: datetime.datetime | None = None,
        on: bool = False,
        trace: Annotated[int | None, Header("X-Number")] = None,
        formats: Annotated[list[str], Header("x-formats")] = [],  # noqa: B006
        theme: Annotated[Literal["dark", "light"] | None, Cookie("theme")] = None,
        language: Annotated[str, Depends(locale)] = "",
    ) -> Given:
        return Given(
            value=[size, number, colours, either, str(share), str(price), on, trace, formats, theme, language]
        )

    @gateway.view("/api/required", public=True)
    async def required(key: Annotated[str, Header("X-Key")], theme: Annotated[int, Cookie()]) -> Given:
        return Given(value=[key, theme])

    @gateway.view("/api/parts/{name}", public=True)
    async def parts(name: str) -> Part[Note]:
        return await optional(shelf.note(name))

    @gateway.view("/api/whole/{name}", public=True)
    async def whole(name: str) -> Note:
        return await shelf.note(name)

    @gateway.view("/api/download/{name}", public=True)
    async def download(name: str, lines: Annotated[int, Query()] = 1) -> Download:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(max(0, min(lines, 10))):
                yield b"line\n"

        return Download(pieces(), "lines.txt", "text/plain")

    @gateway.view("/api/moved", public=True)
    async def moved(
        to: Literal["/api/nothing", "/api/moved?to=%2Fapi%2Fnothing"] = "/api/nothing",
    ) -> Redirect:
        return Redirect(to)

    @gateway.view("/api/nothing", public=True)
    async def nothing() -> Reply[Given]:
        return Reply(Given(value=None), headers={"X-Total-Count": "3"})

    notes.forward(
        "/files/{path:path}",
        shelf,
        "/v1/files/{path}",
        methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        upload=10_000,
    )
    gateway.forward("/api/public/{name}", shelf, "/v1/files/{name}", methods=("GET", "POST"), public=True)
    gateway.include(notes)
    return gateway


def service() -> Starlette:
    """The service: files that may be written and read, in its own words, and the keys of the tokens' issuer."""
    files: dict[str, bytes] = {"a": b'{"text":"a"}'}

    async def keys(request: Request) -> Response:
        return JSONResponse({"keys": [jwk(KEY, "k1", use="sig", alg="ES256")]})

    async def file(request: Request) -> Response:
        path = request.path_params["path"]
        match request.method:
            case "GET" | "HEAD" if path in files:
                return Response(files[path], media_type="application/octet-stream")
            case "PUT":
                files[path] = await request.body()
                return Response(status_code=204)
            case "POST":
                files[path] = await request.body()
                return JSONResponse({"path": path}, 201, {"location": f"/v1/files/{quote(path)}"})
            case "PATCH" if not (await request.body()).startswith(b"{"):
                return JSONResponse({"own": "this is no patch"}, 400)
            case "PATCH":
                return JSONResponse({"path": path})
            case "DELETE" if files.pop(path, None) is not None:
                return Response(status_code=204)
        return JSONResponse({"own": "there is no such file"}, 404)

    async def note(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "a":
            return JSONResponse({"text": "a"})
        return JSONResponse({"detail": "There is no such note."}, 404)

    methods = ["GET", "PUT", "POST", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/keys", keys),
            Route("/v1/files/{path:path}", file, methods=methods),
            Route("/v1/notes/{name}", note),
        ]
    )


served = declare()
"""For `bff serve tests.wire.everything:served`."""
