"""What the live stream carries, AsyncAPI 3.0, made from the sagas and values that a gateway declares."""

from __future__ import annotations

from pydantic import TypeAdapter

from ..declared import Declarations
from . import live_schemas
from .components import DescribedSchema, Schema
from .live_schemas import POSITION, REF

_TEXT: Schema = {"type": "string"}


def document(gateway: Declarations, version: str) -> Schema:
    """The whole document: one channel, `/bff/live`, and a message for everything that may come on it."""
    sagas, values = list(gateway.sagas.values()), list(gateway.values.values())
    models = [(("saga", one.name), "serialization", TypeAdapter(one.model)) for one in sagas]
    models += [(("value", one.template), "serialization", TypeAdapter(one.model)) for one in values]
    found, extra = TypeAdapter.json_schemas(models, ref_template=REF, schema_generator=DescribedSchema)  # type: ignore[arg-type] # modes are literals
    schemas: Schema = dict(extra.get("$defs", {}))
    messages: dict[str, Schema] = {}
    for saga in sagas:
        schemas[f"saga.{saga.name}"] = live_schemas.saga(saga, found[("saga", saga.name), "serialization"])
        title = f"A step of a saga of type {saga.name}"
        messages[f"saga.{saga.name}"] = _message("saga", title, f"saga.{saga.name}", id=True)
    for value in values:
        name = f"value.{value.kind}"
        schemas[name] = live_schemas.value(value, found[("value", value.template), "serialization"])
        messages[name] = _message("value", f"{value.template} as it is now; the latest wins", name)
    schemas |= {"state": live_schemas.state(schemas)} | live_schemas.OWN
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
        "components": {"schemas": schemas, "messages": messages},
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
