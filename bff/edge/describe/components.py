"""What both documents of a gateway use: the JSON schemas of its models, and the components that every gateway has
(refusals, a problem, a user).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ...calls import OUTCOMES
from ..problem import MEDIA_TYPE, TITLES

Schema = dict[str, Any]
REF = "#/components/schemas/{model}"
TEXT: Schema = {"type": "string"}

_DESCRIPTIONS = {
    400: "The request cannot be read, a command has no Idempotency-Key, or the service cannot use what was sent",
    401: "Nobody is signed in, the token cannot be accepted, or the sign-in is not recent or strong enough",
    402: "The service asks for a payment first",
    403: "Not allowed, by this gateway or by the service",
    404: "Not found, or it belongs to another principal",
    408: "The request did not arrive in time",
    409: "In flight (then with Retry-After), its outcome unknown, or refused by the service",
    410: "It is gone, or the command was done and its answer was too large to store for a replay",
    412: "It was changed meanwhile",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body is of another media type",
    421: "This server does not answer for that host",
    422: "The input is invalid, or the key was used for another request",
    423: "It is locked at the moment; the same key may try again",
    428: "The service requires a precondition: which version is meant",
    429: "Too many requests",
    431: "The headers are too many or too large",
    451: "The service may not show this, for legal reasons",
    500: "The gateway made a mistake",
    502: "A service failed, could not be reached, or gave an unusable answer",
    503: "A service or the gateway is not available for a moment",
    504: "A service did not answer in time",
}
_RETRY: Schema = {
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
}
_NUMBER: Schema = {"pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,5})?$"}
EVERYWHERE = (400, 408, 413, 414, 421, 431, 500, 503)
"""Statuses that any request may get, at any address."""


def problem_responses(*statuses: int) -> Schema:
    """The problems that a route may answer with, with those that every route has."""
    return {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in sorted({*statuses, *EVERYWHERE})
    }


def passed_on(*, command: bool, identified: bool) -> list[int]:
    """The statuses of a service that a screen or a command passes on. identified: its calls may name the principal."""
    return [
        status for status, outcome in OUTCOMES.rows if outcome.passed(command=command, identified=identified)
    ]


def response_components() -> Schema:
    """The document's `components.responses`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": description,
            "content": content,
            **({"headers": _RETRY} if status in (409, 429, 503) else {}),
        }
        for status, description in _DESCRIPTIONS.items()
    }


class DescribedSchema(GenerateJsonSchema):
    """JSON schemas of the values that are sent: an answer has every field that its model declares, those with defaults
    included, and a Decimal is a number or the text that a service sent."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        """In an answer, a field is required unless its model may leave it out."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number with all its digits, or text with such a number."""
        found = super().decimal_schema(schema)
        choices = found.get("anyOf", [{"type": "number"}, found])
        if self.mode == "validation":
            choices = [one | _NUMBER if one.get("type") == "string" else one for one in choices]
        return {"anyOf": choices}


class ModelSchemas:
    """JSON schemas of all models at once, so that each model has one definition. models: each with its mode,
    `validation` or `serialization`; ref: where the document has the definitions."""

    def __init__(self, models: list[tuple[Any, Any]], ref: str = REF) -> None:
        self._keys = {(id(model), mode): number for number, (model, mode) in enumerate(models)}
        inputs = [(number, mode, TypeAdapter(model)) for number, (model, mode) in enumerate(models)]
        self._found: Any  # keyed by the number and the mode, which is a literal there
        self._found, extra = TypeAdapter.json_schemas(
            inputs, ref_template=ref, schema_generator=DescribedSchema
        )
        self.definitions: dict[str, Schema] = dict(extra.get("$defs", {}))

    def of(self, model: Any, mode: str = "serialization") -> Schema:
        """The schema of one of the models in one of its modes."""
        return dict(self._found[self._keys[id(model), mode], mode])

    def resolved(self, model: Any) -> Schema:
        """The schema of a model of the mode `validation`, not a reference to it."""
        found = self.of(model, "validation")
        return self.definitions[self.component(model)] if "$ref" in found else found

    def component(self, model: Any) -> str:
        """The name in `definitions` of a model of the mode `validation`."""
        return str(self.of(model, "validation")["$ref"]).rpartition("/")[2]


def any_of(names: Iterable[str]) -> Schema:
    """One of these components. Without names, no value matches."""
    found = [{"$ref": REF.format(model=name)} for name in names]
    return {"anyOf": found} if found else {"not": {}}


PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong and what to do (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "code", "correlation_id", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "examples": sorted(TITLES)},
        "correlation_id": {"type": "string", "format": "uuid"},
        "trace_id": {"type": "string"},
        "retry_after": {"type": "number"},
        "owner": {
            "type": "object",
            "description": "Whose service it is; contact and docs are empty where they are not to be shown.",
            "required": ["service", "team", "contact", "docs"],
            "properties": {name: {"type": "string"} for name in ("service", "team", "contact", "docs")},
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "in", "detail")},
            },
        },
    },
}
USER: Schema = {
    "type": "object",
    "required": ["iss", "sub", "expires_in"],
    "properties": {
        "iss": {"type": "string"},
        "sub": {"type": "string"},
        "expires_in": {"type": "integer", "description": "Seconds until the sign-in has to be renewed."},
    },
}
