"""The OpenAPI 3.1 document of a gateway, made from the same annotations that its routes use."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from ..declared import BODY_METHODS, Declarations, Forward, Route
from ..http.public_path import PublicPath
from ..problem import MEDIA_TYPE
from ..reply import Returns
from ..settings import Settings
from .asyncapi import declared_schemas, models, started
from .components import (
    PROBLEM,
    REF,
    TEXT,
    ModelSchemas,
    Schema,
    passed_on,
    problem_responses,
    response_components,
)
from .openapi_builtin import PUBLIC, builtin_paths, security_of

_TAGS = {
    "screens": "What a page shows, made of what services answer.",
    "forwards": "What is passed on to a service as it is.",
    "commands": "What a person does, once for each Idempotency-Key.",
    "gateway": "The stream, sign-in, health and documents.",
}
_REDIRECT: Schema = {
    "3XX": {
        "description": "Another address, of this site or of an origin that the gateway declares.",
        "headers": {"Location": {"schema": TEXT}},
    }
}
# What `idempotency_key` accepts: a bare token, or a string in quotes.
_KEY = r'^(?:[!#-+\-.-~]{1,255}|"(?:[ !#-\[\]-~]|\\["\\]){1,253}")$'


def document(gateway: Declarations, version: str, settings: Settings | None = None) -> Schema:
    """The whole document. version: of the gateway; settings: its address, and which builtin endpoints there are."""
    settings = settings or Settings()
    routes = gateway.routes
    schemas = ModelSchemas([model for route in routes for model in _models(route)] + models(gateway))
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = _view(route, schemas) if route.kind == "view" else _command(route, schemas)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    for forward in gateway.forwards:
        path = forward.path.replace(":path}", "}")
        for method in forward.methods:
            paths.setdefault(path, {})[method.lower()] = _forward(forward, method)
    for path, operations in builtin_paths(gateway, settings).items():
        paths[path] = operations | paths.get(path, {})
    _name_networks(paths, [*routes, *gateway.forwards])
    _number_repeated_ids(paths)
    token_schemes = _token_schemes(settings)
    _name_token_schemes(paths, list(token_schemes))
    # A model that only holds parameters is no component.
    unlisted = {
        schemas.component(reader.model)
        for route in routes
        for source in route.binding.all_sources
        for reader in source.readers
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": gateway.name,
            "version": version,
            "description": "One call per screen, one click per command, one stream per browser.",
        },
        "servers": [{"url": settings.public_url.rstrip("/")}],
        "tags": _tags([*routes, *gateway.forwards]),
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                **{name: schema for name, schema in schemas.definitions.items() if name not in unlisted},
                **declared_schemas(gateway, schemas),
                **{f"started.{saga.name}": started(saga) for saga in gateway.sagas.values()},
                "Problem": PROBLEM,
            },
            "responses": response_components(),
            "securitySchemes": {
                **token_schemes,
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": PublicPath.of(settings.public_url).session_cookie,
                },
            },
        },
    }


def _token_schemes(settings: Settings) -> dict[str, Schema]:
    """The schemes of access tokens that are accepted, by name. Every issuer may bind its tokens to a key; `bound_only`
    means that it must."""
    schemes: dict[str, Schema] = {}
    if not settings.issuers or not all(issuer.bound_only for issuer in settings.issuers):
        schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    if settings.issuers:
        schemes["dpop"] = {
            "type": "http",
            # As registered for the Authorization header (RFC 9449 section 12.4).
            "scheme": "dpop",
            "description": "An access token that is bound to a key, with a proof of possession of that key in the "
            "header `DPoP` (RFC 9449)."
            + (" The proof has the nonce that a 401 gave in `DPoP-Nonce`." if settings.dpop.nonce else ""),
        }
    return schemes


def _name_token_schemes(paths: Schema, schemes: Sequence[str]) -> None:
    """Replace `bearer` in each operation's alternatives by these schemes, with the same scopes."""
    for operations in paths.values():
        for operation in operations.values():
            operation["security"] = [
                given for one in operation["security"] for given in _by_scheme(one, schemes)
            ]


def _by_scheme(requirement: Schema, schemes: Sequence[str]) -> list[Schema]:
    if "bearer" not in requirement:
        return [requirement]
    return [{name: requirement["bearer"]} for name in schemes]


def _tags(routes: Sequence[Route | Forward]) -> list[Schema]:
    """The builtin tags, and those of routers."""
    tags = dict(_TAGS)
    for route in routes:
        for tag in route.options.tags or ():
            tags.setdefault(tag, f"Declared in {route.origin.partition(':')[0]}.")
    return [{"name": name, "description": description} for name, description in tags.items()]


def _name_networks(paths: Schema, routes: Sequence[Route | Forward]) -> None:
    """Mark what is served only to addresses of a network with its name, `x-network`."""
    for route in routes:
        if route.options.network is not None:
            methods = route.methods if isinstance(route, Forward) else (route.method,)
            for method in methods:
                paths[route.path.replace(":path}", "}")][method.lower()]["x-network"] = route.options.network


def _number_repeated_ids(paths: Schema) -> None:
    """Make operation ids different: functions of two modules may have the same name."""
    seen: dict[str, int] = {}
    for path in sorted(paths):
        for operation in paths[path].values():
            name = operation["operationId"]
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                operation["operationId"] = f"{name}_{seen[name]}"


def _models(route: Route) -> list[tuple[Any, str]]:
    bound = route.binding
    inputs = [bound.body.type] if bound.body else []
    inputs += [reader.model for source in bound.all_sources for reader in source.readers]
    outputs = [] if bound.returns.is_empty else [(bound.returns.model, "serialization")]
    return [*outputs, *((model, "validation") for model in inputs)]


def _parameters(route: Route, schemas: ModelSchemas) -> list[Schema]:
    found: list[Schema] = []
    for source in route.binding.all_sources:
        for reader in source.readers:
            schema = schemas.definitions[schemas.component(reader.model)]
            for name, one in schema.get("properties", {}).items():
                required = source.where == "path" or name in schema.get("required", ())
                if any((one["in"], one["name"]) == (source.where, name) for one in found):
                    continue  # a dependency takes it, too
                schema = _as_text(one)
                found.append({"name": name, "in": source.where, "required": required, "schema": schema})
    return found


def _as_text(schema: Schema) -> Schema:
    """The schema of a parameter: no text is null, so a parameter without a value is left out."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if not choices or len(choices) == len(schema["anyOf"]):
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if rest.get("default", "") is None:
        del rest["default"]
    return {**choices[0], **rest} if len(choices) == 1 else {**rest, "anyOf": choices}


def _describe(route: Route, schemas: ModelSchemas) -> Schema:
    text = inspect.getdoc(route.function) or ""
    summary, _, rest = text.partition("\n\n")
    described: Schema = {"operationId": route.name, "summary": " ".join(summary.split()) or route.name}
    if rest:
        described["description"] = rest
    if parameters := _parameters(route, schemas):
        described["parameters"] = parameters
    return described


def _view(view: Route, schemas: ModelSchemas) -> Schema:
    returns = view.binding.returns
    screen: Schema = {
        _status(returns): {
            "description": "The screen; `BFF-Complete` says whether every part is there.",
            "headers": {
                "BFF-Complete": {"schema": {"type": "string", "enum": ["true", "false"]}},
                "Server-Timing": {"schema": {"type": "string"}},
            },
            **_content(returns, schemas),
        },
    }
    responses: Schema = {
        **({} if returns.always_redirects else screen),
        **(_REDIRECT if returns.redirect else {}),
        **problem_responses(
            *(() if view.public else (401,)),
            *((403,) if view.requirements or view.options.network else ()),
            # A public view without a principal parameter never tells services who the person is.
            *passed_on(command=False, identified=not view.public or view.binding.takes_principal),
            422,
            429,
            502,
            504,
        ),
    }
    return {
        **_describe(view, schemas),
        "tags": list(view.options.tags or ["screens"]),
        "responses": responses,
        **(PUBLIC if view.public else security_of(view.requirements)),
    }


def _forward(forward: Forward, method: str) -> Schema:
    owner = forward.upstream.owner
    names = re.findall(r"\{([^}:]*)[^}]*\}", forward.path)
    operation: Schema = {
        "operationId": f"{method.lower()}_{re.sub('[^a-z0-9]+', '_', forward.path.lower()).strip('_')}",
        "summary": f"Passed on to {owner.team} as it is",
        "description": f"{owner.team} ({owner.contact}) describes what it takes and answers. {owner.docs}".strip(),
        "tags": list(forward.options.tags or ["forwards"]),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ],
        "responses": {
            "2XX": {"description": "What the service answers.", "content": {"*/*": {}}},
            "204": {"description": "The service has done it and has nothing to say."},
            "304": {"description": "What the client has is still the same."},
            "3XX": {
                "description": "A redirect of the service to another address of this gateway.",
                "headers": {"Location": {"schema": TEXT}},
            },
            "4XX": {
                "description": "What the service refuses, in its words, or what this gateway refuses, as a problem.",
                "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}, "*/*": {}},
            },
            # Never the service's own.
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in (*(() if forward.public else (401,)), 429, 500, 502, 503, 504)
            },
        },
        **(PUBLIC if forward.public else security_of(forward.requirements)),
    }
    if method in BODY_METHODS:
        operation["requestBody"] = {
            "description": f"At most {forward.upload} bytes.",
            "content": {"*/*": {}},
        }
    return operation


def _status(returns: Returns) -> str:
    """Of a success. A reply chooses its own."""
    if returns.reply:
        return "2XX"
    return "204" if returns.is_empty and not returns.download else "200"


def _content(returns: Returns, schemas: ModelSchemas) -> Schema:
    if returns.download:
        return {"content": {"*/*": {}}}
    return (
        {} if returns.is_empty else {"content": {"application/json": {"schema": schemas.of(returns.model)}}}
    )


def _command(command: Route, schemas: ModelSchemas) -> Schema:
    operation = _describe(command, schemas) | {"tags": list(command.options.tags or ["commands"])}
    operation |= security_of(command.requirements)
    operation.setdefault("parameters", []).append(
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": command.needs_key,
            "description": "A new unique value for each command; the same value again to retry that command.",
            "schema": {"type": "string", "pattern": _KEY},
        }
    )
    if command.binding.body is not None:
        operation["requestBody"] = {
            "required": not command.binding.body.optional,
            "content": {"application/json": {"schema": schemas.of(command.binding.body.type, "validation")}},
        }
    headers = {
        "Idempotency-Replayed": {"description": "Present on a replayed answer.", "schema": {"const": "true"}}
    }
    returns, schema = command.binding.returns, None
    if command.starts is None:
        status, description = _status(returns), "Done"
        schema = None if returns.is_empty else schemas.of(returns.model)
    else:
        status, description = "202", "Accepted; the rest arrives on /bff/live."
        schema = {"$ref": REF.format(model=f"started.{command.starts.name}")}
        headers["Location"] = {
            "description": "The address of the saga's status.",
            "schema": {"type": "string"},
        }
    done: Schema = {
        status: {
            "description": description,
            "headers": headers,
            **({"content": {"application/json": {"schema": schema}}} if schema else {}),
        }
    }
    operation["responses"] = {
        **({} if returns.always_redirects else done),
        **(_REDIRECT if returns.redirect else {}),
        **problem_responses(
            401, 403, *passed_on(command=True, identified=True), 409, 410, 415, 422, 429, 502, 504
        ),
    }
    return operation
