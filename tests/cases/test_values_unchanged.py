"""A value of a service's answer leaves the gateway unchanged, or the part fails and says so.

Input: answers with aliases, long numbers, unusual spellings of times and addresses, sets, lone surrogates, NaN, numbers
that no double holds, and values of a wrong JSON type. Right: the table "Values" in docs/contract.md. Its sources are
RFC 8259 (section 6: numbers have no bound, NaN and Infinity are no numbers; section 8.2: lone surrogates), RFC 3339,
and JSON Schema as `/openapi.json` prints it.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import pathlib
import uuid
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, HttpUrl, RootModel

from bff import Call, Gateway, Part, Upstream, optional

from ..waiting import GUARD
from .kit import answer, client, upstream


class Level(IntEnum):
    LOW = 1


class Mixed(Enum):
    ONE = 1
    WORD = "word"


class Inner(BaseModel):
    unit_price: Decimal = Field(alias="unitPrice")
    at: datetime.datetime | None = None


class Everything(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    line_total: float | None = Field(None, alias="lineTotal")
    count: int | None = None
    exact: Decimal | None = None
    flag: bool | None = None
    text: str | None = None
    at: datetime.datetime | None = None
    day: datetime.date | None = None
    clock: datetime.time | None = None
    lasts: datetime.timedelta | None = None
    id: uuid.UUID | None = None
    url: HttpUrl | None = None
    other: AnyUrl | None = None
    ip: ipaddress.IPv6Address | None = None
    net: ipaddress.IPv4Network | None = None
    path: pathlib.PurePosixPath | None = None
    tags: set[str] | None = None
    frozen: frozenset[int] | None = None
    pair: tuple[int, str] | None = None
    level: Level | None = None
    mixed: Mixed | None = None
    word: Literal[1, "one"] | None = None
    inner: Inner | None = None
    inners: dict[str, list[Inner]] | None = None
    names: dict[int, float] | None = None
    anything: Any = None
    short: Annotated[float, Field(ge=0, le=1e300)] | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Lone(BaseModel):
    price: float | None = None
    name: str | None = None


class Screen(BaseModel):
    part: Part[Everything]


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def everything(self) -> Call[Everything]:
        return self.get("/everything", Everything).public()

    def open(self) -> Call[Open]:
        return self.get("/open", Open).public()

    def lone(self) -> Call[Lone]:
        return self.get("/lone", Lone).public()

    def list(self) -> Call[RootModel[list[Decimal]]]:
        return self.get("/list", RootModel[list[Decimal]]).public()


shelf = Shelf()
gateway = Gateway("values", deadline=GUARD)


@gateway.view("/api/everything", public=True)
async def everything() -> Everything:
    return await shelf.everything()


@gateway.view("/api/open", public=True)
async def open_model() -> Open:
    return await shelf.open()


@gateway.view("/api/lone", public=True)
async def lone() -> Lone:
    return await shelf.lone()


@gateway.view("/api/list", public=True)
async def listed() -> RootModel[list[Decimal]]:
    return await shelf.list()


@gateway.view("/api/part", public=True)
async def part() -> Screen:
    return Screen(part=await optional(shelf.everything()))


async def given(redis_url: str, path: str, body: bytes) -> tuple[int, bytes]:
    async with (
        upstream(answer(body)) as server,
        client(gateway, redis_url, {"shelf": server.port}) as http,
    ):
        response = await http.get(path)
    return response.status_code, response.content


UNCHANGED = [
    '"lineTotal":1.5',
    '"lineTotal":0.1',
    '"lineTotal":-0.0',
    '"lineTotal":5e-324',
    '"lineTotal":1.7976931348623157e308',
    '"lineTotal":9007199254740992',
    '"count":123456789012345678901234567890',
    '"exact":1.10',
    '"exact":12345678901234567.89',
    '"exact":-0.000000000000000000000000000000001',
    '"exact":"19.90"',
    '"flag":true',
    '"text":"\\u00e9\\ud83d\\ude00"',
    '"text":"NaN and -Infinity"',
    '"at":"2024-01-02T03:04:05Z"',
    '"at":"2024-01-02 03:04:05.1234567+00:00"',
    '"at":"2024-01-02T03:04:05+05:30"',
    '"at":"2024-01-02T03:04:05"',
    '"day":"2024-02-29"',
    '"clock":"03:04"',
    '"lasts":"P1DT0S"',
    '"lasts":"00:05:00"',
    '"id":"6BA7B810-9DAD-11D1-80B4-00C04FD430C8"',
    '"url":"HTTP://Example.com"',
    '"url":"https://exämple.com/a b"',
    '"other":"MAILTO:a@b.example"',
    '"ip":"2001:0DB8::0001"',
    '"net":"10.0.0.0/255.0.0.0"',
    '"path":"a//b/./c"',
    '"tags":["z","a","m"]',
    '"frozen":[3,1,2]',
    '"pair":[1,"a"]',
    '"level":1',
    '"mixed":1',
    '"mixed":"word"',
    '"word":1',
    '"inner":{"unitPrice":2.50,"at":"2024-01-02t03:04:05z"}',
    '"inners":{"b":[{"unitPrice":1.0,"at":null}],"a":[]}',
    '"names":{"2":1.5,"1":2.5}',
    '"anything":{"b":[1.5,true,null,"x"],"a":123456789012345678901}',
    '"anything":"2024-01-02 03:04:05"',
    '"short":1e20',
]


@pytest.mark.parametrize("member", UNCHANGED)
async def test_a_value_leaves_unchanged(redis_url: str, member: str) -> None:
    body = ("{" + member + "}").encode()
    for path in ("/api/everything", "/api/part"):
        status, got = await given(redis_url, path, body)
        assert status == 200, got
        document = json.loads(got, parse_float=_number)
        found = document["part"]["data"] if path == "/api/part" else document
        ((name, value),) = json.loads(body, parse_float=_number).items()
        assert found[name] == value and type(found[name]) in (type(value), _Double)
        if name in ("exact", "inner", "inners"):
            assert member.encode() in got


class _Double(float):
    """A number with a fraction or an exponent; equal to every number that is the same double."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and repr(float(self)) == repr(float(other))

    __hash__ = float.__hash__


def _number(text: str) -> _Double:
    return _Double(text)


INVALID = [
    '"lineTotal":NaN',
    '"lineTotal":-Infinity',
    '"lineTotal":1e400',
    '"lineTotal":-1E+400',
    '"lineTotal":"NaN"',
    '"lineTotal":"1.5"',
    '"lineTotal":true',
    '"lineTotal":9007199254740993',
    '"lineTotal":1' + "0" * 400,
    '"line_total":NaN',
    '"not_declared":NaN',
    '"not_declared":[1,{"a":-Infinity}]',
    '"count":1.0',
    '"count":"1"',
    '"count":true',
    '"count":1e3',
    '"exact":NaN',
    '"exact":"NaN"',
    '"exact":"1,5"',
    '"exact":true',
    '"flag":1',
    '"flag":"yes"',
    '"text":1',
    '"at":1700000000',
    '"at":"1700000000"',
    '"at":"2024-01-02"',
    '"at":"yesterday"',
    '"day":"2024-02-29T00:00:00"',
    '"lasts":5',
    '"id":1',
    '"url":"no url"',
    '"ip":1',
    '"tags":["a","b","a"]',
    '"tags":"a"',
    '"level":true',
    '"level":1.0',
    '"level":"1"',
    '"mixed":true',
    '"word":true',
    '"word":"1"',
    '"inner":{"unit_price":1}',
    '"inners":{"a":[{"unitPrice":NaN}]}',
    '"names":{"01":1.5}',
    '"names":{"1":1e999}',
    '"anything":1e400',
    '"anything":[{"a":-1e400}]',
    '"anything":NaN',
    '"short":9007199254740993',
]


@pytest.mark.parametrize("member", INVALID)
async def test_a_value_that_cannot_leave_unchanged_is_invalid(redis_url: str, member: str) -> None:
    body = ("{" + member + "}").encode()
    status, got = await given(redis_url, "/api/everything", body)
    assert (status, json.loads(got)["code"]) == (502, "invalid")
    status, got = await given(redis_url, "/api/part", body)
    missing = json.loads(got)["part"]
    assert (status, missing["state"], missing["reason"]) == (200, "missing", "invalid")


async def test_undeclared_members_that_a_model_allows_follow_the_same_rules(redis_url: str) -> None:
    body = b'{"name":"x","more":{"b":1.5,"a":[1,2]}}'
    assert await given(redis_url, "/api/open", body) == (200, body)
    for number in (b"NaN", b"1e400", b"[-1e400]"):
        status, got = await given(redis_url, "/api/open", b'{"name":"x","more":' + number + b"}")
        assert (status, json.loads(got)["code"]) == (502, "invalid")


async def test_a_lone_surrogate_becomes_one_replacement_character(redis_url: str) -> None:
    body = rb'{"name":"a\ud83d|\ude00|\ud83d\ude00|\\ud83d","price":1.5}'
    status, got = await given(redis_url, "/api/lone", body)
    assert (status, json.loads(got)) == (200, {"name": "a\ufffd|\ufffd|\U0001f600|\\ud83d", "price": 1.5})


async def test_decimals_at_the_top_level_have_every_digit(redis_url: str) -> None:
    body = b"[1.0,1.00,100,1.000000000000000000000000000000001]"
    assert await given(redis_url, "/api/list", body) == (200, body)


async def test_member_names_are_those_of_the_description(redis_url: str) -> None:
    async with client(gateway, redis_url, {"shelf": 1}) as http:
        document = (await http.get("/openapi.json")).json()
    promised = document["components"]["schemas"]["Everything"]["properties"]
    status, got = await given(redis_url, "/api/everything", b"{}")
    assert status == 200
    assert list(json.loads(got)) == list(promised)
