"""Compares a frontend's calls with a service's OpenAPI document, and names what does not match.

`complaints` returns what a service has removed or changed: a path, a parameter, a field of the body, a field of the
answer that our model reads, or its type. An addition of a service is no complaint. Of strings and numbers only the type
is compared, not length or range: the live answers show those.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_origin, get_type_hints

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from pydantic import TypeAdapter

from bff import Call, Upstream

Schema = Mapping[str, Any]


def methods(upstreams: Iterable[Upstream]) -> dict[str, Callable[..., Call[Any]]]:
    """Every method that returns a Call, by `<service>.<method>`."""
    found = {}
    for upstream in upstreams:
        for name, function in inspect.getmembers(type(upstream), inspect.isfunction):
            answer = get_type_hints(function).get("return")
            if not name.startswith("_") and name not in vars(Upstream) and get_origin(answer) is Call:
                found[f"{upstream.owner.service}.{name}"] = getattr(upstream, name)
    return found


def sampled(method: Callable[..., Call[Any]], samples: Mapping[str, Any]) -> Call[Any]:
    """The call with a sample value for each parameter, by its name; KeyError names a parameter without one."""
    return method(**{name: samples[name] for name in inspect.signature(method).parameters})


def complaints(name: str, call: Call[Any], document: Schema) -> list[str]:
    """One sentence for each thing that the service no longer accepts or answers; empty when everything matches."""
    operation = _operation(call, document)
    if operation is None:
        return [f"{name}: {call.method} {call.template} is not in the service's OpenAPI"]
    found = [
        *_parameters(call, operation),
        *_body(call, operation, document),
        *_answer(call, operation, document),
    ]
    return [f"{name}: {one}" for one in found]


def _operation(call: Call[Any], document: Schema) -> Schema | None:
    # The name of a parameter in the path does not matter.
    wanted = re.sub(r"{\w+}", "{}", call.template)
    for path, operations in document["paths"].items():
        if re.sub(r"{\w+}", "{}", path) == wanted:
            operation: Schema | None = operations.get(call.method.lower())
            return operation
    return None


def _parameters(call: Call[Any], operation: Schema) -> Iterator[str]:
    known = {one["name"]: one for one in operation.get("parameters", ()) if one["in"] == "query"}
    sent = dict(call.query)
    for name, value in sent.items():
        if name not in known:
            yield f"parameter {name} is not known to the service"
        elif not _reads_as(value, known[name]["schema"]):
            yield f"parameter {name}={value} is not what the service takes"
    for name, parameter in known.items():
        if parameter.get("required") and name not in sent:
            yield f"parameter {name} is required by the service and not sent"


def _reads_as(value: str, schema: Schema) -> bool:
    """Whether a query text is valid: as text, or as the number, boolean or list that it may stand for."""
    readings: list[Any] = [value, [value]]
    with contextlib.suppress(ValueError):
        readings.append(json.loads(value))
    return any(Draft202012Validator(dict(schema)).is_valid(reading) for reading in readings)


def _body(call: Call[Any], operation: Schema, document: Schema) -> Iterator[str]:
    declared = operation.get("requestBody")
    if declared is None:
        if call.body not in (None, b"{}"):
            yield "the service takes no body"
        return
    if call.body is None:
        if declared.get("required"):
            yield "the service requires a body"
        return
    schema = {**declared["content"]["application/json"]["schema"], "components": document["components"]}
    body = json.loads(call.body)
    for error in Draft202012Validator(schema).iter_errors(body):
        yield f"body{error.json_path.removeprefix('$')}: {error.message}"
    for path in _unknown(body, schema, document):
        yield f"body.{path} is not read by the service"


def _unknown(value: Any, schema: Schema, document: Schema) -> Iterator[str]:
    """Fields that are sent and not in the schema: a renamed optional field would be lost without an error."""
    schema = _resolved(schema, document)
    if isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            if name not in schema["properties"]:
                yield name
            else:
                yield from (
                    f"{name}.{path}" for path in _unknown(inner, schema["properties"][name], document)
                )
    elif isinstance(value, list) and "items" in schema:
        for inner in value[:1]:
            yield from (f"[].{path}" for path in _unknown(inner, schema["items"], document))


def _answer(call: Call[Any], operation: Schema, document: Schema) -> Iterator[str]:
    if call.model is None:
        return
    good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    if not good:
        yield "the service documents no success"
    ours = TypeAdapter(call.model).json_schema()
    name = ours.get("title", "the answer")
    for answer in good:
        theirs = answer["content"]["application/json"]["schema"]
        yield from _compare(name, ours, ours, theirs, document)


def _compare(path: str, ours: Schema, us: Schema, theirs: Schema, them: Schema) -> Iterator[str]:
    """Our model must accept everything that the service may answer."""
    choices = [_resolved(one, us) for one in _alternatives(_resolved(ours, us))]
    for their in (_resolved(one, them) for one in _alternatives(_resolved(theirs, them))):
        fitting = [our for our in choices if _same_kind(our, their)]
        if not fitting:
            expected = " or ".join(sorted({str(our.get("type", our)) for our in choices}))
            yield f"{path} is {their.get('type', their)} in the service's answer, not {expected}"
            continue
        # The alternative with the fewest complaints is the intended one.
        yield from min((list(_inside(path, our, us, their, them)) for our in fitting), key=len)


def _inside(path: str, ours: Schema, us: Schema, theirs: Schema, them: Schema) -> Iterator[str]:
    known, allowed = _values(theirs), _values(ours)
    if allowed is not None and (known is None or not known <= allowed):
        more = "anything" if known is None else ", ".join(sorted(map(str, known - allowed)))
        yield f"{path} may be {more} in the service's answer"
    if "items" in ours:
        yield from _compare(f"{path}[]", ours["items"], us, theirs.get("items", {}), them)
    for name, field in ours.get("properties", {}).items():
        inner = theirs.get("properties", {}).get(name)
        if inner is None:
            yield f"{path}.{name} is not in the service's answer"
            continue
        # Every answer contains default values, although the schema does not mark them as required.
        optional = name not in theirs.get("required", ()) and "default" not in inner
        if optional and name in ours.get("required", ()):
            yield f"{path}.{name} may be missing in the service's answer"
        yield from _compare(f"{path}.{name}", field, us, inner, them)


def _resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _alternatives(schema: Schema) -> list[Schema]:
    alternatives: list[Schema] = list(schema.get("anyOf") or schema.get("oneOf") or [schema])
    return alternatives


def _values(schema: Schema) -> set[Any] | None:
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _same_kind(ours: Schema, theirs: Schema) -> bool:
    if "type" not in ours:
        return True
    return ours["type"] == theirs.get("type") or (ours["type"], theirs.get("type")) == ("number", "integer")
