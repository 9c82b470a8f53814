from __future__ import annotations

import pytest
from pydantic import BaseModel

from bff import Answer, Call, DeclarationError, Upstream
from bff.calls import NoRequestContext, Refused
from bff.testing import request_context


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


def test_a_header_is_part_of_the_call_and_none_leaves_it_out() -> None:
    call = store.thing("a").header("Accept-Language", "de")
    assert call.headers == (("accept-language", "de"),)
    assert call != store.thing("a") and store.thing("a").header("X-A", None) == store.thing("a")
    assert call.header("accept-language", "en").headers == (("accept-language", "en"),)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Cookie", "Host", "Content-Length", "BFF-Owner", "X-Forwarded-For", "a b", "", "ä"],
)
def test_a_header_of_the_gateway_or_of_no_name_is_a_declaration_error(name: str) -> None:
    with pytest.raises(DeclarationError, match="no name for a header"):
        store.thing("a").header(name, "x")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\x00", " a", "ä", "\u2028"])
def test_a_value_that_no_header_can_have_is_refused_as_the_clients_mistake(value: str) -> None:
    with pytest.raises(Refused) as raised:
        store.thing("a").header("X-A", value)
    assert raised.value.status == 400


def test_only_what_a_call_does_decides_about_caching_and_keys() -> None:
    search = store.make(Thing(name="a")).as_read()
    assert not search.is_write and search.fresh(30).public().tagged("things").freshness == 30
    with pytest.raises(DeclarationError, match="needs no idempotency key"):
        search.keyed("k")
    touch = store.thing("a").as_write()
    assert touch.is_write and touch.keyed("k").key == "k"
    with pytest.raises(DeclarationError, match="only a read can be cached, this GET writes"):
        touch.fresh(30)


def test_headers_of_the_answer_are_taken_by_name() -> None:
    call = store.thing("a").with_headers("Link", "X-Total-Count", "link")
    assert call.takes == ("link", "x-total-count")
    for names in ((), ("Set-Cookie",), ("a b",)):
        with pytest.raises(DeclarationError, match="names of headers"):
            store.thing("a").with_headers(*names)


async def test_an_answer_with_headers_in_a_test_has_those_that_the_test_gives() -> None:
    answers = {"Store.thing": Answer({"name": "a"}, {"X-Total-Count": "7"})}
    with request_context(answers):
        found = await store.thing("a").with_headers("X-Total-Count")
        assert (found.value, found.headers) == (Thing(name="a"), {"x-total-count": "7"})
    with request_context({"Store.thing": {"name": "a"}}):
        assert (await store.thing("a").with_headers("Link")).headers == {}


def test_headers_of_an_upstream_are_sent_with_all_its_calls() -> None:
    class Versioned(Upstream, team="V", contact="#v", headers={"X-Api-Version": "2"}):
        def thing(self) -> Call[Thing]:
            return self.get("/thing", Thing)

    assert Versioned().thing().headers == (("x-api-version", "2"),)
    for wrong in ({"Authorization": "x"}, {"X-A": "a\r\nb: c"}):
        with pytest.raises(DeclarationError):
            type("Wrong", (Upstream,), {}, team="W", contact="#w", headers=wrong)
