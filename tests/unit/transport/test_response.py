from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from bff import Call, Upstream
from bff.calls import Failed, Invalid, Overloaded, Refused, UpstreamError
from bff.transport.problem_details import MAX_BODY
from bff.transport.response import decode
from bff.transport.wire import WireResponse


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, model: Any = Thing) -> Call[Any]:
        return self.get("/thing", model)


JSON = {"content-type": "application/json"}
call = Shelf().thing()


def answer(status: int, body: bytes = b"{}", **headers: str) -> WireResponse:
    return WireResponse(
        status, JSON | {name.replace("_", "-"): value for name, value in headers.items()}, body
    )


def failure(status: int, body: bytes = b"{}", **headers: str) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        decode(call, answer(status, body, **headers))
    assert raised.value.call == "Shelf.thing"
    return raised.value


def test_a_2xx_is_decoded_as_its_model_or_none_without_a_model() -> None:
    assert decode(call, answer(200, b'{"name":"x","more":1}')) == Thing(name="x")
    assert decode(call, answer(201, b'{"name":"x"}', content_type="application/vnd.shop+json; charset=utf-8"))
    assert decode(Shelf().thing(None), answer(204, b"")) is None
    assert decode(Shelf().thing(list[Thing] | None), answer(200, b"null")) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"name":1}', b'{"title":"hunter2"}', b'"\xff"', b"[" * 20_000])
def test_a_body_that_does_not_fit_the_model_is_invalid_without_its_values(body: bytes) -> None:
    error = failure(200, body)
    assert isinstance(error, Invalid)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "media", ["text/html", "text/plain", "application/json5", "application/jsonx", "json"]
)
def test_a_success_that_is_not_json_is_invalid(media: str) -> None:
    assert isinstance(failure(200, b'{"name":"x"}', content_type=media), Invalid)


@given(st.integers(100, 599).filter(lambda status: not 200 <= status < 300))
def test_every_other_status_becomes_one_of_three_errors(status: int) -> None:
    error = failure(status)
    if status in (429, 503):
        assert isinstance(error, Overloaded)
    elif 400 <= status < 500:
        assert isinstance(error, Refused) and error.status == status
    else:
        assert isinstance(error, Failed) and error.status == status


@given(st.text(max_size=30))
def test_any_retry_after_is_none_or_within_bounds(value: str) -> None:
    error = failure(503, b"{}", retry_after=value)
    assert error.retry_after is None or 0 <= error.retry_after <= 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), (" 7 ", 7), ("999999999999", 3600), ("-1", None), ("x", None), ("²", None)],
)
def test_retry_after_in_seconds_is_capped_at_an_hour(value: str, seconds: float | None) -> None:
    assert failure(429, b"{}", retry_after=value).retry_after == seconds


def test_retry_after_may_be_a_date_and_a_past_date_is_zero() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True)
    found = failure(503, b"{}", retry_after=soon).retry_after
    assert found is not None and 80 < found <= 90
    assert failure(503, b"{}", retry_after=past).retry_after == 0


def test_the_problem_of_a_refusal_is_passed_on() -> None:
    refused = failure(
        409, b'{"code":"taken","detail":"Somebody was faster."}', content_type="application/problem+json"
    )
    assert isinstance(refused, Refused)
    assert (refused.problem["code"], refused.detail) == ("taken", "Somebody was faster.")


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"<html>hunter2", "text/html"),
        (b'["hunter2"]', "application/json"),
        (b"{hunter2", "application/json"),
        (b"[" * 15_000, "application/json"),
        (b'{"detail":"' + b"x" * MAX_BODY + b'"}', "application/json"),
    ],
)
def test_a_refusal_without_a_usable_problem_has_only_its_status(body: bytes, media: str) -> None:
    refused = failure(409, body, content_type=media)
    assert isinstance(refused, Refused)
    assert (dict(refused.problem), refused.detail) == ({}, "answered 409.")


def test_a_long_detail_is_cut() -> None:
    refused = failure(409, b'{"detail":"' + b"x" * 5_000 + b'"}')
    assert len(str(refused)) < 600


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Picky(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _picky(cls, name: str) -> str:
        if len(name) > 20:
            raise PydanticCustomError("too_long_for_me", "{name} is too long", {"name": name})
        raise ValueError(f"{name} is odd")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (Annotated[Cat | Dog, Field(discriminator="kind")], b'{"kind":"hunter2"}'),
        (Picky, b'{"name":"hunter2"}'),
        (Picky, b'{"name":"hunter2 hunter2 hunter2"}'),
        (Literal["a", "b"], b'"hunter2"'),
    ],
)
def test_a_validation_message_that_quotes_a_value_is_replaced(model: Any, body: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        decode(Shelf().thing(model), answer(200, body))
    assert "hunter2" not in str(raised.value)
