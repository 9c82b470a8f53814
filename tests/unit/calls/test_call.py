from __future__ import annotations

import pytest
from pydantic import BaseModel

from bff import Call, DeclarationError, Upstream
from bff.calls import NoRequestContext, Refused


class Thing(BaseModel):
    name: str


class Store(Upstream, team="Store", contact="#store", docs="https://example.org/store"):
    def thing(self, name: str) -> Call[Thing]:
        return self.get("/things/{name}", Thing, name=name)

    def search(self, words: list[str], limit: int | None = None) -> Call[list[Thing]]:
        return self.get("/things", list[Thing], word=words, limit=limit)

    def maybe(self, name: str) -> Call[Thing | None]:
        return self.get("/maybe/{name}", Thing | None, name=name)

    def make(self, thing: Thing) -> Call[Thing]:
        return self.post("/things", Thing, thing, dry=True)


store = Store()


def test_a_call_is_a_value_that_compares_by_what_it_sends() -> None:
    assert store.thing("a") == store.thing("a")
    assert store.thing("a") != store.thing("b")
    assert store.thing("a") != store.thing("a").fresh(30)
    assert len({store.thing("a"), store.thing("a"), store.thing("b")}) == 2


def test_a_call_knows_its_name_and_owner() -> None:
    call = store.thing("a")
    assert call.name == "Store.thing"
    assert call.owner.as_dict() == {
        "service": "store",
        "team": "Store",
        "contact": "#store",
        "docs": "https://example.org/store",
    }


def test_path_parameters_are_percent_encoded_whole() -> None:
    assert store.thing("a&b c?d%2F").path == "/things/a%26b%20c%3Fd%252F"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../secret", "a\\b", "a\x00", "a\x85b", "..;x", "\ud800"]
)
def test_a_segment_that_would_change_the_path_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="There is no such name") as raised:
        store.thing(name)
    assert (raised.value.status, raised.value.owner.team) == (404, "Store")


def test_other_arguments_become_the_query_in_order_with_lists_repeated_and_none_left_out() -> None:
    assert store.search(["x", "y"]).query == (("word", "x"), ("word", "y"))
    assert store.search([], 3).query == (("limit", "3"),)


def test_a_body_is_encoded_when_the_call_is_made_and_keywords_become_the_query() -> None:
    call = store.make(Thing(name="n"))
    assert call.body == b'{"name":"n"}'
    assert call.query == (("dry", "true"),)


def test_options_return_a_new_call_and_do_not_change_the_old_one() -> None:
    call = store.thing("a")
    assert call.fresh(5).public().within(0.2) != call
    assert (call.freshness, call.shared, call.timeout) == (None, False, None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: store.make(Thing(name="n")).fresh(1),
        lambda: store.make(Thing(name="n")).public(),
        lambda: store.thing("a").keyed("k"),
        lambda: store.thing("a").fresh(0),
        lambda: store.thing("a").within(-1),
        lambda: store.make(Thing(name="n")).keyed("line\nbreak"),
    ],
)
def test_invalid_options_are_refused_with_the_name_of_the_call(spoil: object) -> None:
    with pytest.raises(DeclarationError, match=r"Store\."):
        spoil()  # type: ignore[operator]


def test_an_upstream_without_an_owner_cannot_be_declared() -> None:
    with pytest.raises(DeclarationError, match="Nameless names no owner"):

        class Nameless(Upstream):
            pass


async def test_awaiting_a_call_outside_a_request_says_what_is_missing() -> None:
    with pytest.raises(NoRequestContext, match="inside a view"):
        await store.thing("a")
