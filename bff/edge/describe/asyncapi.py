"""What the live stream carries, AsyncAPI 3.0, made from the sagas and values that a gateway declares."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from ..declared import SagaType, ValueType

if TYPE_CHECKING:
    from ..gateway import Gateway

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
_TEXT: Schema = {"type": "string"}
_POSITION: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._-]+-[0-9]+$"}
_AT: Schema = {"type": "string", "format": "date-time"}


def document(gateway: Gateway, version: str) -> Schema:
    """The whole document: one channel, `/bff/live`, and a message for everything that may come on it."""
    sagas, values = list(gateway.sagas.values()), list(gateway.values.values())
    models = [(("saga", one.name), "serialization", TypeAdapter(one.model)) for one in sagas]
    models += [(("value", one.template), "serialization", TypeAdapter(one.model)) for one in values]
    found, extra = TypeAdapter.json_schemas(models, ref_template=_REF)  # type: ignore[arg-type] # modes are literals
    schemas: Schema = dict(extra.get("$defs", {}))
    messages: dict[str, Schema] = {}
    for saga in sagas:
        schemas[f"saga.{saga.name}"] = _saga(saga, found[("saga", saga.name), "serialization"])
        title = f"A step of a saga of type {saga.name}"
        messages[f"saga.{saga.name}"] = _message("saga", title, f"saga.{saga.name}", id=True)
    for value in values:
        name = f"value.{value.kind}"
        schemas[name] = _value(value, found[("value", value.template), "serialization"])
        messages[name] = _message("value", f"{value.template} as it is now; the latest wins", name)
    of = {kind: [one for one in schemas if one.startswith(f"{kind}.")] for kind in ("saga", "value")}
    schemas |= {"state": _state(of["saga"], of["value"])} | _OWN
    messages["snapshot"] = _message("snapshot", "All of it, on joining without a position", "state", id=True)
    messages["reset"] = _message("reset", "All of it, where a position cannot be honoured", "state", id=True)
    messages["beat"] = _message("beat", "A sign of life", "beat")
    messages["bye"] = _message("bye", "The stream ends in good order", "bye")
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
                "bindings": {"http": {"method": "GET", "query": _QUERY, "bindingVersion": "0.3.0"}},
            }
        },
        "components": {"schemas": schemas, "messages": messages},
    }


_QUERY: Schema = {
    "type": "object",
    "properties": {"value": {"type": "array", "items": _TEXT}, "after": _POSITION},
}
_OWN: dict[str, Schema] = {
    "beat": {"type": "object", "required": ["at"], "properties": {"at": _AT}},
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


def _message(event: str, title: str, schema: str, *, id: bool = False) -> Schema:
    """A message by the name of its event; `id` is where a client resumes."""
    fields: Schema = {"event": {"const": event}}
    if id:
        fields["id"] = _POSITION
    return {
        "name": event,
        "title": title,
        "headers": {"type": "object", "required": list(fields), "properties": fields},
        "payload": {"$ref": _REF.format(model=schema)},
    }


def _saga(saga: SagaType, model: Schema) -> Schema:
    more = {"type": {"const": saga.name}, "traceparent": {"type": ["string", "null"]}}
    return {"allOf": [model, {"type": "object", "required": ["type"], "properties": more}]}


def _value(value: ValueType, model: Schema) -> Schema:
    segments = ("[^/]+" if part.startswith("{") else re.escape(part) for part in value.template.split("/"))
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


def _state(sagas: list[str], values: list[str]) -> Schema:
    def any_of(names: list[str]) -> Schema:
        return {"anyOf": [{"$ref": _REF.format(model=name)} for name in names]} if names else {"not": {}}

    return {
        "type": "object",
        "required": ["cursor", "sagas", "values"],
        "properties": {
            "cursor": _POSITION,
            "sagas": {"type": "array", "items": any_of(sagas)},
            "values": {"type": "array", "items": any_of(values)},
        },
    }
