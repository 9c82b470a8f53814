"""The JSON Schema (2020-12) of the events that a gateway accepts, made from the sagas and values that it declares.

An event that fits the schema is used. What a schema cannot say is in the descriptions: `sequence` of a value equals its
`data.version`, and an event has at most 64 KB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...calls.saga import MAX_MUTATIONS
from ...live.ingest.events import MAX_BODY
from ..declared import Declarations, SagaType, ValueType
from .components import ModelSchemas, Schema

PATH = "/bff/events.schema.json"
_REF = "#/$defs/{model}"

MEANINGS: Mapping[str, str] = {
    "specversion": "The version of CloudEvents",
    "id": "Names the event in logs, for example `<subject>:<sequence>`. A repeat is not recognised by it",
    "source": "Who publishes, for example `/services/orders`. It decides nothing",
    "type": "`<domain>.<saga>.status`, `<domain>.<value>.value` or `<domain>.<tag>.changed`; any domain",
    "subject": "The saga's id, the value's name after its first segment, or the changed item's name",
    "sequence": "Counts the events of one saga from 1, without gaps; of a value it equals `data.version`. A text",
    "traceparent": "W3C trace context of the step, for the page's developers. One that is invalid is left out",
    "data.status": "Where the saga is. COMPLETED, COMPENSATED and REJECTED end it",
    "data.owner": "Whose saga it is, `<iss>|<sub>`: what the gateway sent in the header BFF-Owner",
    "data.at": "When it happened, RFC 3339, for example 2026-03-01T10:00:00.000Z",
    "data.step": "The step that the saga is in, a word of the domain",
    "data.attempt": "Which try of this step it is, counted from 1",
    "data.reason": "A stable code of why it was refused or undone",
    "data.mutation": "The key of the command that started it: what the gateway sent in the header BFF-Mutation",
    "data.mutations": f"The keys (BFF-Mutation) of further commands that this contains, at most {MAX_MUTATIONS}",
    "data.data": "What the page shows, of the declared model",
    "data.version": "The version of the value; a higher one replaces a lower one",
}
"""What each attribute and each field of `data` is, in a sentence. `data.x` is the field x of `data`."""

_TEXT: Schema = {"type": "string"}
_SOME: Schema = {"type": "string", "minLength": 1}
_OPTIONAL: Schema = {"type": ["string", "null"]}
_OWNER: Schema = _SOME | {"maxLength": 512}


def document(gateway: Declarations) -> Schema:
    """The whole schema: any one of the gateway's events. `$defs` has each by name: `order.status`, `stock.value` and
    `changed`."""
    declared: list[SagaType | ValueType] = [*gateway.sagas.values(), *gateway.values.values()]
    schemas = ModelSchemas([(one.model, "validation") for one in declared], _REF)
    events = {f"{saga.name}.status": _status(saga, schemas) for saga in gateway.sagas.values()}
    events |= {f"{value.kind}.value": _value(value, schemas) for value in gateway.values.values()}
    events["changed"] = _changed()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Events of {gateway.name}",
        "description": f"CloudEvents 1.0 in JSON, each at most {MAX_BODY} bytes.",
        "anyOf": [{"$ref": _REF.format(model=name)} for name in events],
        "$defs": events | schemas.definitions,
    }


def _event(title: str, attributes: Schema, required: tuple[str, ...], data: Schema) -> Schema:
    common: Schema = {"specversion": {"const": "1.0"}, "id": _SOME, "source": _SOME}
    described = {
        name: schema | {"description": MEANINGS[name]} for name, schema in (common | attributes).items()
    }
    return {
        "title": title,
        "type": "object",
        "required": [*common, *required],
        "properties": described | {"data": data},
    }


def _data(fields: Schema, required: tuple[str, ...]) -> Schema:
    described = {name: schema | {"description": MEANINGS[f"data.{name}"]} for name, schema in fields.items()}
    return {"type": "object", "required": list(required), "properties": described}


def _type_of(name: str, what: str) -> Schema:
    return {"type": "string", "pattern": rf"^([A-Za-z0-9-]+\.)+{re.escape(name)}\.{what}$"}


def _status(saga: SagaType, schemas: ModelSchemas) -> Schema:
    """The model of the saga without what the event's attributes say."""
    model = schemas.resolved(saga.model)
    elsewhere = {"id", "type", "version"}
    properties = {name: one for name, one in model["properties"].items() if name not in elsewhere}
    for name, schema in properties.items():
        if meaning := MEANINGS.get(f"data.{name}"):
            properties[name] = {key: each for key, each in schema.items() if key != "title"}
            properties[name].setdefault("description", meaning)
    properties["owner"] = _OWNER | {"description": MEANINGS["data.owner"]}
    required = ["owner", *(name for name in model.get("required", ()) if name not in elsewhere)]
    attributes: Schema = {
        "type": _type_of(saga.name, "status"),
        "subject": _SOME | {"maxLength": 128},
        "sequence": {"type": "string", "pattern": "^[1-9][0-9]{0,14}$"},
        "traceparent": _OPTIONAL,
    }
    return _event(
        f"A step of a saga of type {saga.name}",
        attributes,
        ("type", "subject", "sequence", "data"),
        {"type": "object", "required": required, "properties": properties},
    )


def _value(value: ValueType, schemas: ModelSchemas) -> Schema:
    longest = 200 - len(value.kind) - 1
    attributes: Schema = {
        "type": _type_of(value.kind, "value"),
        "subject": {"type": "string", "pattern": f"^[A-Za-z0-9._/-]{{1,{longest}}}$"},
        "sequence": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,14})$"},
        "traceparent": _OPTIONAL,
    }
    fields: Schema = {
        "version": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
        "at": _SOME | {"maxLength": 64},
        "data": schemas.of(value.model, "validation"),
        "mutations": {"type": ["array", "null"], "items": _TEXT, "maxItems": MAX_MUTATIONS},
    }
    return _event(
        f"{value.template} as it is now",
        attributes,
        ("type", "subject", "sequence", "data"),
        _data(fields, ("version", "at", "data")),
    )


def _changed() -> Schema:
    attributes: Schema = {
        "type": {"type": "string", "pattern": r"^([A-Za-z0-9-]+\.)+[a-z][a-z0-9-]*\.changed$"},
        "subject": {"type": ["string", "null"], "minLength": 1, "maxLength": 200},
    }
    owner: Schema = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 512,
        "description": "Only for this principal; absent: for everybody",
    }
    data: Schema = {"type": ["object", "null"], "properties": {"owner": owner}}
    return _event("Cached answers with a tag are out of date", attributes, ("type",), data)
