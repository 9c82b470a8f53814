"""Generated models, and texts that fit them or do not: what msgspec accepts is printed as the codec prints it."""

from __future__ import annotations

import datetime
import json
from enum import Enum, StrEnum
from typing import Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from bff.calls.codec import codec_of
from bff.calls.codec.projection import Projection, projection_of

T = TypeVar("T")
TEXTS = st.text(max_size=6).map(json.dumps) | st.text(max_size=6).map(
    lambda one: json.dumps(one, ensure_ascii=False)
)
NUMBERS = st.one_of(
    st.integers(), st.integers(2**53 - 2, 2**53 + 2), st.integers(2**63 - 2, 2**64 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
).map(repr)  # fmt: skip
HOSTILE = st.sampled_from(
    [
        "NaN", "-Infinity", "Infinity", '"NaN"', "1e400", "-1e400", "1e-400", "-0", "-0.0", "1.0", "1E5", "01", "1.",
        "-", ".5", "9007199254740993", "9" * 30, "1" * 400 + ".5", "9" * 4_400, '"1"', "true", "null", "tru", "",
        "[]", "{}", "[1,]", '{"a":1,}', "[[],{}]", "// comment", "'a'", '{"\\ud800":1}', '"\\ud800"', '"\\udc00"',
        '"\\ud800\\ud83d\\ude00"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x"', '"\\u12"', '"\x01"', '"\x7f"',
        '"\\/\\b\\f\\n\\r\\t\\"\\\\"', "[" * 190 + "]" * 190, "[" * 199 + "]" * 199, "[" * 250 + "]" * 250,
        '{"a":' * 250 + "1" + "}" * 250,
    ]
)  # fmt: skip


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = "s"
    LARGE = "l"

    @classmethod
    def _missing_(cls, value: object) -> Size | None:
        return cls.LARGE if value == "large" else None


class Loud(str, Enum):  # noqa: UP042  # its text differs from its value
    HELLO = "hello"

    def __new__(cls, value: str) -> Loud:
        made = str.__new__(cls, value.upper())
        made._value_ = value
        return made


class Number(Enum):
    ONE = 1


LEAVES: list[tuple[Any, st.SearchStrategy[str]]] = [
    (str, TEXTS),
    (int, st.integers().map(str)),
    (float, NUMBERS),
    (bool, st.sampled_from(["true", "false"])),
    (Literal["one", "two"], st.sampled_from(['"one"', '"two"', '"three"'])),
    (Colour, st.sampled_from(['"red"', '"blue"', '"RED"'])),
    (Size, st.sampled_from(['"s"', '"l"', '"large"'])),
]
# A few models and many texts for each: making a model takes longer than reading a text.
NAMES = ["plain", "with space", "é", "a.b", "field_0", "class"]


@st.composite
def models(draw: st.DrawFn, depth: int = 1) -> tuple[type[BaseModel], st.SearchStrategy[str]]:
    """A model, and texts that fit it, mostly."""
    fields: dict[str, Any] = {}
    parts: dict[str, st.SearchStrategy[str]] = {}
    for number in range(draw(st.integers(1, 4))):
        if depth and draw(st.integers(0, 3)) == 0:
            declared, text = draw(models(depth - 1))
        else:
            declared, text = draw(st.sampled_from(LEAVES))
        kind: Any = declared
        default: Any = ...
        match draw(st.sampled_from(["plain", "list", "dict", "optional", "default", "nested"])):
            case "list":
                kind, text = list[kind], st.lists(text, max_size=3).map(lambda all: f"[{','.join(all)}]")
                default = draw(st.sampled_from([..., []]))
            case "dict":
                kind, text = dict[str, kind], st.lists(st.tuples(TEXTS, text), max_size=3).map(members)
            case "optional":
                kind, text = kind | None, st.just("null") | text
                default = draw(st.sampled_from([..., None]))
            case "default":
                default = {str: "x", int: 7, bool: True, float: 0.5, Size: Size.SMALL}.get(kind, ...)
            case "nested":
                kind, text = (
                    list[dict[str, kind]],
                    st.tuples(TEXTS, text).map(lambda one: f"[{members([one])},{{}}]"),
                )
        alias = draw(st.sampled_from([None, *NAMES]))
        alias = alias and f"{alias}{number}"
        fields[f"field_{number}"] = (kind, Field(default, alias=alias))
        parts[alias or f"field_{number}"] = text
    config = ConfigDict(extra=draw(st.sampled_from(["ignore", "forbid"])))
    return create_model("Made", __config__=config, **fields), texts(parts)


def members(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}: {text}" for name, text in pairs) + "}"


@st.composite
def texts(draw: st.DrawFn, parts: dict[str, st.SearchStrategy[str]]) -> str:
    """An object with these members: often whole, sometimes with one that is missing, hostile, twice or unknown."""
    pairs = [(json.dumps(name), draw(text)) for name, text in parts.items()]
    change = draw(
        st.sampled_from(["none", "none", "order", "missing", "hostile", "twice", "unknown", "unknown"])
    )
    at = draw(st.integers(0, len(pairs) - 1))
    match change:
        case "order":
            pairs.reverse()
        case "missing":
            del pairs[at]
        case "hostile":
            pairs[at] = (pairs[at][0], draw(HOSTILE))
        case "twice":
            pairs.append((pairs[at][0], draw(HOSTILE | st.just(pairs[at][1]))))
        case "unknown":
            pairs.insert(at, (draw(TEXTS), draw(HOSTILE | TEXTS | NUMBERS)))
    return members(pairs)


def changed(data: st.DataObject, body: bytes) -> bytes:
    """The body, in one of three cases with a byte that is removed, inserted or replaced."""
    how = data.draw(st.sampled_from(["none"] * 6 + ["remove", "insert", "replace"]))
    if how == "none":
        return body
    at = data.draw(st.integers(0, len(body)))
    other = (
        b"" if how == "remove" else bytes([data.draw(st.sampled_from(b'"\\{}[],:\xff\xc3\xed\x00 1-eN.tu'))])
    )
    return body[:at] + other + body[at + (how != "insert") :]


def compiled(model: type[BaseModel]) -> Projection | None:
    return projection_of(model.__pydantic_core_schema__)


def agrees(model: type[BaseModel], body: bytes) -> bool:
    """Whether the quick way answers; what it answers has to be what the codec prints."""
    projection = compiled(model)
    assert projection is not None, model.model_fields
    codec = codec_of(model)
    answered = False
    # The second time it may know that members have to be skipped.
    for _ in range(2):
        found = projection.check(body)
        if found is not None:
            answered = True
            assert projection.printed(found) == codec.encode(codec.decode(body)), body
    return answered


@given(models(), st.data())
def test_what_the_quick_way_prints_is_what_the_codec_prints(
    made: tuple[type[BaseModel], st.SearchStrategy[str]], data: st.DataObject
) -> None:
    model, text = made
    for _ in range(5):
        agrees(model, changed(data, data.draw(text).encode("utf-8", "surrogatepass")))


class Inner(BaseModel):
    text: str
    ratio: float = 1.5


class Whole(BaseModel):
    id: int = Field(alias="Id", description="its number")
    inner: Inner
    more: list[Inner] = []
    named: dict[str, float] = Field(default_factory=dict)
    kind: Literal["a", "b"] | None = None
    size: Size = Size.SMALL


WHOLE = '{"Id":1,"inner":{"text":"é","ratio":2},"more":[{"text":""}],"named":{"b":1,"a":0.1},"kind":"a","size":"l"}'


@given(HOSTILE)
def test_a_hostile_value_that_is_skipped_is_what_the_codec_skips(value: str) -> None:
    body = f'{{"Id":1,"other":{value},"inner":{{"text":"x","more":{value}}}}}'.encode()
    agrees(Whole, body)
    agrees(Whole, body.replace(b"x", b"\xff"))
    agrees(Whole, body.replace(b"other", b"\xff"))


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        '{"inner":{"text":"\\u0000\\u001f\\/\\u00e9\\ud83d\\ude00","other":[1,{}]},"Id":-0,"x":1e400}',
        '{"Id":123456789012345678901234567890,"inner":{"text":"","ratio":1e-7}}',
        '{"Id":1,"inner":{"text":""},"more":[' + ",".join(['{"text":""}'] * 300) + "]}",
        '{"Id":1,"inner":{"text":""},"unknown":[' + ",".join(["{}"] * 300) + "]}",
        '{"Id":1,"inner":{"text":"' + "9" * 5_000 + '"},"unknown":"' + "x" * 5_000 + '"}',
    ],
)  # fmt: skip
def test_a_usual_body_takes_the_quick_way(body: str) -> None:
    assert agrees(Whole, body.encode())


@pytest.mark.parametrize(
    "unknown", ['"\xff"', "9" * 4_400, "[" * 250 + "]" * 250, '{"a":' * 250 + "1" + "}" * 250]
)
def test_a_member_that_is_not_json_for_the_codec_is_refused_although_it_is_not_declared(unknown: str) -> None:
    body = f'{{"Id":1,"inner":{{"text":""}},"unknown":{unknown}}}'.encode("latin-1")
    assert not agrees(Whole, body)
    with pytest.raises(ValueError):
        codec_of(Whole).decode(body)


class Checked(BaseModel):
    one: int

    @field_validator("one")
    @classmethod
    def positive(cls, value: int) -> int:
        return abs(value)


class CheckedWhole(BaseModel):
    one: int

    @model_validator(mode="after")
    def check(self) -> CheckedWhole:
        return self


class Printed(BaseModel):
    one: int

    @field_serializer("one")
    def text(self, value: int) -> str:
        return str(value)


class Computed(BaseModel):
    one: int

    @computed_field
    def two(self) -> int:
        return 2


class Posted(BaseModel):
    one: int

    def model_post_init(self, context: Any) -> None:
        self.one = 2


class Special(BaseModel):
    one: int

    def __eq__(self, other: object) -> bool:
        return True


class Made(BaseModel):
    one: int

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Private(BaseModel):
    one: int
    _two: int = PrivateAttr(2)


class Slots(BaseModel):
    __slots__ = ("other",)
    one: int


class Box(BaseModel, Generic[T]):
    one: T


class Base(BaseModel):
    one: int


class Derived(Base):
    two: int = 2


class Itself(BaseModel):
    one: list[Itself] = []


def model(**fields: Any) -> type[BaseModel]:
    return create_model("Fields", **fields)


@pytest.mark.parametrize(
    "declared",
    [
        Checked, CheckedWhole, Printed, Computed, Posted, Special, Made, Private, Slots, Box[int], Derived, Itself,
        RootModel[int],
        model(),
        *(
            model(one=(kind, ...))
            for kind in (
                Checked, list[Derived], Box[int], int | str, Any, datetime.date, set[int], dict[int, int], Literal[1],
                tuple[int, int], list, dict, Number, Loud,
            )
        ),
        *(
            model(one=(int, field))
            for field in (
                Field(gt=1), Field(strict=False), Field(exclude=True), Field(validation_alias="a"),
                Field(serialization_alias="a"), Field(validation_alias=AliasChoices("a", "b")), Field(alias='a"b'),
                Field(default_factory=lambda: 1), "x", 1.5, True,
            )
        ),
        model(one=(str, Field(max_length=1))),
        model(one=(float, Field(ge=0))),
        model(one=(list[int], Field(max_length=1))),
        model(one=(float, 1)),
        model(one=(float, float("nan"))),
        model(one=(str, "\ud800")),
        model(one=(list[int], [1])),
        model(one=(Base, Base(one=1))),
        *(
            create_model("Configured", __config__=config, one=(str, Field(alias="a")))
            for config in (
                ConfigDict(extra="allow"), ConfigDict(frozen=True), ConfigDict(str_strip_whitespace=True),
                ConfigDict(populate_by_name=True), ConfigDict(revalidate_instances="always"),
                ConfigDict(coerce_numbers_to_str=True), ConfigDict(str_max_length=3),
            )
        ),
    ],
)  # fmt: skip
def test_a_model_that_says_more_than_types_is_left_to_the_codec(declared: type[BaseModel]) -> None:
    assert compiled(declared) is None
