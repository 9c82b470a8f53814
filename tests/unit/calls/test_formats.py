"""`Json` as the body of a call: only what was set, of models at any depth, and another media type."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from bff import Call, Json, Upstream


class Line(BaseModel):
    sku: str
    note: str | None = None


class Change(BaseModel):
    title: str | None = None
    line: Line | None = None
    lines: list[Line] = []
    password: SecretStr | None = None


class Store(Upstream, team="Store", contact="#store"):
    def change(self, body: Json) -> Call[None]:
        return self.patch("/things", None, body)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Change(), b"{}"),
        (Change(title=None), b'{"title":null}'),
        (Change(line=Line(sku="a")), b'{"line":{"sku":"a"}}'),
        (
            Change(lines=[Line(sku="a"), Line(sku="b", note=None)]),
            b'{"lines":[{"sku":"a"},{"sku":"b","note":null}]}',
        ),
        ([Line(sku="a")], b'[{"sku":"a"}]'),
        ({"one": Line(sku="a"), "two": None}, b'{"one":{"sku":"a"},"two":null}'),
        (Change(password=SecretStr("hunter2")), b'{"password":"hunter2"}'),
        (3, b"3"),
    ],
)
def test_only_fields_that_were_set_are_sent(value: Any, sent: bytes) -> None:
    assert Store().change(Json(value, exclude_unset=True)).body == sent


def test_all_fields_are_sent_by_default_and_the_media_type_is_json() -> None:
    call = Store().change(Json(Line(sku="a")))
    assert (call.body, call.body_type) == (b'{"sku":"a","note":null}', "application/json")
    patch = Store().change(Json({}, media_type="application/merge-patch+json"))
    assert patch.body_type == "application/merge-patch+json"


def test_its_value_is_not_in_its_repr() -> None:
    assert "hunter2" not in repr(Json("hunter2"))
