from __future__ import annotations

import warnings

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from bff import Missing, Part, Ready, Stale
from bff.calls import CallTiming, OwnerInfo, RequestRecord
from bff.calls.codec import codec_of
from bff.edge.respond import MAX_TIMINGS, screen_headers


class Thing(BaseModel):
    name: str


class Detailed(Thing):
    secret: str = "hunter2"


class Screen(BaseModel):
    thing: Thing
    extra: Part[Thing]


def record(*seen: tuple[float | None, bool], missing: int = 0) -> RequestRecord:
    made = RequestRecord(missing=missing)
    for fresh, public in seen:
        made.add_answer(fresh=fresh, public=public)
    return made


@pytest.mark.parametrize(
    ("book", "public", "personal", "header"),
    [
        (record((30, True), (5, True)), True, False, "public, max-age=5"),
        (record((30, True), (0.9, True)), True, False, "public, max-age=0"),
        (record((30, True), (None, True)), True, False, "public, max-age=0"),
        (record(), True, False, "public, max-age=0"),
        (record((30, True), (30, False)), True, False, "private, no-cache"),
        (record((30, True)), True, True, "private, no-cache"),
        (record((30, True)), False, False, "private, no-cache"),
        (record((30, True), missing=1), True, False, "no-store"),
        (record((30, False), missing=1), False, True, "no-store"),
    ],
)
def test_cache_control_allows_no_more_than_the_strictest_part(
    book: RequestRecord, public: bool, personal: bool, header: str
) -> None:
    headers = screen_headers(book, public=public, personal=personal)
    assert headers["cache-control"] == header
    assert headers["bff-complete"] == ("false" if book.missing else "true")


def test_server_timing_names_calls_with_their_outcome_and_is_bounded() -> None:
    book = RequestRecord(timings=[CallTiming("A.x", 1.25, "ok"), CallTiming("B.y", 300.0, "timeout", 1.25)])
    timing = screen_headers(book, public=False, personal=False)["server-timing"]
    assert timing == 'A.x;dur=1.2;start=0.0, B.y;dur=300.0;start=1.2;desc="timeout"'
    book.timings = [CallTiming("A.x", 1.0, "ok")] * 500
    assert screen_headers(book, public=False, personal=False)["server-timing"].count("A.x") == MAX_TIMINGS
    assert "server-timing" not in screen_headers(RequestRecord(), public=False, personal=False)


def test_each_state_of_a_part_is_encoded_as_in_the_contract() -> None:
    thing = Thing(name="x")
    owner = OwnerInfo(service="s", team="t", contact="c")
    for part, written in (
        (Ready(data=thing), b'{"state":"ready","data":{"name":"x"}}'),
        (Stale(data=thing, age=2.5), b'{"state":"stale","data":{"name":"x"},"age":2.5}'),
        (
            Missing(reason="timeout", owner=owner),
            b'{"state":"missing","reason":"timeout","retry_after":null,'
            b'"owner":{"service":"s","team":"t","contact":"c","docs":""}}',
        ),
    ):
        screen = Screen(thing=thing, extra=part)
        assert codec_of(Screen).encode(screen) == b'{"thing":{"name":"x"},"extra":' + written + b"}"


def test_a_subclass_shows_only_the_declared_fields() -> None:
    assert codec_of(Thing).encode(Detailed(name="x")) == b'{"name":"x"}'
    assert b"hunter2" not in codec_of(list[Thing]).encode([Detailed(name="x")])


@pytest.mark.parametrize("wrong", [{"name": "x", "secret": "hunter2"}, "x", [Thing(name="x")]])
def test_a_result_of_another_type_than_declared_is_not_encoded(wrong: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(PydanticSerializationError):
            codec_of(Thing).encode(wrong)
