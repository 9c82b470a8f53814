"""The JSON schemas of what the stream carries and of what a command that begins a saga answers, made from what a
gateway declares. The OpenAPI and the AsyncAPI document both have them, under the same names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...calls.saga import STATUSES, SagaStatus
from ..declared import SagaType, ValueType
from .components import Schema

REF = "#/components/schemas/{model}"
POSITION: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._-]+-[0-9]+$"}
_TEXT: Schema = {"type": "string"}
_AT: Schema = {"type": "string", "format": "date-time"}

OWN: dict[str, Schema] = {
    "beat": {"type": "object", "required": ["at"], "properties": {"at": _AT}},
    "expiring": {
        "type": "object",
        "required": ["at", "seconds"],
        "properties": {"at": _AT, "seconds": {"type": "number", "description": "Until it ends."}},
    },
    "bye": {
        "type": "object",
        "required": ["reason", "retry_after"],
        "properties": {
            "reason": {"enum": ["expired", "logout", "age", "drain", "limit"]},
            "retry_after": {
                "type": ["number", "null"],
                "description": "Seconds to wait before joining again.",
            },
        },
    },
}


def saga(declared: SagaType, model: Schema) -> Schema:
    """A saga as the journal has it: every field is there, defaults written out."""
    more = {"type": {"const": declared.name}, "traceparent": {"type": ["string", "null"]}}
    return {
        "allOf": [model, {"type": "object", "required": sorted(SagaStatus.model_fields), "properties": more}]
    }


def value(declared: ValueType, model: Schema) -> Schema:
    """A live value: its name, its data, and the count by which the latest wins."""
    segments = ("[^/]+" if part.startswith("{") else re.escape(part) for part in declared.template.split("/"))
    return {
        "type": "object",
        "required": ["name", "version", "data"],
        "properties": {
            "name": {"type": "string", "pattern": f"^{'/'.join(segments)}$"},
            "version": {"type": "integer"},
            "data": model,
            "at": {"type": ["string", "null"]},
        },
    }


def state(components: Iterable[str]) -> Schema:
    """components: the names under which the schemas of sagas and values stand, among others."""
    known = list(components)
    return {
        "type": "object",
        "required": ["cursor", "sagas", "values"],
        "properties": {
            "cursor": POSITION,
            "sagas": {"type": "array", "items": any_of(one for one in known if one.startswith("saga."))},
            "values": {"type": "array", "items": any_of(one for one in known if one.startswith("value."))},
        },
    }


def started(declared: SagaType) -> Schema:
    """The answer of a command that begins or moves a saga of this type."""
    return {
        "type": "object",
        "required": ["mutation", "saga", "cursor"],
        "properties": {
            "mutation": {"type": "string", "description": "The Idempotency-Key of this command."},
            "saga": {
                "type": "object",
                "required": ["id", "type", "status", "version"],
                "properties": {
                    "id": _TEXT,
                    "type": {"const": declared.name},
                    "status": {"enum": list(STATUSES)},
                    "version": {"type": "integer"},
                },
            },
            "cursor": POSITION | {"description": "Journal position of the saga's newest event."},
        },
    }


def any_of(names: Iterable[str]) -> Schema:
    """One of these components; nothing fits where there is none."""
    found = [{"$ref": REF.format(model=name)} for name in names]
    return {"anyOf": found} if found else {"not": {}}
