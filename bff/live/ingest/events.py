"""The meaning of an event, the same for all brokers: a structured CloudEvent 1.0 in JSON, validated as a whole.

`<domain>.<saga>.status` goes into the journal of `data.owner`. `<domain>.<value>.value` becomes the value
`<value>/<subject>`. `<domain>.<tag>.changed` invalidates cached answers with the tags `<tag>` and `<tag>/<subject>`;
with `data.owner` only for that principal. Events of any other type are ignored. An invalid event of one of these types
is a BadEvent, and nothing of it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...calls import BffError, Raw, SagaStatus
from ...calls.codec import Codec, codec_of, parsed
from ...calls.codec.json_text import BOM, without_lone_surrogates
from ...calls.saga import MAX_MUTATIONS
from ...stores.journal import Entry
from ...stores.values import valid_name

MAX_BODY = 65_536
_TYPE = re.compile(r"(?:[A-Za-z0-9-]+\.)+([a-z][a-z0-9-]*)\.(status|value|changed)")
_RANDOM_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class BadEvent(BffError):
    """An event that cannot be used. Its message says why."""

    code = "bad-event"


class _CloudEvent(BaseModel):
    """CloudEvents 1.0, JSON format, with the `sequence` and distributed-tracing extensions."""

    model_config = ConfigDict(extra="ignore")

    specversion: Literal["1.0"]
    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str = Field(min_length=1, max_length=200)
    sequence: str = Field(pattern="^(0|[1-9][0-9]{0,14})$")
    traceparent: str | None = None
    data: dict[str, Any]


class _ValueData(BaseModel):
    version: int = Field(ge=0, le=2**53 - 1)
    at: str = Field(min_length=1, max_length=64)
    data: Any
    mutations: list[str] | None = Field(default=None, max_length=MAX_MUTATIONS)


class _Owned(BaseModel):
    owner: str = Field(min_length=1, max_length=512)


@dataclass(frozen=True, slots=True)
class SagaEvent:
    """An event for the journal of `owner` (a principal id)."""

    owner: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class ValueEvent:
    """A new version of the value `name`. mutations: the commands that this version contains and the one before did not;
    None: the service does not say. Everyone who may read the value reads them, so only random UUIDs (RFC 9562, version
    4) are passed on."""

    name: str
    version: int
    data: Raw
    at: str
    mutations: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ChangedEvent:
    """An invalidation of these tags. owner: only for this principal (its id), None: for all users."""

    tags: tuple[str, ...]
    owner: str | None


Meaning: TypeAlias = SagaEvent | ValueEvent | ChangedEvent | None


class Registry:
    """The sagas and values that this gateway declared.

    sagas   name → the model of its status
    values  name (a template's first segment) → the type of its data
    """

    def __init__(self, sagas: Mapping[str, type[SagaStatus]], values: Mapping[str, Any]) -> None:
        self._sagas = dict(sagas)
        self._values: dict[str, Codec[Any]] = {name: codec_of(model) for name, model in values.items()}

    def meaning(self, body: bytes | None, *, now_ms: int) -> Meaning:
        """The meaning of an event; None when its type is not declared. now_ms: see `Entry.of`. Raises BadEvent."""
        if body is None:
            raise BadEvent("the entry has no field `event`")
        if len(body) > MAX_BODY:
            raise BadEvent(f"{len(body)} bytes, at most {MAX_BODY} are accepted")
        try:
            tree = parsed(without_lone_surrogates(body.removeprefix(BOM))[0])
            kind = codec_of(_Type).of(tree).type
            route = _TYPE.fullmatch(kind)
            if route is None:
                return None
            name, what = route.groups()
            if what == "status" and name in self._sagas:
                return self._saga(codec_of(_CloudEvent).of(tree), tree["data"], name, now_ms)
            if what == "value" and name in self._values:
                return self._value(codec_of(_CloudEvent).of(tree), tree["data"], name)
            if what == "changed":
                return self._changed(codec_of(_Changed).of(tree), name)
        except ValidationError as error:
            raise BadEvent(_mistakes(error)) from None
        except (ValueError, RecursionError):
            raise BadEvent("the event is not JSON") from None
        return None

    def _saga(self, event: _CloudEvent, data: dict[str, Any], name: str, now_ms: int) -> SagaEvent:
        # `data` of the parsed tree has all digits of its numbers; the validated event does not.
        version = int(event.sequence)
        if version < 1:
            raise BadEvent("sequence: a saga's events count from 1")
        fields = {**data, "id": event.subject, "type": name, "version": version}
        saga = codec_of(self._sagas[name]).of(fields)
        traceparent = event.traceparent
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None
        return SagaEvent(codec_of(_Owned).of(data).owner, Entry.of(saga, traceparent, now_ms=now_ms))

    def _changed(self, event: _Changed, name: str) -> ChangedEvent:
        tags = (name,) if event.subject is None else (name, f"{name}/{event.subject}")
        return ChangedEvent(tags, event.data.owner if event.data else None)

    def _value(self, event: _CloudEvent, data: dict[str, Any], name: str) -> ValueEvent:
        value = codec_of(_ValueData).of(data)
        if int(event.sequence) != value.version:
            raise BadEvent("sequence: it must equal data.version of a value")
        full = f"{name}/{event.subject}"
        if not valid_name(full):
            raise BadEvent("subject: a value's name has at most 200 letters, digits and ._/-")
        codec = self._values[name]
        named = value.mutations
        mutations = None if named is None else tuple(one for one in named if _RANDOM_UUID.fullmatch(one))
        return ValueEvent(full, value.version, Raw(codec.encode(codec.of(data["data"]))), value.at, mutations)


class _ChangedData(BaseModel):
    owner: str | None = Field(None, min_length=1, max_length=512)


class _Changed(BaseModel):
    """A `changed` event. It needs no sequence and no data, because invalidating twice, or late, does no harm."""

    specversion: Literal["1.0"]
    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    subject: str | None = Field(None, min_length=1, max_length=200)
    data: _ChangedData | None = None


class _Type(BaseModel):
    type: str


def _mistakes(error: ValidationError) -> str:
    # Without the input, because an event may contain data that must not be logged.
    return "; ".join(
        f"{'.'.join(map(str, mistake['loc'])) or 'event'}: {mistake['msg']}"
        for mistake in error.errors(include_input=False, include_url=False)[:5]
    )
