"""What the live stream carries: the AsyncAPI 3.0 document, made from the sagas and values that a gateway declares.

The OpenAPI document has the same schemas of sagas, values and the state, under the same names.
"""

from __future__ import annotations

import re
from typing import Any

from ...calls.saga import STATUSES, SagaStatus
from ..declared import Declarations, SagaType, ValueType
from .components import REF, TEXT, ModelSchemas, Schema, any_of

POSITION: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._-]+-[0-9]+$", "examples": ["k3f9a-12"]}
_AT: Schema = {"type": "string", "format": "date-time"}
_CONTROL_EVENTS: dict[str, Schema] = {
    "beat": {"type": "object", "required": ["at"], "properties": {"at": _AT}},
    "expiring": {
        "type": "object",
        "required": ["at", "seconds"],
        "properties": {"at": _AT, "seconds": {"type": "number", "description": "Until it ends."}},
    },
    "gone": {
        "type": "object",
        "required": ["name", "version", "at", "gone"],
        "properties": {
            "name": TEXT,
            "version": {"type": "integer", "description": "The last one that it had."},
            "at": _AT,
            "gone": {"const": True},
        },
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


def document(gateway: Declarations, version: str) -> Schema:
    """The whole document: one channel, `/bff/live`, with a message for each kind of event. version: of the gateway."""
    schemas = ModelSchemas(models(gateway))
    messages = {
        **{
            f"saga.{name}": _message("saga", f"A step of a saga of type {name}", f"saga.{name}", id=True)
            for name in gateway.sagas
        },
        **{
            f"value.{value.kind}": _message(
                "value", f"{value.template} as it is now; the latest wins", f"value.{value.kind}"
            )
            for value in gateway.values.values()
        },
        "gone": _message("gone", "A value that its service does not have any more", "gone"),
        "snapshot": _message("snapshot", "All of it, on joining without a position", "state", id=True),
        "reset": _message("reset", "All of it, where a position cannot be honoured", "state", id=True),
        "beat": _message("beat", "A sign of life", "beat"),
        "expiring": _message("expiring", "The session or token ends soon: time to renew it", "expiring"),
        "bye": _message("bye", "The stream ends in good order", "bye"),
    }
    query = {"value": {"type": "array", "items": TEXT}, "after": POSITION}
    http = {
        "method": "GET",
        "query": {"type": "object", "properties": query},
        "bindingVersion": "0.3.0",
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"{gateway.name}: live", "version": version},
        "defaultContentType": "application/json",
        "channels": {
            "live": {
                "address": "/bff/live",
                "description": "Server-sent events (text/event-stream): everything that one person may see. "
                "Resume with Last-Event-ID, or ?after=.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "follow": {
                "action": "send",
                "channel": {"$ref": "#/channels/live"},
                "bindings": {"http": http},
            }
        },
        "components": {
            "schemas": schemas.definitions | declared_schemas(gateway, schemas) | _CONTROL_EVENTS,
            "messages": messages,
        },
    }


def _message(event: str, title: str, schema: str, *, id: bool = False) -> Schema:
    """The message of an event. schema: the name of its payload's component; id: whether it has an id, at which a client
    resumes."""
    fields: Schema = {"event": {"const": event}} | ({"id": POSITION} if id else {})
    return {
        "name": event,
        "title": title,
        "headers": {"type": "object", "required": list(fields), "properties": fields},
        "payload": {"$ref": REF.format(model=schema)},
    }


def models(gateway: Declarations) -> list[tuple[Any, str]]:
    """The models of sagas and values, for `ModelSchemas`."""
    declared: list[SagaType | ValueType] = [*gateway.sagas.values(), *gateway.values.values()]
    return [(one.model, "serialization") for one in declared]


def declared_schemas(gateway: Declarations, schemas: ModelSchemas) -> dict[str, Schema]:
    """The components `saga.<name>`, `value.<kind>` and `state`. schemas: made with `models`."""
    sagas = {f"saga.{saga.name}": _saga(saga, schemas.of(saga.model)) for saga in gateway.sagas.values()}
    values = {
        f"value.{value.kind}": _value(value, schemas.of(value.model)) for value in gateway.values.values()
    }
    state = {
        "cursor": POSITION,
        "sagas": {"type": "array", "items": any_of(sagas)},
        "values": {"type": "array", "items": any_of(values)},
    }
    return sagas | values | {"state": {"type": "object", "required": list(state), "properties": state}}


def _saga(declared: SagaType, model: Schema) -> Schema:
    """A saga as the journal holds it: every field is present, those with defaults included."""
    more = {"type": {"const": declared.name}, "traceparent": {"type": ["string", "null"]}}
    return {
        "allOf": [model, {"type": "object", "required": sorted(SagaStatus.model_fields), "properties": more}]
    }


def _value(declared: ValueType, model: Schema) -> Schema:
    """A live value: its name, its data, and its version. The newest version is the current one."""
    segments = ("[^/]+" if part.startswith("{") else re.escape(part) for part in declared.template.split("/"))
    named = re.sub(r"[{}]", "", declared.template)
    return {
        "type": "object",
        "required": ["name", "version", "data"],
        "properties": {
            "name": {"type": "string", "pattern": f"^{'/'.join(segments)}$", "examples": [named]},
            "version": {"type": "integer"},
            "data": model,
            "at": {"type": ["string", "null"]},
            "mutations": {
                "type": "array",
                "items": {"type": "string", "format": "uuid"},
                "description": "The newest commands that this version contains; absent where the service names none.",
            },
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
                    "id": TEXT,
                    "type": {"const": declared.name},
                    "status": {"enum": list(STATUSES)},
                    "version": {"type": "integer"},
                },
            },
            "cursor": POSITION | {"description": "Journal position of the saga's newest event."},
        },
    }
