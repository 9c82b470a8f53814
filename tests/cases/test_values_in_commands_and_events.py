"""The rule for values holds everywhere: bodies of commands, bodies to services, events, replays, answers in tests.

Input: numbers of many digits, decimals, NaN, unusual spellings of times. Right: the table "Values" in docs/contract.md.
"""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from bff import Call, Ready, SagaStatus, Upstream, optional
from bff.calls.codec import codec_of
from bff.edge.bind import binding
from bff.edge.problem import Problem
from bff.live.ingest.events import BadEvent, Registry, SagaEvent, ValueEvent
from bff.testing import request_context
from tests.declarations import request_of


class Line(BaseModel):
    unit_price: Decimal = Field(alias="unitPrice")
    at: datetime.datetime
    weight: float = 0.0


class SignUp(BaseModel):
    name: str
    password: SecretStr


class Order(SagaStatus):
    data: Line | None = None


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def make(self, line: Any) -> Call[Line]:
        return self.post("/lines", Line, line)

    def read(self) -> Call[Line]:
        return self.get("/line", Line)


shelf = Shelf()
LINE = b'{"unitPrice":12345678901234567.890,"at":"2024-01-02 03:04:05.10Z","weight":0.1}'


async def command(line: Line) -> Line:
    """The body as a gateway declares it."""
    return line


bound = binding(command, "/api/lines", "command /api/lines", body=True)


def test_the_body_of_a_command_is_read_and_sent_on_unchanged() -> None:
    line = bound.arguments(request_of(), LINE, None)["line"]
    assert shelf.make(line).body == LINE
    assert shelf.make({"one": line, "more": [line]}).body == b'{"one":%b,"more":[%b]}' % (LINE, LINE)
    assert codec_of(bound.returns.model).encode(line) == LINE


@pytest.mark.parametrize(
    "body",
    [
        b'{"unitPrice":NaN,"at":"2024-01-02T03:04:05Z"}',
        b'{"unitPrice":1,"at":"2024-01-02T03:04:05Z","weight":1e400}',
        b'{"unitPrice":1,"at":"2024-01-02T03:04:05Z","weight":9007199254740993}',
        b'{"unitPrice":1,"at":"2024-01-02T03:04:05Z","more":Infinity}',
        b'{"unitPrice":true,"at":"2024-01-02T03:04:05Z"}',
        b'{"unitPrice":1,"at":1700000000}',
        b'{"unit_price":1,"at":"2024-01-02T03:04:05Z"}',
        b"",
        b"{",
        b'"\xff"',
        b"[" * 5_000,
    ],
)
def test_an_invalid_body_of_a_command_is_422_with_pointers(body: bytes) -> None:
    with pytest.raises(Problem) as raised:
        bound.arguments(request_of(), body, None)
    assert raised.value.status == 422 and raised.value.errors


def test_computed_values_are_printed_in_one_way() -> None:
    line = Line(unitPrice=Decimal("1.50") * 2, at=datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC))
    printed = b'{"unitPrice":3.00,"at":"2024-01-02T00:00:00Z","weight":0.0}'
    assert shelf.make(line).body == codec_of(Line).encode(line) == printed
    assert shelf.make({"z": {3, 1, 2}, "a": Decimal("1E+2"), "t": line.at}).body == (
        b'{"z":[1,2,3],"a":100,"t":"2024-01-02T00:00:00Z"}'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_nan_and_infinity_are_never_sent(number: Any) -> None:
    with pytest.raises(ValueError):
        shelf.make({"price": number})
    with pytest.raises(ValueError):
        codec_of(Any).encode([number])


def test_a_secret_in_a_body_is_the_secret_and_in_an_answer_is_not() -> None:
    given = SignUp(name="ada", password=SecretStr("hunter2"))
    assert json.loads(shelf.make(given).body or b"")["password"] == "hunter2"
    assert b"hunter2" not in codec_of(SignUp).encode(given)
    with pytest.raises(ValueError):
        shelf.make({"password": given.password})


registry = Registry({"order": Order}, {"line": Line})


def event(type: str, data: bytes) -> bytes:
    return (
        b'{"specversion":"1.0","id":"1","source":"/s","type":"%b","subject":"7","sequence":"3","data":%b}'
        % (type.encode(), data)
    )


def test_values_in_events_are_unchanged() -> None:
    body = b'{"owner":"i|ada","status":"RUNNING","at":"2024-01-02T03:04:05Z","data":%b}' % LINE
    saga = registry.meaning(event("shop.order.status", body), now_ms=0)
    assert isinstance(saga, SagaEvent)
    assert b'"data":%b,' % LINE in saga.entry.body
    assert json.loads(saga.entry.body)["version"] == 3
    value = registry.meaning(event("shop.line.value", b'{"version":3,"at":"now","data":%b}' % LINE), now_ms=0)
    assert isinstance(value, ValueEvent)
    assert value.data.body == LINE


@pytest.mark.parametrize(
    "data",
    [
        b'{"version":3,"at":"now","data":{"unitPrice":NaN,"at":"2024-01-02T03:04:05Z"}}',
        b'{"version":3,"at":"now","data":{"unitPrice":1,"at":"2024-01-02T03:04:05Z","weight":"1"}}',
        b'{"version":"3","at":"now","data":null}',
        b'{"version":true,"at":"now","data":null}',
    ],
)
def test_an_event_that_does_not_fit_the_model_is_refused(data: bytes) -> None:
    with pytest.raises(BadEvent):
        registry.meaning(event("shop.line.value", data), now_ms=0)


async def test_answers_in_tests_follow_the_same_rule() -> None:
    with request_context({"Shelf.read": LINE}):
        line = await shelf.read()
    assert codec_of(Line).encode(line) == LINE
    with (
        request_context({"Shelf.read": {"unitPrice": "yes", "at": "2024-01-02T03:04:05Z"}}),
        pytest.raises(ValueError),
    ):
        await shelf.read()
    with request_context({"Shelf.read": line}):
        part = await optional(shelf.read())
    assert part == Ready(data=line)
