"""The JSON schemas of what every gateway answers whatever it declares: a problem, a person."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ..problem import TITLES

Schema = dict[str, Any]


class DescribedSchema(GenerateJsonSchema):
    """JSON schemas as values really are: an answer has every field that its model declares, defaults among them, and a
    Decimal is a number, or the text that a service sent."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        """In an answer only what may be left out is not required."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number with all its digits, or such a number in text."""
        found = super().decimal_schema(schema)
        return found if "anyOf" in found else {"anyOf": [{"type": "number"}, found]}


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
