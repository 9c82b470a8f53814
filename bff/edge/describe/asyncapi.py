"""What the live stream carries, AsyncAPI 3.0, made from the sagas and values that a gateway declares."""

from __future__ import annotations

from ..declared import Declarations
from . import live_schemas
from .components import REF, ModelSchemas, Schema
from .live_schemas import CONTROL_EVENTS, POSITION

_TEXT: Schema = {"type": "string"}


def document(gateway: Declarations, version: str) -> Schema:
    """The whole document: one channel, `/bff/live`, and a message for everything that may come on it."""
    schemas = ModelSchemas(live_schemas.models(gateway))
    components = schemas.definitions | live_schemas.declared_schemas(gateway, schemas) | CONTROL_EVENTS
    messages: dict[str, Schema] = {}
    for saga in gateway.sagas.values():
        name = f"saga.{saga.name}"
        messages[name] = _message("saga", f"A step of a saga of type {saga.name}", name, id=True)
    for value in gateway.values.values():
        name = f"value.{value.kind}"
        messages[name] = _message("value", f"{value.template} as it is now; the latest wins", name)
    messages["snapshot"] = _message("snapshot", "All of it, on joining without a position", "state", id=True)
    messages["reset"] = _message("reset", "All of it, where a position cannot be honoured", "state", id=True)
    messages["beat"] = _message("beat", "A sign of life", "beat")
    messages["expiring"] = _message(
        "expiring", "The session or token ends soon: time to renew it", "expiring"
    )
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
        "components": {"schemas": components, "messages": messages},
    }


_QUERY: Schema = {
    "type": "object",
    "properties": {"value": {"type": "array", "items": _TEXT}, "after": POSITION},
}


def _message(event: str, title: str, schema: str, *, id: bool = False) -> Schema:
    """A message by the name of its event; `id` is where a client resumes."""
    fields: Schema = {"event": {"const": event}}
    if id:
        fields["id"] = POSITION
    return {
        "name": event,
        "title": title,
        "headers": {"type": "object", "required": list(fields), "properties": fields},
        "payload": {"$ref": REF.format(model=schema)},
    }
