"""The gateway's own description, OpenAPI 3.1, made from the annotations that the routes run by."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import TypeAdapter

from ..declared import Command, Declarations, View
from ..http.public_path import PublicPath
from ..settings import Settings
from . import live_schemas
from .components import PROBLEM, DescribedSchema, Schema, passed_on, problem_responses, response_components
from .live_schemas import REF
from .openapi_builtin import PUBLIC, builtin_paths, security_of

# As `idempotency_key` has it: a bare token, or a string in quotes.
_TAGS = {
    "screens": "What a page shows, made of what services answer.",
    "commands": "What a person does, once for each Idempotency-Key.",
    "gateway": "The stream, sign-in, health and documents.",
}
_KEY = r'^(?:[!#-+\-.-~]{1,255}|"(?:[ !#-\[\]-~]|\\["\\]){1,253}")$'


def document(gateway: Declarations, version: str, settings: Settings | None = None) -> Schema:
    """The whole document. version: the gateway's own; settings: say where it is and which of its own addresses there
    are."""
    settings = settings or Settings()
    models = [(adapter, mode) for route in _routes(gateway) for adapter, mode in _models(route)]
    models += [(saga.model, "serialization") for saga in gateway.sagas.values()]
    models += [(value.model, "serialization") for value in gateway.values.values()]
    schemas = _Schemas(models)
    paths: dict[str, Schema] = {}
    for view in gateway.views.values():
        paths.setdefault(view.path, {})["get"] = _view(view, schemas)
    for command in gateway.commands.values():
        paths.setdefault(command.path, {})["post"] = _command(command, schemas)
    for path, operations in builtin_paths(gateway, settings).items():
        paths[path] = operations | paths.get(path, {})
    _name_apart(paths)
    session_cookie = PublicPath.of((settings or Settings()).public_url).session_cookie
    return {
        "openapi": "3.1.0",
        "info": {
            "title": gateway.name,
            "version": version,
            "description": "One call per screen, one click per command, one stream per browser.",
        },
        "servers": [{"url": settings.public_url.rstrip("/")}],
        "tags": _tags(gateway),
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas.definitions | _live(gateway, schemas) | {"Problem": PROBLEM},
            "responses": response_components(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "session": {"type": "apiKey", "in": "cookie", "name": session_cookie},
            },
        },
    }


def _tags(gateway: Declarations) -> list[Schema]:
    """Ours, and those of routers."""
    told: dict[str, Schema] = {name: {"name": name, "description": says} for name, says in _TAGS.items()}
    for route in _routes(gateway):
        for tag in route.tags:
            told.setdefault(
                tag, {"name": tag, "description": f"Declared in {route.origin.partition(':')[0]}."}
            )
    return list(told.values())


def _live(gateway: Declarations, schemas: _Schemas) -> dict[str, Schema]:
    """What the stream and its state are made of, under the names that /asyncapi.json gives them."""
    found: dict[str, Schema] = {}
    for saga in gateway.sagas.values():
        found[f"saga.{saga.name}"] = live_schemas.saga(saga, schemas.of(saga.model, "serialization"))
        found[f"started.{saga.name}"] = live_schemas.started(saga)
    for value in gateway.values.values():
        found[f"value.{value.kind}"] = live_schemas.value(value, schemas.of(value.model, "serialization"))
    return found | {"state": live_schemas.state(found)}


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
        found, extra = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=DescribedSchema)
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


def _routes(gateway: Declarations) -> list[View | Command]:
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
    operation = _describe(view, schemas) | {"tags": list(view.tags) or ["screens"]}
    operation["responses"] = {
        "200": {
            "description": "The screen; `BFF-Complete` says whether every part is there.",
            "headers": {
                "BFF-Complete": {"schema": {"type": "string", "enum": ["true", "false"]}},
                "Server-Timing": {"schema": {"type": "string"}},
            },
            "content": {"application/json": {"schema": schemas.of(view.binding.returns, "serialization")}},
        },
        **problem_responses(
            *(() if view.public else (401,)),
            *((403,) if view.requirements or view.network else ()),
            # A public view without a principal never tells a service who asks.
            *passed_on(command=False, identified=not view.public or view.binding.who is not None),
            422,
            429,
            502,
            504,
        ),
    }
    operation |= PUBLIC if view.public else security_of(view.requirements)
    return operation


def _command(command: Command, schemas: _Schemas) -> Schema:
    operation = _describe(command, schemas) | {"tags": list(command.tags) or ["commands"]}
    operation |= security_of(command.requirements)
    operation.setdefault("parameters", []).append(
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "A value of your own for each new command; the same one again for the same command.",
            "schema": {"type": "string", "pattern": _KEY},
        }
    )
    if command.binding.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(command.binding.body[1], "validation")}},
        }
    headers = {"Idempotency-Replayed": {"description": "On a repeat.", "schema": {"const": "true"}}}
    if command.starts is None:
        status, says = "200", "Done"
        schema = schemas.of(command.binding.returns, "serialization")
    else:
        status, says = "202", "Accepted; the rest arrives on /bff/live."
        schema = {"$ref": REF.format(model=f"started.{command.starts.name}")}
        headers["Location"] = {"description": "Where it stands.", "schema": {"type": "string"}}
    operation["responses"] = {
        status: {
            "description": says,
            "headers": headers,
            "content": {"application/json": {"schema": schema}},
        },
        **problem_responses(
            401, 403, *passed_on(command=True, identified=True), 409, 410, 415, 422, 429, 502, 504
        ),
    }
    return operation
