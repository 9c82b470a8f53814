from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from bff import DeclarationError, Download, Part, Ready, Redirect, Reply, Router, SetCookie, optional
from bff.calls.codec import codec_of
from bff.calls.codec.lazy import lazy_of
from bff.edge.reply import Renderer, returns_of
from bff.testing import request_context


class Note(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        ("__Host-bff", "x", {}),
        ("__Host-bff-session", "x", {}),
        ("bff", "x", {}),
        ("a b", "x", {}),
        ("", "x", {}),
        ("a", "x;y", {}),
        ("a", "x\r\nset-cookie: y=z", {}),
        ("a", "ä", {}),
        ("a", "x" * 4097, {}),
        ("a", "x", {"path": "x"}),
        ("a", "x", {"path": "/x; Domain=example.org"}),
        ("a", "x", {"same_site": "None"}),
    ],
)
def test_a_cookie_that_is_not_one_or_is_the_gateways_own_is_refused(
    name: str, value: str, more: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="cookie"):
        SetCookie(name, value, **more)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Set-Cookie", "a=b"),
        ("Content-Length", "1"),
        ("BFF-Complete", "true"),
        ("Vary", "*"),
        ("a b", "x"),
        ("a", "x\r\ny: z"),
        ("a", " x"),
        ("a", "x\x00"),
        ("a", "€"),
        ("Location", "/\\b.example"),
    ],
)
def test_a_header_that_is_not_one_or_is_the_gateways_own_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"header|location"):
        Reply(Note(text="x"), headers={name: value})


@pytest.mark.parametrize("status", [100, 199, 204, 205, 206, 300, 404, 500])
def test_a_status_that_says_something_else_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="status"):
        Reply(Note(text="x"), status)


def test_what_a_function_returns_is_read_from_its_annotation() -> None:
    assert (returns_of(Note, "x").model, returns_of(None, "x").is_empty) == (Note, True)
    both = returns_of(Reply[Note] | Redirect | None, "x")
    assert (both.model, both.reply, both.redirect) == (Note | None, True, True)
    assert returns_of(Reply[None], "x").is_empty and returns_of(Redirect, "x").is_empty
    with pytest.raises(DeclarationError, match="what the reply has in it"):
        returns_of(Reply, "x")


@pytest.mark.parametrize("result", [Reply(Note(text="x")), Redirect("/x"), Note(text="x")])
def test_a_result_that_the_annotation_does_not_name_is_a_bug(result: Any) -> None:
    nothing = Renderer(returns_of(type(None), "x"), (), "", "view /x")
    with pytest.raises(TypeError, match="view /x"):
        nothing.render(result)


def test_a_path_of_this_site_gets_the_prefix_of_the_public_address() -> None:
    renderer = Renderer(returns_of(Redirect, "x"), ("https://a.example",), "/shop", "view /x")
    assert renderer.render(Redirect("/basket")).headers == {"location": "/shop/basket"}
    assert renderer.render(Redirect("https://a.example/x", 307)).status == 307


def test_paths_in_a_link_get_the_prefix_of_the_public_address() -> None:
    renderer = Renderer(returns_of(Reply[Note], "x"), (), "/shop", "view /x")
    given = '</notes?page=2>; rel="next", <https://a.example/>; rel="help", <//b.example/>; rel="x"'
    written = renderer.render(Reply(Note(text="x"), headers={"Link": given})).headers["link"]
    assert written == given.replace("</notes", "</shop/notes")


@pytest.mark.parametrize("kind", ["part", "list", "dict", "reply"])
async def test_parts_outside_a_model_are_written_like_those_inside(kind: str) -> None:
    hints: dict[str, Any] = {
        "part": Part[Note],
        "list": list[Part[Note]],
        "dict": dict[str, Part[Note]],
        "reply": Reply[list[Part[Note]]],
    }
    renderer = Renderer(returns_of(hints[kind], "x"), (), "", "view /x")

    async def note() -> Note:
        return Note(text="a")

    with request_context({}):
        part = await optional(note())
    result: Any = {"part": part, "list": [part], "dict": {"a": part}, "reply": Reply([part])}[kind]
    written = b'{"state":"ready","data":{"text":"a"}}'
    framed = {"part": b"%s", "dict": b'{"a":%s}'}.get(kind, b"[%s]") % written
    assert renderer.render(result).body == framed


def test_the_location_of_a_new_thing_is_an_address_of_this_site_or_a_declared_one() -> None:
    renderer = Renderer(returns_of(Reply[Note], "x"), ("https://a.example",), "/shop", "command /x")

    def location(address: str) -> str:
        reply = Reply(Note(text="x"), 201, headers={"Location": address})
        return renderer.render(reply).headers["location"]

    assert location("/notes/7") == "/shop/notes/7"
    assert location("https://a.example/7") == "https://a.example/7"
    for other in ("https://b.example/7", "//b.example/7", "javascript:alert(1)"):
        with pytest.raises(ValueError, match="redirects"):
            location(other)


@pytest.mark.parametrize(
    ("filename", "media"),
    [
        ("", "text/csv"),
        ("a\r\nb", "text/csv"),
        ("x" * 256, "text/csv"),
        ("a", "text"),
        ("a", "text/csv\r\nx: y"),
        ("a", ""),
    ],
)
def test_a_download_needs_a_filename_and_a_media_type(filename: str, media: str) -> None:
    async def rows() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(ValueError, match=r"filename|media type"):
        Download(rows(), filename, media)


def test_a_filename_is_quoted() -> None:
    async def rows() -> AsyncIterator[bytes]:
        yield b""

    found = Download(rows(), 'a"; filename="b.exe', "text/csv", inline=True).disposition
    assert found.startswith('inline; filename="a__ filename=_b.exe"; filename*=UTF-8')


def test_only_a_view_may_return_a_download() -> None:
    async def export() -> Download:
        raise NotImplementedError

    with pytest.raises(DeclarationError, match="only a view"):
        Router().command("/x")(export)


class Item(BaseModel):
    id: int


class Items(BaseModel):
    first: Item
    more: list[Part[Item]]


@pytest.mark.parametrize(
    ("declared", "result"),
    [
        (Item, lambda item: item),
        (Item | None, lambda item: item),
        (Item | Redirect, lambda item: item),
        (Reply[Item], lambda item: Reply(item, 201)),
        (list[Part[Item]], lambda item: [Ready(data=item)]),
        (Items, lambda item: Items(first=item, more=[Ready(data=item)])),
    ],
)
def test_a_part_that_is_passed_on_is_never_filled(declared: Any, result: Any) -> None:
    item = codec_of(Item).decode_lazily(b'{"more":0,"id":1}')
    renderer = Renderer(returns_of(declared, "view"), (), "", "view")
    answer = renderer.render(result(item))
    assert lazy_of(item) is not None
    assert answer.body == renderer.render(result(Item(id=1))).body
    assert b'{"id":1}' in answer.body
