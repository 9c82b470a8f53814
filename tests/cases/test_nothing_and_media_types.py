"""What counts as a JSON answer: an empty body, a byte order mark, unusual media types.

Input: 204 and empty bodies for calls whose model allows None; `text/json`, no content type, `text/plain`, a BOM.
Before: 502 `invalid` for all of them.
Right: the section "Answers of services" of docs/contract.md. RFC 8259 section 8.1 lets a reader ignore a BOM; RFC 9110
section 8.3 lets it inspect content without a type.
"""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Part, Raw, Upstream, optional
from bff.calls import DeclarationError

from ..waiting import GUARD
from .kit import answer, client, upstream


class Pref(BaseModel):
    theme: str


class Service(Upstream, team="Service", contact="#service"):
    def pref(self) -> Call[Pref | None]:
        return self.get("/pref", Pref | None).public()

    def sure(self) -> Call[Pref]:
        return self.get("/pref", Pref).public()

    def whole(self) -> Call[Raw]:
        return self.get("/pref", Raw).public()

    def perhaps(self) -> Call[Raw | None]:
        return self.get("/pref", Raw | None).public()

    def plain(self) -> Call[Pref]:
        return self.get("/pref", Pref).public().media_types("text/plain", "")


service = Service()
gateway = Gateway("media", deadline=GUARD)


class Screen(BaseModel):
    pref: Part[Pref | None]
    raw: Part[Raw]


@gateway.view("/api/pref", public=True)
async def pref() -> Pref | None:
    return await service.pref()


@gateway.view("/api/sure", public=True)
async def sure() -> Pref:
    return await service.sure()


@gateway.view("/api/whole", public=True)
async def whole() -> Raw:
    return await service.whole()


@gateway.view("/api/perhaps", public=True)
async def perhaps() -> Raw | None:
    return await service.perhaps()


@gateway.view("/api/plain", public=True)
async def plain() -> Pref:
    return await service.plain()


@gateway.view("/api/screen", public=True)
async def screen() -> Screen:
    return Screen(pref=await optional(service.pref()), raw=await optional(service.whole()))


async def given(redis_url: str, path: str, bytes_: bytes) -> tuple[int, bytes]:
    async with (
        upstream(bytes_) as server,
        client(gateway, redis_url, {"service": server.port}) as http,
    ):
        response = await http.get(path)
    return response.status_code, response.content


NOTHING = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    answer(b""),
    answer(b"", media=None),
    answer(b"", media="text/html"),
    answer(b"", status="202 Accepted"),
]


@pytest.mark.parametrize("nothing", NOTHING)
async def test_an_empty_body_is_none_where_the_model_allows_it(redis_url: str, nothing: bytes) -> None:
    assert await given(redis_url, "/api/pref", nothing) == (200, b"null")
    assert await given(redis_url, "/api/perhaps", nothing) == (200, b"null")
    status, body = await given(redis_url, "/api/screen", nothing)
    assert status == 200 and b'"pref":{"state":"ready","data":null}' in body
    assert b'"reason":"invalid"' in body, "Raw needs a body"


@pytest.mark.parametrize("nothing", NOTHING)
async def test_an_empty_body_is_invalid_where_the_model_does_not_allow_none(
    redis_url: str, nothing: bytes
) -> None:
    for path in ("/api/sure", "/api/whole"):
        status, body = await given(redis_url, path, nothing)
        assert status == 502 and b'"code":"invalid"' in body


GOOD = b'{"theme":"dark"}'


@pytest.mark.parametrize(
    "media",
    [
        None,
        "application/json",
        "text/json",
        "Text/JSON; charset=utf-8",
        "application/hal+json",
        "application/json;v=2",
    ],
)
async def test_json_under_its_usual_media_types_is_read(redis_url: str, media: str | None) -> None:
    for path in ("/api/sure", "/api/whole", "/api/pref", "/api/perhaps"):
        assert await given(redis_url, path, answer(GOOD, media=media)) == (200, GOOD)


@pytest.mark.parametrize(
    "media", ["text/plain", "text/html", "application/octet-stream", "application/jsonp", "json"]
)
async def test_json_under_another_media_type_is_invalid(redis_url: str, media: str) -> None:
    for path in ("/api/sure", "/api/whole"):
        status, body = await given(redis_url, path, answer(GOOD, media=media))
        assert status == 502 and b'"code":"invalid"' in body


async def test_a_call_may_list_the_media_types_that_it_accepts(redis_url: str) -> None:
    assert await given(redis_url, "/api/plain", answer(GOOD, media="text/plain; charset=utf-8")) == (
        200,
        GOOD,
    )
    assert await given(redis_url, "/api/plain", answer(GOOD, media=None)) == (200, GOOD)
    assert (await given(redis_url, "/api/plain", answer(GOOD)))[0] == 502
    with pytest.raises(DeclarationError):
        service.sure().media_types()


@pytest.mark.parametrize("path", ["/api/sure", "/api/whole", "/api/pref", "/api/perhaps"])
async def test_a_byte_order_mark_is_ignored_and_not_passed_on(redis_url: str, path: str) -> None:
    assert await given(redis_url, path, answer(b"\xef\xbb\xbf" + GOOD)) == (200, GOOD)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
async def test_json_is_in_utf_8(redis_url: str, encoding: str) -> None:
    status, body = await given(redis_url, "/api/sure", answer('{"theme":"dünkel"}'.encode(encoding)))
    assert status == 502 and b'"code":"invalid"' in body


async def test_raw_passes_a_lone_surrogate_as_it_is(redis_url: str) -> None:
    body = rb'{"theme":"\ud83d"}'
    assert await given(redis_url, "/api/whole", answer(body)) == (200, body)
    assert await given(redis_url, "/api/sure", answer(body)) == (200, '{"theme":"\ufffd"}'.encode())
