"""The gateway's own description, OpenAPI 3.1, made from the annotations that the routes run by."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from .access.permit import NOTHING, Needs
from .declared import Command, View
from .problem import MEDIA_TYPE
from .schemas import PROBLEM, SAGA_STARTED, Schema

if TYPE_CHECKING:
    from .gateway import Gateway

REF = "#/components/schemas/{model}"


def _security(needs: Needs) -> Schema:
    """Who may: the scopes stand with both ways of saying who one is (OpenAPI 3.1 allows it for either)."""
    scopes = sorted(needs.scopes)
    found: Schema = {"security": [{"bearer": scopes}, {"session": scopes}]}
    if needs.roles:
        found["x-roles"] = sorted(needs.roles)
    return found


def document(gateway: Gateway, version: str) -> Schema:
    """The whole document."""
    models = [(adapter, mode) for route in _routes(gateway) for adapter, mode in _models(route)]
    models += [(saga.model, "serialization") for saga in gateway.sagas.values()]
    models += [(value.model, "serialization") for value in gateway.values.values()]
    schemas = _Schemas(models)
    paths: dict[str, Schema] = {}
    for view in gateway.views.values():
        paths.setdefault(view.path, {})["get"] = _view(view, schemas)
    for command in gateway.commands.values():
        paths.setdefault(command.path, {})["post"] = _command(command, schemas)
    paths |= _own_paths(gateway, schemas)
    _name_apart(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": gateway.name, "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas.definitions | {"Problem": PROBLEM, "SagaStarted": SAGA_STARTED},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-bff"},
            },
        },
    }


def _name_apart(paths: Schema) -> None:
    """Functions of two modules may have one name; operation ids must differ."""
    seen: dict[str, int] = {}
    for path in sorted(paths):
        for operation in paths[path].values():
            name = operation["operationId"]
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                operation["operationId"] = f"{name}_{seen[name]}"


class _Schemas:
    """JSON schemas of all models at once, so that each has one definition."""

    def __init__(self, models: list[tuple[Any, Any]]) -> None:
        self._keys: dict[tuple[int, str], tuple[str, Any]] = {}
        inputs = []
        for number, (model, mode) in enumerate(models):
            key = f"m{number}"
            self._keys[(id(model), mode)] = (key, mode)
            inputs.append((key, mode, TypeAdapter(model)))
        found, extra = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=GenerateJsonSchema)
        self._found = {(str(key), str(mode)): schema for (key, mode), schema in found.items()}
        self._defs: Schema = dict(extra.get("$defs", {}))
        self._unlisted: set[str] = set()

    def inside(self, model: Any) -> Schema:
        """The schema of a model that exists only to hold parameters: it is no component of its own."""
        name = self.of(model, "validation")["$ref"].rpartition("/")[2]
        self._unlisted.add(name)
        return dict(self._defs[name])

    @property
    def definitions(self) -> Schema:
        return {name: schema for name, schema in self._defs.items() if name not in self._unlisted}

    def of(self, model: Any, mode: str) -> Schema:
        key, _ = self._keys[(id(model), mode)]
        return dict(self._found[(key, mode)])


def _routes(gateway: Gateway) -> list[View | Command]:
    return [*gateway.views.values(), *gateway.commands.values()]


def _models(route: View | Command) -> list[tuple[Any, str]]:
    bound = route.binding
    models: list[tuple[Any, str]] = [(bound.returns, "serialization")]
    if bound.body is not None:
        models.append((bound.body[1], "validation"))
    models += [(one, "validation") for one in (bound.path, bound.query) if one is not None]
    return models


def _parameters(route: View | Command, schemas: _Schemas) -> list[Schema]:
    found: list[Schema] = []
    for where, model in (("path", route.binding.path), ("query", route.binding.query)):
        if model is None:
            continue
        schema = schemas.inside(model)
        for name, one in schema.get("properties", {}).items():
            required = where == "path" or name in schema.get("required", ())
            found.append({"name": name, "in": where, "required": required, "schema": one})
    return found


def _problems(*statuses: int) -> Schema:
    words = {
        400: "The request cannot be read, or a command has no Idempotency-Key",
        401: "Nobody is signed in, or the token cannot be accepted",
        403: "Not allowed",
        404: "There is no such thing, or it is somebody else's",
        409: "In flight, or refused by the service",
        413: "The body is too large",
        415: "Not JSON",
        422: "The input does not fit, or the key was used for another request",
        429: "Too many requests",
        502: "A service failed, could not be reached, or gave an unusable answer",
        503: "A service or the gateway is not available for a moment",
        504: "A service did not answer in time",
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": words[status], "content": content} for status in statuses}


def _describe(route: View | Command, schemas: _Schemas) -> Schema:
    text = inspect.getdoc(route.function) or ""
    summary, _, rest = text.partition("\n\n")
    described: Schema = {"operationId": route.name, "summary": " ".join(summary.split()) or route.name}
    if rest:
        described["description"] = rest
    if parameters := _parameters(route, schemas):
        described["parameters"] = parameters
    return described


def _view(view: View, schemas: _Schemas) -> Schema:
    operation = _describe(view, schemas)
    operation["responses"] = {
        "200": {
            "description": "The screen; `BFF-Complete` says whether every part is there.",
            "headers": {
                "BFF-Complete": {"schema": {"type": "string", "enum": ["true", "false"]}},
                "Server-Timing": {"schema": {"type": "string"}},
            },
            "content": {"application/json": {"schema": schemas.of(view.binding.returns, "serialization")}},
        },
        **_problems(
            *(() if view.public else (401,)),
            *((403,) if view.needs else ()),
            400,
            404,
            422,
            429,
            502,
            503,
            504,
        ),
    }
    if not view.public:
        operation |= _security(view.needs)
    return operation


def _command(command: Command, schemas: _Schemas) -> Schema:
    operation = _describe(command, schemas)
    operation |= _security(command.needs)
    operation.setdefault("parameters", []).append(
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "A value of your own for each new command; the same one again for the same command.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
    )
    if command.binding.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(command.binding.body[1], "validation")}},
        }
    if command.starts is None:
        done: Schema = {
            "200": {
                "description": "Done",
                "content": {
                    "application/json": {"schema": schemas.of(command.binding.returns, "serialization")}
                },
            }
        }
    else:
        done = {
            "202": {
                "description": "Accepted; the rest arrives on /bff/live.",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SagaStarted"}}},
            }
        }
    operation["responses"] = done | _problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504)
    return operation


def _own_paths(gateway: Gateway, schemas: _Schemas) -> dict[str, Schema]:
    sagas = [schemas.of(saga.model, "serialization") for saga in gateway.sagas.values()]
    text = {"schema": {"type": "string"}}
    needed = _security(gateway.needs)
    values = {
        "name": "value",
        "in": "query",
        "required": False,
        "schema": {"type": "array", "items": {"type": "string"}},
        "description": "Live values to follow: " + (", ".join(sorted(gateway.values)) or "none are declared"),
    }
    return {
        "/bff/sagas/{type}/{id}": {
            "get": {
                "operationId": "bff_saga",
                "summary": "Where one of your sagas stands",
                **needed,
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in ("type", "id")
                ],
                "responses": {
                    "200": {
                        "description": "The saga",
                        "content": {"application/json": {"schema": {"anyOf": sagas} if sagas else {}}},
                    },
                    **_problems(401, 403, 404, 429, 503),
                },
            }
        },
        "/bff/live": {
            "get": {
                "operationId": "bff_live",
                "summary": "Everything you may see, as it happens (an event stream)",
                **needed,
                "parameters": [
                    {"name": "after", "in": "query", "required": False, "schema": {"type": "string"}},
                    {
                        "name": "Last-Event-ID",
                        "in": "header",
                        "required": False,
                        "schema": {"type": "string"},
                    },
                    values,
                ],
                "responses": {
                    "200": {"description": "Events", "content": {"text/event-stream": text}},
                    **_problems(400, 401, 403),
                },
            }
        },
        "/bff/live/snapshot": {
            "get": {
                "operationId": "bff_snapshot",
                "summary": "The same state once, for those who poll",
                **needed,
                "parameters": [values],
                "responses": {
                    "200": {
                        "description": "The state",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **_problems(401, 403, 503),
                },
            }
        },
        "/bff/user": {
            "get": {
                "operationId": "bff_user",
                "summary": "Who is signed in",
                **_security(NOTHING),
                "responses": {
                    "200": {
                        "description": "Claims",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **_problems(401, 503),
                },
            }
        },
    }
