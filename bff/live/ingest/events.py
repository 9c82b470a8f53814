"""The meaning of an event, the same for all brokers: a structured CloudEvent 1.0 in JSON, validated as a whole.

`<domain>.<saga>.status` goes into the journal of `data.owner`. `<domain>.<value>.value` becomes the value
`<value>/<subject>`. `<domain>.<tag>.changed` invalidates cached answers with the tags `<tag>` and `<tag>/<subject>`;
with `data.owner` only for that principal. An invalid event of one of these types is a BadEvent, and nothing of it is
used. An event of another type, or of a saga or value that the gateway does not declare, is `Undeclared`, and it is
ignored without a word only where the settings name its type.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...calls import BffError, Raw, SagaStatus
from ...calls.codec import Codec, codec_of, parsed
from ...calls.codec.json_text import BOM, without_lone_surrogates
from ...calls.saga import MAX_MUTATIONS, Status
from ...stores.journal import Entry, at_ms
from ...stores.values import valid_name

MAX_BODY = 65_536
_TYPE = re.compile(r"(?:[A-Za-z0-9-]+\.)+([a-z][a-z0-9-]*)\.(status|value|changed)")
_RANDOM_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Follow: TypeAlias = Callable[[str, str, str, str | None], str | None]
"""Given type, source, id and traceparent of a valid event, the traceparent of what follows from it."""


def same_trace(type: str, source: str, id: str, traceparent: str | None) -> str | None:
    """What follows from an event has the event's own traceparent, if that is well-formed."""
    return traceparent if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) else None


Wrong = Literal[
    "no-event",
    "too-large",
    "not-json",
    "attribute",
    "data",
    "model",
    "undeclared-saga",
    "undeclared-value",
    "undeclared-type",
]
"""What is wrong with an event that is not used. The list is closed, so that it can label a metric."""
WRONG: tuple[Wrong, ...] = get_args(Wrong)
CURES: Mapping[Wrong, str] = {
    "no-event": "put the CloudEvent as one JSON text into the field `event` of the stream's entry",
    "too-large": f"send at most {MAX_BODY} bytes: name what is large by an id or a link",
    "not-json": "send one CloudEvent as one JSON object in UTF-8, without NaN and Infinity",
    "attribute": "correct this attribute of the CloudEvent in the publisher",
    "data": "correct this field of `data` in the publisher, or the model in the gateway",
    "model": "correct the validator of the model in the gateway",
    "undeclared-saga": "declare it with gateway.saga(…), or name the type in BFF_LIVE__IGNORE_TYPES",
    "undeclared-value": "declare it with gateway.value(…), or name the type in BFF_LIVE__IGNORE_TYPES",
    "undeclared-type": "types of this gateway are <domain>.<name>.status, .value and .changed; "
    "correct the type, or name it in BFF_LIVE__IGNORE_TYPES",
}
"""What to do about it, in a few words."""


class BadEvent(BffError):
    """An event that cannot be used. Its message says why, without the data of the event.

    wrong   what is wrong, of a closed list
    type    the event's type, "" where it has none
    fields  the places of the mistakes, such as `data.owner`, at most five
    """

    code = "bad-event"

    def __init__(self, wrong: Wrong, message: str, *, type: str = "", fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.wrong: Wrong = wrong
        self.type = type
        self.fields = tuple(fields)


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
    """An event for the journal of `owner` (a principal id). type, id, status: of its saga; at_ms: Unix ms of the
    change."""

    owner: str
    entry: Entry
    type: str
    id: str
    status: Status
    at_ms: int


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


@dataclass(frozen=True, slots=True)
class Undeclared:
    """An event that this gateway has no use for. ours: it is a saga's or a value's event in every other respect, so
    that its type, or the gateway's declarations, are probably a mistake; near: the declared name that is most similar,
    "" where none is."""

    type: str
    wrong: Wrong
    ours: bool
    near: str = ""


Meaning: TypeAlias = SagaEvent | ValueEvent | ChangedEvent | Undeclared | None

T = TypeVar("T", bound=BaseModel)


class Registry:
    """The sagas and values that this gateway declared.

    sagas    name → the model of its status
    values   name (a template's first segment) → the type of its data
    ignored  types of events that are known to be for others; `*` in one stands for any text
    """

    def __init__(
        self,
        sagas: Mapping[str, type[SagaStatus]],
        values: Mapping[str, Any],
        ignored: Sequence[str] = (),
    ) -> None:
        self._sagas = dict(sagas)
        self._values: dict[str, Codec[Any]] = {name: codec_of(model) for name, model in values.items()}
        patterns = "|".join(".*".join(map(re.escape, type.split("*"))) for type in ignored)
        self._ignored = re.compile(patterns, re.DOTALL) if patterns else None

    def meaning(self, body: bytes | None, *, now_ms: int, follow: Follow = same_trace) -> Meaning:
        """The meaning of an event; None when its type is to be ignored. now_ms: see `Entry.of`; follow: called once
        with the event when it is valid. Raises BadEvent."""
        if body is None:
            raise BadEvent("no-event", "the entry has no field `event`")
        if len(body) > MAX_BODY:
            raise BadEvent("too-large", f"{len(body)} bytes, at most {MAX_BODY} are accepted")
        try:
            tree = parsed(without_lone_surrogates(body.removeprefix(BOM))[0])
            if not isinstance(tree, dict):
                raise BadEvent("not-json", "the event is not a JSON object")
            return self._meaning(tree, now_ms, follow)
        except (ValueError, RecursionError):
            raise BadEvent("not-json", "the event is not JSON") from None

    def _meaning(self, tree: dict[str, Any], now_ms: int, follow: Follow) -> Meaning:
        kind = _checked(_Type, tree, "").type
        if self._ignored is not None and self._ignored.fullmatch(kind):
            return None
        route = _TYPE.fullmatch(kind)
        name, what = route.groups() if route else ("", "")
        if what == "status" and name in self._sagas:
            return self._saga(_checked(_CloudEvent, tree, kind), tree["data"], name, now_ms, follow)
        if what == "value" and name in self._values:
            event = _checked(_CloudEvent, tree, kind)
            value = self._value(event, tree["data"], name)
            follow(kind, event.source, event.id, event.traceparent)
            return value
        if what == "changed":
            changed = _checked(_Changed, tree, kind)
            given = tree.get("traceparent")
            follow(kind, changed.source, changed.id, given if isinstance(given, str) else None)
            return self._changed(changed, name)
        if what == "status":
            return Undeclared(kind, "undeclared-saga", _looks_like_ours(tree), _near(name, self._sagas))
        if what == "value":
            return Undeclared(kind, "undeclared-value", _looks_like_ours(tree), _near(name, self._values))
        return Undeclared(kind, "undeclared-type", _looks_like_ours(tree))

    def _saga(
        self, event: _CloudEvent, data: dict[str, Any], name: str, now_ms: int, follow: Follow
    ) -> SagaEvent:
        # `data` of the parsed tree has all digits of its numbers; the validated event does not.
        version = int(event.sequence)
        if version < 1:
            raise BadEvent(
                "attribute", "sequence: a saga's events count from 1", type=event.type, fields=["sequence"]
            )
        fields = {**data, "id": event.subject, "type": name, "version": version}
        try:
            saga = codec_of(self._sagas[name]).of(fields)
        except ValidationError as error:
            raise _bad(error, event.type, inside=_SAGA_FIELDS) from None
        owner = _checked(_Owned, data, event.type, inside={}).owner
        traceparent = follow(event.type, event.source, event.id, event.traceparent)
        return SagaEvent(
            owner,
            Entry.of(saga, traceparent, now_ms=now_ms),
            *(saga.type, saga.id, saga.status, at_ms(saga.at, now_ms)),
        )

    def _changed(self, event: _Changed, name: str) -> ChangedEvent:
        tags = (name,) if event.subject is None else (name, f"{name}/{event.subject}")
        return ChangedEvent(tags, event.data.owner if event.data else None)

    def _value(self, event: _CloudEvent, data: dict[str, Any], name: str) -> ValueEvent:
        value = _checked(_ValueData, data, event.type, inside={})
        if int(event.sequence) != value.version:
            message = "sequence: it must equal data.version of a value"
            raise BadEvent("attribute", message, type=event.type, fields=["sequence"])
        full = f"{name}/{event.subject}"
        if not valid_name(full):
            message = "subject: a value's name has at most 200 letters, digits and ._/-"
            raise BadEvent("attribute", message, type=event.type, fields=["subject"])
        codec = self._values[name]
        try:
            printed = codec.encode(codec.of(data["data"]))
        except ValidationError as error:
            raise _bad(error, event.type, inside={}, within="data.data") from None
        named = value.mutations
        mutations = None if named is None else tuple(one for one in named if _RANDOM_UUID.fullmatch(one))
        return ValueEvent(full, value.version, Raw(printed), value.at, mutations)


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
    type: str = Field(min_length=1)


# Where the fields of a saga's status are in its event, if not below `data`.
_SAGA_FIELDS = {"id": "subject", "type": "type", "version": "sequence"}


def _checked(model: type[T], tree: Any, type: str, *, inside: Mapping[str, str] | None = None) -> T:
    """The tree as this model. inside: see `_bad`. Raises BadEvent."""
    try:
        return codec_of(model).of(tree)
    except ValidationError as error:
        raise _bad(error, type, inside=inside) from None


def _bad(
    error: ValidationError, type: str, *, inside: Mapping[str, str] | None = None, within: str = "data"
) -> BadEvent:
    """inside: the validated fields were below `within`, but for those that this names; None: they are attributes."""
    # Without the input, because an event may contain data that must not be logged.
    mistakes = error.errors(include_input=False, include_url=False)[:5]
    paths = [tuple(map(str, mistake["loc"])) for mistake in mistakes]
    if inside is not None:
        paths = [
            (inside[path[0]], *path[1:]) if path and path[0] in inside else (within, *path) for path in paths
        ]
    named = [".".join(path) or "event" for path in paths]
    message = "; ".join(f"{name}: {mistake['msg']}" for name, mistake in zip(named, mistakes, strict=True))
    return BadEvent("data" if named[0].startswith("data") else "attribute", message, type=type, fields=named)


def _looks_like_ours(tree: Any) -> bool:
    """Whether it would be a saga's or a value's event if only its name were declared."""
    try:
        event = codec_of(_CloudEvent).of(tree)
        data = tree["data"]
        if "owner" in data:
            codec_of(_Owned).of(data)
            codec_of(SagaStatus).of({**data, "id": event.subject, "type": "saga", "version": 1})
            return int(event.sequence) > 0
        return codec_of(_ValueData).of(data).version == int(event.sequence)
    except ValidationError:
        return False


def _near(name: str, declared: Mapping[str, Any]) -> str:
    return next(iter(difflib.get_close_matches(name, declared, 1)), "")
