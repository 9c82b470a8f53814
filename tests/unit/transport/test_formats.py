from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from bff import BYTES, JSON_LINES, TEXT, Bytes, Call, DeclarationError, Form, Invalid, Text, Upstream
from bff.calls import Deadline, RequestContext
from bff.transport.request import request_headers
from bff.transport.response import decode
from bff.transport.wire import WireResponse


class Row(BaseModel):
    id: int


class Files(Upstream, team="Files", contact="#files"):
    def send(self, body: Any) -> Call[None]:
        return self.post("/x", None, body)

    def text(self) -> Call[str]:
        return self.get("/x", str).answered(TEXT)

    def data(self) -> Call[bytes]:
        return self.get("/x", bytes).answered(BYTES)

    def rows(self) -> Call[list[Row]]:
        return self.get("/x", list[Row]).answered(JSON_LINES)

    def plain(self) -> Call[Row]:
        return self.get("/x", Row)


files = Files()


def sent(call: Call[Any]) -> dict[str, str]:
    request = RequestContext(Deadline.after(1), None, "id")  # type: ignore[arg-type]  # it runs no call
    return request_headers(call, request, 0.5)


@pytest.mark.parametrize(
    ("body", "media", "data"),
    [
        (
            Form(a="x y", b=[1, 2], c=None, d=True),
            "application/x-www-form-urlencoded",
            b"a=x+y&b=1&b=2&d=true",
        ),
        (Form({"grant-type": "x"}), "application/x-www-form-urlencoded", b"grant-type=x"),
        (Text("Grüße"), "text/plain; charset=utf-8", "Grüße".encode()),
        (Text("<a/>", "application/xml"), "application/xml", b"<a/>"),
        (Bytes(b"\x00", "image/png"), "image/png", b"\x00"),
        ({"a": 1}, "application/json", b'{"a":1}'),
    ],
)
def test_a_body_is_sent_in_its_format(body: Any, media: str, data: bytes) -> None:
    call = files.send(body)
    assert (call.body, sent(call)["content-type"]) == (data, media)


@pytest.mark.parametrize("body", [Text("\ud800")])
def test_a_body_that_cannot_be_written_is_a_declaration_error(body: Any) -> None:
    with pytest.raises(DeclarationError, match=r"Files\.send"):
        files.send(body)
    with pytest.raises(DeclarationError):
        Form(a={"x": 1})


def answer(body: bytes, media: str, status: int = 200) -> WireResponse:
    return WireResponse(status, {"content-type": media} if media else {}, body)


@pytest.mark.parametrize(
    ("call", "body", "media", "value"),
    [
        (files.text(), "Grüße".encode(), "text/plain", "Grüße"),
        (files.text(), "Grüße".encode("latin-1"), 'text/html; charset="ISO-8859-1"', "Grüße"),
        (files.text(), b"", "", ""),
        (files.data(), b"\x00\x01", "image/png", b"\x00\x01"),
        (files.data(), b"", "", b""),
        (files.rows(), b'{"id":1}\n\n{"id":2}\r\n', "application/x-ndjson", [Row(id=1), Row(id=2)]),
    ],
)
def test_an_answer_is_read_in_its_format(call: Call[Any], body: bytes, media: str, value: object) -> None:
    assert decode(call, answer(body, media)) == value


@pytest.mark.parametrize(
    ("call", "body", "media", "why"),
    [
        (files.text(), b"x", "application/json", "instead of text/plain"),
        (files.text(), b"\xff", "text/plain", "not in its charset"),
        (files.text(), b"x", "text/plain; charset=punycode", "is not read here"),
        (files.text(), b"x", "text/plain; charset=utf-9", "is not read here"),
        (files.rows(), b'{"id":1}\n{"id":', "application/x-ndjson", "not JSON"),
        (files.rows(), b'{"id":"secret"}', "application/x-ndjson", "does not fit its model"),
        (files.plain(), b"x", "text/plain", "instead of JSON"),
    ],
)
def test_an_answer_that_cannot_be_read_is_invalid_and_is_not_quoted(
    call: Call[Any], body: bytes, media: str, why: str
) -> None:
    with pytest.raises(Invalid, match=why) as raised:
        decode(call, answer(body, media))
    assert "secret" not in str(raised.value)


def test_a_model_that_a_format_cannot_give_is_a_declaration_error() -> None:
    for format in (TEXT, BYTES, JSON_LINES):
        with pytest.raises(DeclarationError, match=r"Files\.plain"):
            files.plain().answered(format)


@dataclass(frozen=True)
class Csv:
    """A format of a user."""

    accept: str = "text/csv"
    media: tuple[str, ...] = ("text/csv",)

    def check(self, model: Any) -> None:
        return

    def decode(self, model: Any, body: bytes, charset: str) -> Any:
        return [
            model.model_validate(dict(zip(["id"], line.split(","), strict=True)))
            for line in body.decode().split()
        ]


def test_a_format_of_a_user_is_a_port() -> None:
    call = files.plain().answered(Csv())
    assert sent(call)["accept"] == "text/csv"
    assert decode(call, answer(b"1\n2", "text/csv")) == [Row(id=1), Row(id=2)]
    with pytest.raises(Invalid):
        decode(call, answer(b"1,2", "text/csv"))
