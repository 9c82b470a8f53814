"""Round trips over generated models and JSON texts: a text that is read and printed again is the same, or is
refused."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    RootModel,
    Tag,
    computed_field,
    create_model,
)
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from bff.calls.codec import codec_of, encode
from bff.calls.codec.spelling import spelling

ZONES = st.sampled_from(["", "Z", "+00:00", "-05:30"])
TYPES: dict[Any, st.SearchStrategy[str]] = {
    int: st.integers().map(str),
    float: st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers(-(2**53), 2**53).map(str),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=4).map(lambda one: format(one, "f")),
    bool: st.sampled_from(["true", "false"]),
    str: st.text().map(json.dumps),
    datetime.datetime: st.tuples(
        st.datetimes(min_value=datetime.datetime(1, 1, 2), max_value=datetime.datetime(9999, 12, 30)),
        st.sampled_from("T t"),
        ZONES,
    ).map(lambda one: json.dumps(one[0].isoformat(one[1]) + one[2])),
    datetime.date: st.dates().map(lambda one: json.dumps(one.isoformat())),
    uuid.UUID: st.uuids().flatmap(lambda one: st.sampled_from([str(one), str(one).upper(), one.hex])).map(json.dumps),
    set[int]: st.lists(st.integers(), unique=True).map(json.dumps),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ).map(json.dumps),
}  # fmt: skip


@st.composite
def models(draw: st.DrawFn) -> tuple[type[BaseModel], str]:
    """A model and a JSON text that fits it."""
    fields: dict[str, Any] = {}
    members = []
    for number in range(draw(st.integers(1, 5))):
        kind, text = draw(st.sampled_from(list(TYPES.items())))
        wrapped = draw(st.sampled_from(["plain", "list", "dict", "optional", "nothing"]))
        one = draw(text)
        match wrapped:
            case "list":
                kind, one = list[kind], f"[{one},{draw(text)}]"
            case "dict":
                kind, one = dict[str, kind], f'{{"b":{one},"a":{draw(text)}}}'
            case "optional":
                kind = kind | None if kind is not Any else Any
            case "nothing":
                kind, one = (kind | None if kind is not Any else Any), "null"
        fields[f"field_{number}"] = (kind, Field(alias=f"field{number}"))
        members.append(f'"field{number}":{one}')
    return create_model("Made", **fields), "{" + ",".join(members) + "}"


def exact(text: str | bytes) -> Any:
    return json.loads(text, parse_float=lambda digits: (float(digits), Decimal(digits)))


def same(one: Any, other: Any) -> bool:
    """Whether both are equal; a number with a fraction may be written in another way for the same double or Decimal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, tuple) or isinstance(other, tuple):
        first, second = (
            item if isinstance(item, tuple) else (float(item), Decimal(item)) for item in (one, other)
        )
        return first[0] == second[0]
    return type(one) is type(other) and bool(one == other)


@given(models())
def test_a_value_is_printed_as_it_was_read(made: tuple[type[BaseModel], str]) -> None:
    model, text = made
    codec = codec_of(model)
    printed = codec.encode(codec.decode(text.encode("utf-8", "surrogatepass")))
    assert same(exact(printed), exact(text)) or "\\ud" in text
    assert codec.encode(codec.decode(printed)) == printed


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_keep_their_digits(number: Decimal) -> None:
    codec = codec_of(Decimal)
    printed = codec.encode(codec.decode(str(number).encode()))
    assert Decimal(printed.decode()) == number
    if not number.as_tuple().exponent > 0:  # type: ignore[operator]  # it is finite
        assert Decimal(printed.decode()).as_tuple() == number.as_tuple()


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_random_bytes_are_read_or_refused_without_another_error(body: bytes) -> None:
    for model in (Any, Decimal, float, dict[str, Any], list[Decimal | str]):
        codec = codec_of(model)
        try:
            value = codec.decode(body)
        except (ValueError, RecursionError):
            continue
        json.loads(codec.encode(value))


class Animal(BaseModel):
    kind: str


class Cat(Animal):
    kind: Literal["cat"] = "cat"
    lives: Decimal


class Dog(Animal):
    kind: Literal["dog"] = "dog"
    bark: float


class Tree(BaseModel):
    at: datetime.datetime
    branches: list[Tree] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, Decimal]


class Alias(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    one: int = Field(validation_alias=AliasChoices("first", "uno"), serialization_alias="uno")
    own: Annotated[datetime.date, PlainSerializer(lambda day: day.year)]

    @computed_field
    def twice(self) -> Decimal:
        return Decimal("1.10") * 2


class Typed(TypedDict):
    price: Decimal
    when: datetime.time


@dataclass
class Data:
    price: Decimal
    tags: frozenset[str]


def _kind(value: Any) -> str:
    return str(value["kind"] if isinstance(value, dict) else value.kind)


TAGGED = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(_kind)]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Annotated[Cat | Dog, Field(discriminator="kind")], '{"kind":"cat","lives":9.00}'),
        (TAGGED, '{"kind":"cat","lives":9.0}'),
        (Cat | Dog, '{"kind":"dog","bark":0.5}'),
        (Tree, '{"at":"2024-01-02 00:00Z","branches":[{"at":"2024-01-02T00:00+00:00","branches":[]}]}'),
        (Open, '{"b":1.10,"a":2}'),
        (Typed, '{"price":1.10,"when":"03:04"}'),
        (Data, '{"price":1.10,"tags":["b","a"]}'),
        (RootModel[dict[str, list[Decimal]]], '{"b":[1.0],"a":[]}'),
        (tuple[Decimal, str, list[Tree]], '[1.10,"x",[]]'),
        (dict[uuid.UUID, datetime.timedelta], '{"6ba7b810-9dad-11d1-80b4-00c04fd430c8":"P1D"}'),
        (Decimal | None, "null"),
        (list[int | Decimal | str | None], '[1,1.10,"1.10",null]'),
    ],
)  # fmt: skip
def test_a_value_of_every_type_is_printed_as_it_was_read(model: Any, text: str) -> None:
    codec = codec_of(model)
    value = codec.decode(text.encode())
    assert codec.encode(value).decode() == text


def test_aliases_computed_fields_and_the_users_serializers_still_apply() -> None:
    codec = codec_of(Alias)
    for text in (
        b'{"first":1,"own":"2024-02-03"}',
        b'{"uno":1,"own":"2024-02-03"}',
        b'{"one":1,"own":"2024-02-03"}',
    ):
        assert codec.encode(codec.decode(text)) == b'{"uno":1,"own":2024,"twice":2.20}'


def test_a_value_that_the_view_did_not_change_is_printed_as_it_came() -> None:
    text = b'{"at":"2024-01-02 00:00:00Z","branches":[]}'
    tree = codec_of(Tree).decode(text)
    moved = Tree(at=tree.at, branches=[tree])
    assert encode(moved) == b'{"at":"2024-01-02 00:00:00Z","branches":[%b]}' % text
    assert encode({"any": tree.at, "tree": tree}) == b'{"any":"2024-01-02 00:00:00Z","tree":%b}' % text
    assert spelling(tree.at + datetime.timedelta(0)) is None
    assert spelling(tree.at.replace(year=2025)) is None
    for copied in (copy.deepcopy(tree.at), pickle.loads(pickle.dumps(tree.at))):
        assert copied == tree.at and type(copied) is datetime.datetime


def test_a_set_that_was_changed_is_sorted() -> None:
    codec = codec_of(set[str])
    value = codec.decode(b'["c","a","b"]')
    assert codec.encode(value) == b'["c","a","b"]'
    value.add("0")
    assert codec.encode(value) == b'["0","a","b","c"]'
    assert codec.encode({"b", "a"}) == b'["a","b"]'


def test_equal_unions_in_another_order_are_each_read_in_their_own_order() -> None:
    text = b'"2024-01-02T00:00:00Z"'
    assert isinstance(codec_of(datetime.datetime | str).decode(text), datetime.datetime)
    assert isinstance(codec_of(str | datetime.datetime).decode(text), str)
