"""The JSON schemas of what the stream carries, and of the answer of a command that begins a saga, made from what a
gateway declares. The OpenAPI and the AsyncAPI document have them under the same names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...calls.saga import STATUSES, SagaStatus
from ..declared import Declarations, SagaType, ValueType
from .components import REF, ModelSchemas, Schema

POSITION: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._-]+-[0-9]+$"}
_TEXT: Schema = {"type": "string"}
_AT: Schema = {"type": "string", "format": "date-time"}

CONTROL_EVENTS: dict[str, Schema] = {
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


def models(gateway: Declarations) -> list[tuple[Any, str]]:
    """The models of sagas and values, for `ModelSchemas`."""
    declared: list[SagaType | ValueType] = [*gateway.sagas.values(), *gateway.values.values()]
    return [(one.model, "serialization") for one in declared]


def declared_schemas(gateway: Declarations, schemas: ModelSchemas) -> dict[str, Schema]:
    """`saga.<name>`, `value.<kind>` and `state`."""
    found = {f"saga.{saga.name}": _saga(saga, schemas.of(saga.model)) for saga in gateway.sagas.values()}
    found |= {
        f"value.{value.kind}": _value(value, schemas.of(value.model)) for value in gateway.values.values()
    }
    state = {
        "cursor": POSITION,
        "sagas": {"type": "array", "items": any_of(name for name in found if name.startswith("saga."))},
        "values": {"type": "array", "items": any_of(name for name in found if name.startswith("value."))},
    }
    return found | {"state": {"type": "object", "required": list(state), "properties": state}}


def _saga(declared: SagaType, model: Schema) -> Schema:
    """A saga as the journal holds it: every field is there, those with defaults included."""
    more = {"type": {"const": declared.name}, "traceparent": {"type": ["string", "null"]}}
    return {
        "allOf": [model, {"type": "object", "required": sorted(SagaStatus.model_fields), "properties": more}]
    }


def _value(declared: ValueType, model: Schema) -> Schema:
    """A live value: its name, its data, and its version, by which the latest wins."""
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
    """One of these components; where there is none, no value matches."""
    found = [{"$ref": REF.format(model=name)} for name in names]
    return {"anyOf": found} if found else {"not": {}}
