"""A value that a call puts into a path or a query is spelled as in JSON, and names no other resource than its template
does.

Input: enums, times, None in a list, bytes, NaN, `../secret`, a placeholder that is never filled. Right: the table
"Values" in docs/contract.md; RFC 3986 section 5.2.4 (dot segments) and section 3.3 (what separates segments). A proxy
before a service decodes `..%2F` and goes up, so a value with a slash is refused unless the template says `{name:path}`
or `{name:escaped}`.
"""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, HttpUrl, SecretStr

from bff import Call, Gateway, Raw, Upstream
from bff.calls import DeclarationError, Refused

from ..waiting import GUARD
from .kit import answer, client, upstream


class Color(enum.StrEnum):
    RED = "red"


class Size(enum.Enum):
    SMALL = 1


AT = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


class Files(Upstream, team="Files", contact="#files"):
    def by(self, **data: Any) -> Call[Raw]:
        return self.get("/by", Raw, **data).public()

    def one(self, name: Any) -> Call[Raw]:
        return self.get("/files/{name}", Raw, name=name).public()

    def deep(self, name: Any) -> Call[Raw]:
        return self.get("/files/{name:path}", Raw, name=name).public()

    def escaped(self, name: Any) -> Call[Raw]:
        return self.get("/files/{name:escaped}/raw", Raw, name=name).public()

    def any(self, template: str, **data: Any) -> Call[Raw]:
        return self.get(template, Raw, **data).public()


files = Files()
gateway = Gateway("addresses", deadline=GUARD)


@gateway.view("/api/file/{name}", public=True)
async def file(name: str) -> Raw:
    return await files.one(name)


@gateway.view("/api/find", public=True)
async def find(
    words: Annotated[list[str], Field(alias="word")],
    limit: Annotated[int, Field(alias="max-items")] = 10,
    ratio: float | None = None,
    price: Decimal | None = None,
    on: bool = False,
    level: Literal[1, 2] | None = None,
    since: datetime.datetime | None = None,
) -> Raw:
    return await files.by(word=words, limit=limit, ratio=ratio, price=price, on=on, level=level, since=since)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Color.RED, "red"),
        (Size.SMALL, "1"),
        (AT, "2024-01-02T03:04:05Z"),
        (AT.date(), "2024-01-02"),
        (datetime.timedelta(minutes=5), "PT5M"),
        (b"ab", "ab"),
        (True, "true"),
        (1.5, "1.5"),
        (Decimal("1.10"), "1.10"),
        (12345678901234567890, "12345678901234567890"),
        (uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        (HttpUrl("http://a.example/x"), "http://a.example/x"),
    ],
)
def test_a_value_is_spelled_as_json_spells_it(value: Any, text: str) -> None:
    assert files.by(value=value).query == (("value", text),)
    assert files.by(value=[value, None, value]).query == (("value", text), ("value", text))
    assert files.by(value={value}).query == (("value", text),)
    assert files.by(value=None).query == ()
    assert files.any("/a/{value:escaped}", value=value).path.startswith("/a/")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), b"\xff", {"a": 1}, [[1]], SecretStr("x"), "\ud83d"]
)
def test_a_value_without_a_text_form_is_a_mistake_in_the_gateway(value: Any) -> None:
    with pytest.raises(DeclarationError, match="by: "):
        files.by(value=value)


def test_none_and_lists_are_refused_in_a_path() -> None:
    for value in (None, ["a"], {}):
        with pytest.raises(DeclarationError, match="one: "):
            files.one(value)


@pytest.mark.parametrize(
    "template",
    [
        "/a/{never}",
        "/a/{skuId}",
        "/a/{0}",
        "/a/{}",
        "/a/{a b}",
        "/a/{sku",
        "/a/sku}",
        "/{sku}/{sku}",
        "/{sku:int}",
    ],
)
def test_a_placeholder_that_is_never_filled_is_a_declaration_error(template: str) -> None:
    with pytest.raises(DeclarationError):
        files.any(template, sku="x")


def test_a_placeholder_may_be_named_as_any_argument() -> None:
    assert files.any("/a/{skuId}", skuId="x").path == "/a/x"


NAMES_ANOTHER = [
    "../secret",
    "..",
    ".",
    "",
    "a/b",
    "/",
    "a/",
    "\\",
    "..\\x",
    "a\x00b",
    "a\nb",
    "a\x7f",
    "a\x85",
    "\u2028",
]


@pytest.mark.parametrize("value", NAMES_ANOTHER)
def test_a_value_that_would_name_another_resource_is_refused(value: str) -> None:
    with pytest.raises(Refused) as raised:
        files.one(value)
    assert raised.value.status == 404
    assert value == "" or value not in raised.value.detail or value in "./"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b c", "/files/a/b%20c"),
        ("a", "/files/a"),
        ("a%2Fb", "/files/a%252Fb"),
        ("a?b#c", "/files/a%3Fb%23c"),
    ],
)
def test_a_call_opts_into_several_segments(value: str, path: str) -> None:
    assert files.deep(value).path == path


@pytest.mark.parametrize("value", ["a/../b", "..", "a/..", "./a", "a\\..\\b", "a/\x00", "a/..;x/b", ""])
def test_no_option_accepts_dot_segments_or_control_characters(value: str) -> None:
    for call in (files.deep, files.escaped):
        with pytest.raises(Refused):
            call(value)


@pytest.mark.parametrize("value", ["a//b", "/a", "a/"])
def test_an_empty_segment_is_refused(value: str) -> None:
    with pytest.raises(Refused):
        files.deep(value)


def test_a_call_opts_into_an_escaped_slash() -> None:
    assert files.escaped("group/project").path == "/files/group%2Fproject/raw"


async def test_input_of_a_browser_cannot_reach_another_path(redis_url: str) -> None:
    async with (
        upstream(answer(b"{}")) as server,
        client(gateway, redis_url, {"files": server.port}) as http,
    ):
        assert (await http.get("/api/file/..%5Csecret")).status_code == 404
        assert (await http.get("/api/file/a%09b")).status_code in (400, 404)
        assert (await http.get("/api/file/a%25b")).status_code == 200
    assert [head.split(b" ")[1] for head in server.requests] == [b"/files/a%25b"]


async def test_parameters_have_aliases_and_are_parsed_by_the_same_table(redis_url: str) -> None:
    async with (
        upstream(answer(b"{}")) as server,
        client(gateway, redis_url, {"files": server.port}) as http,
    ):
        good = "/api/find?word=x&word=y&max-items=3&ratio=1.5&price=1.10&on=true&level=2&since=2024-01-02T03:04:05.10Z"
        assert (await http.get(good)).status_code == 200
        document = (await http.get("/openapi.json")).json()
        for wrong in (
            "ratio=NaN", "ratio=inf", "ratio=1e400", "ratio=9007199254740993", "max-items=1.0", "max-items=1_0",
            "max-items=%201", "on=yes", "on=1", "price=NaN", "price=1,5", "level=true", "level=1.0", "since=1700000000",
        ):  # fmt: skip
            answered = await http.get(f"/api/find?word=x&{wrong}")
            assert answered.status_code == 422, wrong
            assert [error["pointer"] for error in answered.json()["errors"]] == [
                "/" + wrong.partition("=")[0]
            ]
        assert (await http.get("/api/find?words=x")).status_code == 422
    assert server.requests[0].split(b" ")[1] == (
        b"/by?word=x&word=y&limit=3&ratio=1.5&price=1.10&on=true&level=2&since=2024-01-02T03%3A04%3A05.10Z"
    )
    names = [one["name"] for one in document["paths"]["/api/find"]["get"]["parameters"]]
    assert names[:2] == ["word", "max-items"]
