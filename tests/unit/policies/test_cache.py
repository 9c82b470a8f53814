"""How long an answer may be cached, by the call's declaration and the upstream's headers; and the bounds of the LRU."""

from __future__ import annotations

from collections import OrderedDict
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bff import Call, Principal, Upstream
from bff.policies.cache import CacheEntry, Key, Lru, directives, entry_of, key_of, public_by, renewed

NOW = 1_700_000_000.0


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, **query: object) -> Call[None]:
        return self.get("/thing", None, **query)

    def search(self, words: object) -> Call[None]:
        return self.post("/search", None, words).as_read()


CALL = Shelf().thing().fresh(30)


def stored(call: Call[None] = CALL, **headers: str) -> CacheEntry | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return entry_of(call, named, b"{}", asked_at=NOW, seen=1)


def lifetimes(call: Call[None] = CALL, **headers: str) -> tuple[float, float, float]:
    """Seconds fresh, then for revalidation, then for failures; (-1, -1, -1) when it is not cached."""
    entry = stored(call, **headers)
    return (entry.fresh, entry.swr, entry.sie) if entry else (-1, -1, -1)


NOT = (-1.0, -1.0, -1.0)
PUBLIC = CALL.public()
STALE = Shelf().thing().fresh(30, stale_while_revalidate=20, stale_if_error=600)


@pytest.mark.parametrize(
    ("call", "headers", "expected"),
    [
        (CALL, {}, (30, 0, 0)),
        (CALL, {"cache_control": "max-age=10"}, (10, 0, 0)),
        (CALL, {"cache_control": "max-age=1000"}, (30, 0, 0)),
        (CALL, {"cache_control": 'Max-Age="10"'}, (10, 0, 0)),
        (CALL, {"cache_control": "max-age=10, max-age=20"}, (10, 0, 0)),
        (CALL, {"cache_control": "max-age=ten", "etag": '"a"'}, (0, 0, 0)),
        (CALL, {"cache_control": "max-age=ten"}, NOT),
        (CALL, {"cache_control": "max-age=-1"}, NOT),
        (CALL, {"cache_control": "no-store"}, NOT),
        (CALL, {"cache_control": "NO-STORE, max-age=10"}, NOT),
        (CALL, {"cache_control": "private, max-age=10"}, (10, 0, 0)),
        (PUBLIC, {"cache_control": "private, max-age=10"}, NOT),
        (PUBLIC, {"cache_control": 'private="x-a, x-b", max-age=10'}, NOT),
        (CALL, {"cache_control": "s-maxage=5, max-age=10"}, (10, 0, 0)),
        (PUBLIC, {"cache_control": "s-maxage=5, max-age=10"}, (5, 0, 0)),
        (CALL, {"cache_control": "no-cache"}, NOT),
        (STALE, {"cache_control": "no-cache", "etag": '"a"'}, (0, 0, 0)),
        (STALE, {}, (30, 20, 600)),
        (STALE, {"cache_control": "max-age=10, stale-while-revalidate=5"}, (10, 5, 600)),
        (STALE, {"cache_control": "stale-if-error=7"}, (30, 20, 7)),
        (CALL, {"cache_control": "stale-while-revalidate=5, stale-if-error=7"}, (30, 5, 7)),
        (STALE, {"cache_control": "must-revalidate"}, (30, 0, 0)),
        (STALE, {"cache_control": "proxy-revalidate"}, (30, 20, 600)),
        (STALE.public(), {"cache_control": "proxy-revalidate"}, (30, 0, 0)),
        (STALE.public(), {"cache_control": "s-maxage=9"}, (9, 0, 0)),
        (CALL, {"vary": "*"}, NOT),
        (CALL, {"vary": "Accept, Authorization"}, (30, 0, 0)),
        (CALL, {"vary": "accept, X-Correlation-ID"}, NOT),
        (
            CALL,
            {"expires": formatdate(NOW + 9, usegmt=True), "date": formatdate(NOW, usegmt=True)},
            (9, 0, 0),
        ),
        (CALL, {"expires": "0", "date": formatdate(NOW, usegmt=True)}, NOT),
        (
            CALL,
            {"expires": formatdate(NOW - 9, usegmt=True), "date": formatdate(NOW, usegmt=True)},
            NOT,
        ),
        (CALL, {"cache_control": "max-age=1"}, (1, 0, 0)),
        (CALL, {"expires": "0", "cache_control": "max-age=4"}, (4, 0, 0)),
        (Shelf().thing(), {"cache_control": "max-age=10"}, NOT),
    ],
)
def test_the_upstream_can_only_shorten_or_forbid_the_declared_lifetime(
    call: Call[None], headers: dict[str, str], expected: tuple[float, float, float]
) -> None:
    assert lifetimes(call, **headers) == expected


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_header_makes_a_lifetime_longer_than_declared(
    control: str, age: str, expires: str, vary: str
) -> None:
    entry = stored(STALE, cache_control=control, age=age, expires=expires, vary=vary)
    if entry is not None:
        assert 0 <= entry.fresh <= 30
        assert entry.swr <= 20
        assert entry.sie <= 600
        assert entry.since <= NOW
        assert entry.keep <= 630


def test_the_age_counts_from_the_request_plus_the_age_header() -> None:
    entry = stored(STALE, age="12")
    assert entry is not None
    assert entry.age(NOW) == 12
    assert [entry.freshness(NOW + after) for after in (0, 17.9, 18, 37.9, 38, 617.9, 618)] == [
        "fresh",
        "fresh",
        "revalidate",
        "revalidate",
        "error",
        "error",
        "expired",
    ]
    assert entry.left(NOW + 10) == 8
    assert entry.left(NOW + 20) == 0
    assert entry.usable_on_error(NOW + 617.9)
    assert not entry.usable_on_error(NOW + 618)


def test_the_age_is_not_negative_when_the_clock_was_set_back() -> None:
    entry = stored()
    assert entry is not None
    assert entry.age(NOW - 100) == 0
    assert entry.left(NOW - 100) == 30


def test_a_conditional_request_uses_the_etag_or_else_the_date() -> None:
    both = stored(etag='W/"a"', last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    dated = stored(last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    plain = stored()
    assert both is not None and dated is not None and plain is not None
    assert both.conditions() == {"if-none-match": 'W/"a"'}
    assert dated.conditions() == {"if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert plain.conditions() == {}
    # Beyond its freshness it is stored only when it can be revalidated.
    assert both.keep == dated.keep == 60
    assert plain.keep == 30


def test_an_entry_is_stored_as_long_as_it_can_be_used() -> None:
    late = stored(Shelf().thing().fresh(30, stale_while_revalidate=500))
    failing = stored(Shelf().thing().fresh(30, stale_if_error=500))
    assert late is not None and failing is not None
    assert late.keep == failing.keep == 530
    assert late.usable_on_error(NOW + 529), "an answer that may be served stale may replace a failure"


def test_a_304_replaces_the_headers_and_keeps_the_body_and_its_type() -> None:
    call = Shelf().thing().fresh(300)
    first = entry_of(
        call,
        {"content-type": "application/json", "etag": '"a"', "cache-control": "max-age=10"},
        b"[1]",
        asked_at=NOW,
        seen=1,
    )
    assert first is not None
    again = renewed(
        call,
        first,
        {"cache-control": "max-age=60", "content-type": "text/html", "age": "5"},
        asked_at=NOW + 50,
        seen=9,
    )
    assert again is not None
    assert (again.fresh, again.since, again.seen, again.body) == (60, NOW + 45, 9, b"[1]")
    assert again.headers["content-type"] == "application/json"
    assert again.headers["etag"] == '"a"'
    assert renewed(call, first, {"cache-control": "no-store"}, asked_at=NOW, seen=2) is None


def test_an_old_expires_is_dropped_with_a_304_that_has_a_date() -> None:
    call = Shelf().thing().fresh(300)
    date = formatdate(NOW, usegmt=True)
    first = entry_of(
        call,
        {"etag": '"a"', "date": date, "expires": formatdate(NOW + 20, usegmt=True)},
        b"1",
        asked_at=NOW,
        seen=1,
    )
    assert first is not None and first.fresh == 20
    again = renewed(call, first, {"date": formatdate(NOW + 60, usegmt=True)}, asked_at=NOW + 60, seen=2)
    assert again is not None and again.fresh == 300


def test_a_304_without_times_keeps_the_old_lifetime_and_a_new_expires_replaces_it() -> None:
    call = Shelf().thing().fresh(300)
    date = formatdate(NOW, usegmt=True)
    first = entry_of(
        call,
        {"etag": '"a"', "date": date, "expires": formatdate(NOW + 20, usegmt=True)},
        b"1",
        asked_at=NOW,
        seen=1,
    )
    undated = stored(call, etag='"a"')
    assert first is not None and undated is not None
    silent = renewed(call, first, {}, asked_at=NOW + 60, seen=2)
    assert silent is not None and silent.fresh == 20
    later = {"date": formatdate(NOW + 60, usegmt=True), "expires": formatdate(NOW + 67, usegmt=True)}
    again = renewed(call, first, later, asked_at=NOW + 60, seen=2)
    assert again is not None and again.fresh == 7
    dated = renewed(call, undated, {"date": date}, asked_at=NOW + 60, seen=2)
    assert dated is not None and dated.fresh == 300


def test_the_key_names_the_principal_client_and_scopes() -> None:
    narrow = Principal("https://i", "ada", "t", 0.0, frozenset({"write", "read"}))
    robot = Principal("https://i", "ada", "t", 0.0, claims={"client_id": "robot"})
    assert (key_of(CALL, narrow)[-1] or "").startswith("https://i|ada\n\nread\nwrite")
    assert (key_of(CALL, robot)[-1] or "").startswith("https://i|ada\nrobot")
    assert key_of(CALL, None)[-1] is None
    assert key_of(PUBLIC, narrow)[-1] is None


def test_keys_differ_by_principal_scope_and_client_unless_the_call_is_public() -> None:
    ada = Principal("https://i", "ada", "t1", 0.0)
    narrow = Principal("https://i", "ada", "t2", 0.0, frozenset({"read"}))
    other = Principal("https://i", "ada", "t3", 0.0, claims={"client_id": "robot"})
    bob = Principal("https://i", "bob", "t4", 0.0)
    keys = {key_of(CALL, who) for who in (ada, narrow, other, bob, None)}
    assert len(keys) == 5
    assert len({key_of(PUBLIC, who) for who in (ada, narrow, other, bob, None)}) == 1
    assert key_of(CALL, ada) == key_of(CALL, Principal("https://i", "ada", "renewed", 9.0))
    assert key_of(Shelf().thing(a=1), None) != key_of(Shelf().thing(a=2), None)
    assert key_of(PUBLIC.fresh(7), None) != key_of(PUBLIC.fresh(30), None)
    searches = [Shelf().search(words) for words in (["a"], ["b"], None)]
    assert len({key_of(search, None) for search in searches}) == 3
    assert key_of(Shelf().search(["a"]), None) == key_of(searches[0], None)


def test_private_of_the_upstream_overrides_public_of_the_call() -> None:
    assert public_by({})
    assert public_by({"cache-control": "max-age=3"})
    assert not public_by({"cache-control": "private"})
    assert not public_by({"cache-control": "no-store"})


def test_directives_are_read_as_a_list_with_quotes() -> None:
    assert directives('no-cache="a, b" , max-age = 5, X') == {"no-cache": "a, b", "max-age": "5", "x": ""}


MAX = 10_000
KEYS: list[Key] = [("s", f"/{n}", (), (), None) for n in range(6)]


class Memory(RuleBasedStateMachine):
    """Compares the LRU with a model that has all entries in order of use and drops the oldest."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Lru(MAX, 6_000)
        self.model: OrderedDict[Key, CacheEntry] = OrderedDict()

    @rule(key=st.sampled_from(KEYS), size=st.integers(0, 7_000))
    def put(self, key: Key, size: int) -> None:
        entry = CacheEntry({}, b"x" * size, 0, 1, 0, 0, 1, 0)
        self.model.pop(key, None)
        taken = self.memory.put(key, entry)
        assert taken == (entry.cost <= 6_000)
        if taken:
            self.model[key] = entry
            while sum(one.cost for one in self.model.values()) > MAX:
                self.model.popitem(last=False)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: Key) -> None:
        assert self.memory.get(key) is self.model.get(key)
        if key in self.model:
            self.model.move_to_end(key)

    @rule(key=st.sampled_from(KEYS))
    def discard(self, key: Key) -> None:
        self.memory.discard(key)
        self.model.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.memory.clear()
        self.model.clear()

    @invariant()
    def the_size_is_bounded_and_counted_right(self) -> None:
        assert self.memory.bytes == sum(one.cost for one in self.model.values()) <= MAX
        assert len(self.memory) == len(self.model)


def test_the_bounds_are_reached_but_not_exceeded() -> None:
    memory = Lru(4_000, 2_000)
    whole = CacheEntry({}, b"x" * 1_000, 0, 1, 0, 0, 1, 0)
    assert whole.cost == 2_000
    assert memory.put(KEYS[0], whole) and memory.put(KEYS[1], whole)
    assert (len(memory), memory.bytes) == (2, 4_000)
    assert memory.put(KEYS[2], CacheEntry({}, b"", 0, 1, 0, 0, 1, 0))
    assert memory.get(KEYS[0]) is None and memory.get(KEYS[1]) is whole
    assert not memory.put(KEYS[1], CacheEntry({"n": "v"}, b"x" * 999, 0, 1, 0, 0, 1, 0))
    assert Lru(10, 20).max_entry == 10


def test_an_entry_that_was_read_recently_is_dropped_later() -> None:
    memory = Lru(4_000, 2_000)
    whole = CacheEntry({}, b"x" * 1_000, 0, 1, 0, 0, 1, 0)
    for key in KEYS[:2]:
        memory.put(key, whole)
    assert memory.get(KEYS[0]) is whole
    memory.put(KEYS[2], whole)
    assert [memory.get(key) is whole for key in KEYS[:3]] == [True, False, True]


Memory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory = Memory.TestCase
