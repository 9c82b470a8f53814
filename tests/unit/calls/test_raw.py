"""A body that is passed on whole: every accepted body is JSON, and all its bytes arrive unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from bff import Call, Part, Raw, Ready, Upstream, optional
from bff.calls import Invalid
from bff.calls.codec import codec_of
from bff.cli.routes import passes_whole
from bff.testing import request_context
from bff.transport.response import decode
from bff.transport.wire import WireResponse


class Reviews(Upstream, team="Reviews", contact="#reviews"):
    def of(self, sku: str) -> Call[Raw]:
        return self.get("/reviews/{sku}", Raw, sku=sku)

    def count(self, sku: str) -> Call[int]:
        return self.get("/reviews/{sku}/count", int, sku=sku)


class Screen(BaseModel):
    name: str
    first: Raw
    more: list[Part[Raw]] = []


BODY = b'{ "price": 1.10, "big": 1e400,\n "n": 12345678901234567890, "e": "\\u00e9" }'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_every_byte_of_a_body_is_in_its_place() -> None:
    screen = Screen(name="x", first=Raw(BODY), more=[Ready(data=Raw(b"[1.0]")), Ready(data=Raw(b'"a"'))])
    assert codec_of(Screen).encode(screen) == (
        b'{"name":"x","first":'
        + BODY
        + b',"more":[{"state":"ready","data":[1.0]},{"state":"ready","data":"a"}]}'
    )


@given(st.text(), st.lists(JSON, max_size=5))
def test_a_screen_with_bodies_is_valid_json_with_their_values(name: str, values: list[Any]) -> None:
    bodies = [Raw(json.dumps(value).encode(errors="surrogatepass")) for value in values if _plain(value)]
    screen = Screen(name=name, first=Raw(b"0"), more=[Ready(data=body) for body in bodies])
    read = json.loads(codec_of(Screen).encode(screen))
    assert read["name"] == name
    assert [part["data"] for part in read["more"]] == [value for value in values if _plain(value)]


def _plain(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_an_accepted_body_is_json_for_a_stricter_parser_too(body: bytes) -> None:
    try:
        Raw(body)
    except ValueError:
        return

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(body.decode("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b'{"a":1,}', b"{} {}", b"nope", b'"\xff"', b'{"a":"\xc3"}', b"[NaN]", b'{"a":-Infinity}',
        b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 500 + b"1" + b"}" * 500, b'"\x01"', b"\xff\xfe{}",
    ],
)  # fmt: skip
def test_a_body_that_is_not_utf8_json_or_nested_too_deeply_is_invalid(body: bytes) -> None:
    with pytest.raises(ValueError):
        Raw(body)
    with pytest.raises(Invalid, match="not JSON"):
        decode(Reviews().of("x"), WireResponse(200, {"content-type": "application/json"}, body))


def test_nan_and_infinity_are_allowed_inside_a_text() -> None:
    assert Raw(b'{"a":"NaN and Infinity"}').value() == {"a": "NaN and Infinity"}


def test_a_raw_answer_needs_a_json_content_type_too() -> None:
    with pytest.raises(Invalid):
        decode(Reviews().of("x"), WireResponse(200, {"content-type": "text/html"}, b"{}"))


def test_raw_inside_a_services_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="whole answer"):
        Screen.model_validate_json(b'{"name":"x","first":{}}')


def test_a_value_of_another_type_than_the_declared_raw_is_not_written() -> None:
    with pytest.raises(PydanticSerializationError):
        codec_of(Screen).encode(Screen.model_construct(name="x", first={"secret": 1}))


def test_a_raw_body_can_be_read_compared_and_written_without_a_screen() -> None:
    one = Raw(b'{"a":1}')
    assert (one.value(), one, hash(one)) == ({"a": 1}, Raw(b'{"a":1}'), hash(Raw(b'{"a":1}')))
    assert one != Raw(b'{"a": 1}') and repr(one) == "Raw(7 bytes)"
    assert Screen(name="x", first=one).model_dump(mode="json")["first"] == {"a": 1}
    assert Screen.model_json_schema()["properties"]["first"]["description"]


async def test_a_test_may_answer_with_plain_values() -> None:
    reviews = Reviews()
    with request_context({"Reviews.of": {"stars": 5}}):
        part = await optional(reviews.of("x"))
    assert isinstance(part, Ready) and part.data == Raw(b'{"stars":5}')


def test_routes_know_which_calls_pass_whole() -> None:
    assert passes_whole(Reviews(), "of")
    assert not passes_whole(Reviews(), "count")
    assert not passes_whole(Reviews(), "none")
