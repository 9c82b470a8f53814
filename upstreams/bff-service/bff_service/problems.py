"""What is not a success: problem details (RFC 9457) with a stable `code`, as FastAPI's exception handlers.

Guarantees one shape for every refusal, in the answers and in the OpenAPI document. Refuses to put an exception's text
into an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 50
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Text that every database keeps: PostgreSQL refuses U+0000."""
_CODES = {404: "not-found", 405: "method-not-allowed"}
_OPERATIONS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})
_SCHEMA = "#/components/schemas/Problem"


class PointedError(BaseModel):
    """One thing wrong with the input; `pointer` is a JSON pointer (RFC 6901) into the body or the query."""

    pointer: str
    detail: str


class ProblemBody(BaseModel):
    """The body of every answer that is not a success (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    errors: list[PointedError] | None = None
    owner: dict[str, str] | None = None


@dataclass(eq=False)
class Problem(Exception):
    """Raise it to answer with a problem.

    `final` says that the same request will be refused for ever (a declined card, a cancelled order): such an answer
    is stored under the request's idempotency key. After any other refusal the same key may try again.
    """

    status: int
    code: str
    detail: str
    final: bool = False
    errors: Sequence[tuple[str, str]] = ()
    owner: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, instance: str | None = None) -> bytes:
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if instance is not None:
            document["instance"] = instance
        if self.errors:
            document["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        if self.owner:
            document["owner"] = dict(self.owner)
        return json.dumps(document, ensure_ascii=False).encode()

    def response(self, instance: str | None = None) -> Response:
        return Response(self.body(instance), self.status, dict(self.headers), MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way an endpoint may say no, declared with it; `raise CARD_DECLINED.problem()` does say it.

    retry_after: seconds until it is worth another try. owner: whose failure it is, where it is another service's.
    """

    status: int
    code: str
    detail: str
    final: bool = False
    retry_after: int | None = None
    owner: Mapping[str, str] | None = None

    def problem(self, detail: str | None = None, errors: Sequence[tuple[str, str]] = ()) -> Problem:
        """This refusal as a problem, with this occurrence's own detail and pointed errors."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Problem(self.status, self.code, detail or self.detail, self.final, errors, self.owner, headers)


NOT_FOUND = Refusal(404, "not-found", "There is no such thing here.")
INVALID = Refusal(422, "invalid-input", "The input is not what this operation takes.")
KEY_MISSING = Refusal(400, "idempotency-key-missing", "This request needs an Idempotency-Key header.")
_BROKEN = Problem(500, "internal-error", "This service failed; its log knows why.")


def refusals(*declared: Refusal) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an endpoint that may say no in these ways; the OpenAPI document names their codes."""
    found: dict[int | str, dict[str, Any]] = {}
    for one in declared:
        codes = [*found.get(one.status, {}).get("x-codes", []), one.code]
        found[one.status] = problem_response(codes)
    return found


def problem_response(codes: Sequence[str]) -> dict[str, Any]:
    """One response of an OpenAPI operation: a problem with one of these codes."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _SCHEMA}}}
    return {"description": " or ".join(sorted(codes)), "content": content, "x-codes": sorted(codes)}


def instance_of(request: Request) -> str:
    """The `instance` of a problem: the request's correlation id as a URN."""
    return f"urn:uuid:{request.state.trace.correlation_id}"


def pointed(error: ValidationError | RequestValidationError) -> list[tuple[str, str]]:
    """The first 50 complaints as JSON pointers (RFC 6901) and sentences; the place of a request's error begins with
    `body` or `query`, which is no part of its pointer."""
    begins = 1 if isinstance(error, RequestValidationError) else 0
    return [(pointer_of(one["loc"][begins:]), str(one["msg"])) for one in error.errors()[:MOST_ERRORS]]


def pointer_of(location: Sequence[int | str]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def answer_with_problems(app: FastAPI) -> None:
    """Every refusal and failure of this application is a problem from now on, in its OpenAPI document, too."""

    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, Problem):
            raise error
        return error.response(instance_of(request))

    async def by_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == 405 and (methods := _methods(app, request)):
            headers["allow"] = ", ".join(methods)
        code = _CODES.get(error.status_code, "http-error")
        return Problem(error.status_code, code, str(error.detail), headers=headers).response(
            instance_of(request)
        )

    async def invalid(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        return _invalid(request, error).response(instance_of(request))

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(HTTPException, by_http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it


def broken() -> Problem:
    """What a crash is answered with: nothing of it."""
    return _BROKEN


def _methods(app: FastAPI, request: Request) -> list[str]:
    """What may be asked of this address."""
    found = {
        method
        for route in app.routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    }
    return sorted(found)


def _invalid(request: Request, error: RequestValidationError) -> Problem:
    places = [one["loc"] for one in error.errors()]
    if any(place[0] == "path" for place in places):
        # An address that cannot be: there is nothing there.
        return NOT_FOUND.problem()
    if any(place[0] == "header" and str(place[1]).lower() == "idempotency-key" for place in places):
        return KEY_MISSING.problem()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if any(place == ("body",) for place in places) and kind and kind != "application/json":
        return Problem(415, "not-json", "The body must be application/json.")
    return INVALID.problem(errors=pointed(error))


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, contact=app.contact
    )
    for item in document["paths"].values():
        for name, operation in item.items():
            if name in _OPERATIONS:
                _tell_problems(operation)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = ProblemBody.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    app.openapi_schema = document
    return document


def _tell_problems(operation: dict[str, Any]) -> None:
    """Beside what the endpoint declares: what its key, its caller and its input may be refused with."""
    responses = operation["responses"]
    more: dict[str, set[str]] = {}
    if "security" in operation:
        more["401"], more["403"] = {"unauthorized"}, {"forbidden"}
    names = {one["name"] for one in operation.get("parameters", ())}
    if "Idempotency-Key" in names:
        more["400"] = {"idempotency-key-missing", "idempotency-key-malformed"}
        more["422"] = {"idempotency-key-reused"}
    if "422" in responses or "422" in more:
        more["422"] = more.get("422", set()) | {"invalid-input"}
    for status, codes in more.items():
        known = set(responses.get(status, {}).get("x-codes", ()))
        responses[status] = problem_response(sorted(known | codes))
    for response in responses.values():
        response.pop("x-codes", None)
    responses["default"] = {
        "description": "Any other failure.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _SCHEMA}}},
    }
