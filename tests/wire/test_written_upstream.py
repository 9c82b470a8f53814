"""An upstream that `bff new upstream` writes from what a FastAPI service says of itself calls that service: every kind
of parameter, body and answer arrives as it was given."""

from __future__ import annotations

import datetime
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from bff import Call, Refused
from bff.calls import Deadline, RequestContext, use_context
from bff.cli import from_openapi
from bff.cli.from_openapi import Choices
from bff.transport.h1_wire import H1Wire
from bff.transport.pipeline import CallPipeline

from ..clients import upstream_client
from ..waiting import GUARD
from .served import served

app = FastAPI(title="Shelf service", contact={"name": "Shelf", "email": "shelf@example.org"})


class Part(BaseModel):
    name: str
    parts: list[Part] = []


class Box(BaseModel):
    kind: Literal["box"]
    width: float


class Bag(BaseModel):
    kind: Literal["bag"]
    litres: Decimal


class Thing(BaseModel):
    id: UUID
    title: str | None
    made: datetime.datetime
    inside: Annotated[Box | Bag, Field(discriminator="kind")]
    root: Part
    counts: dict[str, int] = {}
    long_name: str = Field("", alias="long-name")


class Change(BaseModel):
    title: str | None = None
    width: int | None = None


THING = {
    "id": "7b0d4c1e-9a0f-4d3c-8f66-0d8f2c6f9d11",
    "title": None,
    "made": "2026-03-01T10:00:00Z",
    "inside": {"kind": "bag", "litres": "1.50"},
    "root": {"name": "a", "parts": [{"name": "b", "parts": []}]},
    "counts": {"x": 1},
    "long-name": "thing",
}


@app.get("/things/{thing_id}")
async def thing(thing_id: str) -> Thing:
    return Thing.model_validate(THING)


@app.get("/things")
async def things(
    colour: Annotated[list[Literal["red", "blue"]], Query()],
    since: datetime.date | None = None,
    deep: bool = False,
    page_size: Annotated[int, Query(alias="page[size]")] = 10,
    x_trace: Annotated[str, Header()] = "",
) -> list[str]:
    return [*colour, str(since), str(deep), str(page_size), x_trace]


@app.put("/things/{id}/parts/{number}")
async def put_part(id: UUID, number: int, part: Part) -> Part:
    return Part(name=f"{id}/{number}", parts=[part])


@app.patch("/things/{id}")
async def change(id: str, change: Change) -> dict[str, Any]:
    return change.model_dump(exclude_unset=True)


@app.delete("/things/{id}", status_code=204)
async def remove(id: str) -> None:
    if id == "kept":
        raise HTTPException(409, "It is used.")


FORM = {
    "type": "object",
    "required": ["user"],
    "properties": {"user": {"type": "string"}, "again": {"type": "boolean"}},
}


@app.post(
    "/login",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": FORM}},
        }
    },
)
async def login(request: Request) -> str:
    return f"{request.headers['content-type']} {(await request.body()).decode()}"


@app.get("/picture", response_class=Response, responses={200: {"content": {"image/png": {"schema": {}}}}})
async def picture() -> Response:
    return Response(b"\x89PNG", media_type="image/png")


@app.get(
    "/readme",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def readme() -> Response:
    return Response("Grüße", media_type="text/plain")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The written file, imported. The description is what the service answers."""
    folder: Path = tmp_path_factory.mktemp("written")
    (folder / "shelf.json").write_text(json.dumps(app.openapi()))
    file = folder / "shelf.py"
    from_openapi.write(folder / "shelf.json", Choices("Shelf", output=file))
    spec = importlib.util.spec_from_file_location("written_shelf", file)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


class Caller:
    """Makes calls to the running service."""

    def __init__(self, pipeline: CallPipeline) -> None:
        self._pipeline = pipeline

    async def __call__(self, call: Call[Any]) -> Any:
        with use_context(RequestContext(Deadline.after(GUARD), self._pipeline, "id")):
            return await call


@pytest.fixture
async def ask() -> AsyncIterator[Caller]:
    async with served(app) as url:
        wire = H1Wire(url, connections=4, max_body=100_000)
        try:
            yield Caller(CallPipeline({"shelf": upstream_client(wire)}))
        finally:
            await wire.close()


async def test_a_models_members_are_read_by_their_types(module: ModuleType, ask: Caller) -> None:
    shelf: Any = module.Shelf()
    found = await ask(shelf.thing_things__thing_id__get(thing_id="x"))
    assert found.id == UUID(str(THING["id"])) and found.title is None
    assert found.made == datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.UTC)
    assert type(found.inside).__name__ == "Bag" and found.inside.kind == "bag"
    assert found.root.parts[0].name == "b" and type(found.root.parts[0]) is module.Part_Output
    assert found.counts == {"x": 1} and found.long_name == "thing"


async def test_parameters_arrive_as_they_were_given(module: ModuleType, ask: Caller) -> None:
    shelf: Any = module.Shelf()
    given = shelf.things_things_get(
        colour=["red", "blue"], since=datetime.date(2026, 1, 2), deep=True, page_size=5, x_trace="t"
    )
    assert await ask(given) == ["red", "blue", "2026-01-02", "True", "5", "t"]
    assert await ask(shelf.things_things_get(colour=["red"])) == ["red", "None", "False", "10", ""]


async def test_bodies_and_answers_of_each_format(module: ModuleType, ask: Caller) -> None:
    shelf: Any = module.Shelf()
    id = UUID(str(THING["id"]))
    part = await ask(shelf.put_part_things__id__parts__number__put(id, 3, module.Part_Input(name="p")))
    assert (part.name, part.parts[0].name) == (f"{id}/3", "p")
    form = module.LoginLoginPostBody(user="ada & eve")
    assert await ask(shelf.login_login_post(form)) == "application/x-www-form-urlencoded user=ada+%26+eve"
    assert await ask(shelf.picture_picture_get()) == b"\x89PNG"
    assert await ask(shelf.readme_readme_get()) == "Grüße"


async def test_a_patch_changes_only_what_was_set_also_to_nothing(module: ModuleType, ask: Caller) -> None:
    shelf: Any = module.Shelf()
    patch = shelf.change_things__id__patch
    assert await ask(patch("1", module.Change(title=None))) == {"title": None}
    assert await ask(patch("1", module.Change(width=3))) == {"width": 3}
    assert await ask(patch("1", module.Change())) == {}


async def test_a_removal_answers_nothing_and_a_refusal_names_the_owner(
    module: ModuleType, ask: Caller
) -> None:
    shelf: Any = module.Shelf()
    assert await ask(shelf.remove_things__id__delete("1")) is None
    with pytest.raises(Refused) as refused:
        await ask(shelf.remove_things__id__delete("kept"))
    assert (refused.value.status, refused.value.owner.team) == (409, "Shelf")


async def test_the_description_is_the_one_that_the_service_answers() -> None:
    async with served(app) as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{url}/openapi.json")).json() == app.openapi()
