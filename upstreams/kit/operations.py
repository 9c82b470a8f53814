"""One operation of a service: its declaration, and how a request is bound to it. Promises typed input or a 422 with
JSON pointers, and bodies of at most 64 KB within 10 s; refuses unknown fields' silence only where the model does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from upstreams.kit.problems import Problem, Refusal
from upstreams.kit.tokens import Caller, unauthorized
from upstreams.kit.tracing import Hop

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
INVALID = Refusal(422, "invalid-input", "The input is not what this operation takes.")


class Nothing(BaseModel):
    """For operations that take no body or no query."""


Input = TypeVar("Input", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Ask(Generic[Input]):
    """One request, bound: what a handler gets.

    `input` is the body of a mutation or the query of a read. `key` and `fingerprint` are set on mutations.
    """

    input: Input
    path: Mapping[str, str]
    hop: Hop
    headers: Mapping[str, str] = field(default_factory=dict)
    caller_or_none: Caller | None = None
    key: str = ""
    fingerprint: str = ""
    connection: AsyncConnection | None = None

    @property
    def caller(self) -> Caller:
        """Who asks; 401 when nobody was asked for (a public operation)."""
        if self.caller_or_none is None:
            raise unauthorized("This needs a caller.")
        return self.caller_or_none

    @property
    def db(self) -> AsyncConnection:
        """The operation's transaction: reading for a read, writing for a mutation."""
        if self.connection is None:
            raise RuntimeError("the operation was declared with transaction=False")
        return self.connection


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is more than a body with the declared status."""

    body: BaseModel
    status: int | None = None
    location: str | None = None


Handler = Callable[[Ask[Input]], Awaitable[BaseModel | Answer]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A declared operation; the routes and the OpenAPI document both come from it. kept: seconds a copy of a read's
    answer may be kept, with an ETag to confirm it by; None: nothing is said of it."""

    method: str
    path: str
    handler: Callable[[Ask[Any]], Awaitable[BaseModel | Answer]]  # one list holds operations of every input
    takes: type[BaseModel]
    answers: type[BaseModel]
    status: int = 200
    public: bool = False
    scope: str | None = None
    or_person: bool = False
    refuses: tuple[Refusal, ...] = ()
    transaction: bool = True
    summary: str = ""
    kept: int | None = None

    @property
    def mutates(self) -> bool:
        return self.method != "GET"

    def admit(self, caller: Caller) -> None:
        """Raise 403 unless this caller may do this."""
        if self.scope is not None and self.scope in caller.scopes:
            return
        if caller.is_person and (self.scope is None or self.or_person):
            return
        raise Problem(403, "forbidden", "This token may not do that.")


async def read_body(request: Request) -> bytes:
    """The whole body; 413 beyond 64 KB, 408 when it takes longer than 10 s."""
    declared = request.headers.get("content-length", "0")
    too_large = Problem(413, "body-too-large", f"A body may have {MAX_BODY_BYTES} bytes.")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise too_large
    chunks = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                chunks += chunk
                if len(chunks) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Problem(
            408, "body-too-slow", "The body took too long.", headers={"Connection": "close"}
        ) from None
    return bytes(chunks)


def bind_body(model: type[Input], body: bytes, content_type: str) -> Input:
    """The body as the model; 415 for another media type, 422 with pointers for what does not fit."""
    if model.model_fields and content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "not-json", "The body must be application/json.")
    try:
        bound = model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise INVALID.problem(errors=pointed(error)) from None
    return _without_nul(bound)


def bind_query(model: type[Input], request: Request) -> Input:
    """The query as the model: a field that is a list takes every occurrence, any other the last one."""
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        given = request.query_params.getlist(name)
        if given:
            many = info.annotation is not None and "list" in str(info.annotation)
            values[name] = given if many else given[-1]
    try:
        bound = model.model_validate(values)
    except ValidationError as error:
        raise INVALID.problem(errors=pointed(error)) from None
    return _without_nul(bound)


def _without_nul(bound: Input) -> Input:
    # PostgreSQL keeps no U+0000 in text; the same input is refused on every database.
    found = list(_nul_pointers(bound.model_dump(), ()))
    if found:
        raise INVALID.problem(errors=[(pointer, "U+0000 is not text") for pointer in found[:50]])
    return bound


def _nul_pointers(value: object, location: tuple[int | str, ...]) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield pointer_of(location)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _nul_pointers(inner, (*location, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _nul_pointers(inner, (*location, index))


def pointed(error: ValidationError) -> list[tuple[str, str]]:
    """The first 50 complaints as JSON pointers (RFC 6901) and sentences."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(pointer_of(one["loc"]), one["msg"]) for one in found[:50]]


def pointer_of(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def dump(model: BaseModel) -> bytes:
    """A model as compact JSON."""
    return json.dumps(model.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")).encode()
