"""The OpenAPI 3.1 document of a service. Promises that it comes from the same declarations the routes are made of;
refuses hand-written parts beyond the shared problem and security schemes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from upstreams.kit.operations import Operation
from upstreams.kit.problems import MEDIA_TYPE, ProblemBody

_REF = "#/components/schemas/{model}"


def document(
    name: str, team: str, contact: str, summary: str, operations: Iterable[Operation]
) -> dict[str, Any]:
    """The whole document as JSON-ready values."""
    declared = list(operations)
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemBody, "serialization"): None}
    for operation in declared:
        wanted[operation.answers, "serialization"] = None
        wanted[operation.takes, "validation"] = None
    refs, definitions = models_json_schema(list(wanted), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in declared:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, refs, definitions
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": "1.0.0",
            "summary": summary,
            "contact": {"name": team},
            "x-contact": contact,
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(operation: Operation, refs: dict[Any, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    answer = {"application/json": {"schema": refs[operation.answers, "serialization"]}}
    responses: dict[str, Any] = {str(operation.status): {"description": "Done.", "content": answer}}
    problem = {MEDIA_TYPE: {"schema": refs[ProblemBody, "serialization"]}}
    for status, codes in _codes(operation).items():
        responses.setdefault(str(status), {"description": " or ".join(sorted(codes)), "content": problem})
    responses["default"] = {"description": "Any other failure.", "content": problem}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    result: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.mutates:
        text = {"type": "string", "minLength": 1, "maxLength": 255}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": text})
        if operation.takes.model_fields:
            schema = refs[operation.takes, "validation"]
            result["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    else:
        model = operation.takes.model_json_schema(ref_template=_REF)
        parameters += [
            {"name": name, "in": "query", "required": name in model.get("required", ()), "schema": schema}
            for name, schema in model.get("properties", {}).items()
        ]
    if parameters:
        result["parameters"] = parameters
    if not operation.public:
        result["security"] = [{"token": []}]
    return result


def _codes(operation: Operation) -> dict[int, set[str]]:
    codes: dict[int, set[str]] = {}
    for refusal in operation.refuses:
        codes.setdefault(refusal.status, set()).add(refusal.code)
    if operation.takes.model_fields or operation.mutates:
        codes.setdefault(422, set()).add("invalid-input")
    if operation.mutates:
        codes.setdefault(400, set()).add("idempotency-key-missing")
        codes.setdefault(422, set()).add("idempotency-key-reused")
    if not operation.public:
        codes.setdefault(401, set()).add("unauthorized")
        codes.setdefault(403, set()).add("forbidden")
    return codes
