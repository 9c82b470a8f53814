from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bff.policies.tags import Stamps


def test_a_new_tag_is_unknown_and_an_unchanged_one_has_stamp_zero() -> None:
    stamps = Stamps()
    assert stamps.newest(["a"]) is None
    assert stamps.newest([]) == 0
    stamps.learn({"a": 0})
    assert stamps.newest(["a"]) == 0
    assert stamps.newest(["a", "b"]) is None
    stamps.forget()
    assert stamps.newest(["a"]) is None
    assert len(stamps) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30))
def test_an_older_stamp_never_replaces_a_newer_one(learnt: list[tuple[str, int]]) -> None:
    stamps = Stamps()
    for name, stamp in learnt:
        stamps.learn({name: stamp})
    for name in {name for name, _ in learnt}:
        assert stamps.newest([name]) == stamps.of(name) == max(s for n, s in learnt if n == name)


def test_when_full_the_least_recently_used_becomes_unknown_not_unchanged() -> None:
    stamps = Stamps(2)
    stamps.learn({"a": 5, "b": 6})
    assert stamps.newest(["a"]) == 5
    stamps.learn({"c": 7})
    assert stamps.newest(["b"]) is None
    assert stamps.newest(["a", "c"]) == 7


def test_the_stamp_of_an_unknown_name_is_zero() -> None:
    stamps = Stamps()
    stamps.learn({"a": 5})
    assert (stamps.of("a"), stamps.of("b")) == (5, 0)
    assert stamps.newest(["b"]) is None, "reading a name does not make it known"


def test_by_default_ten_thousand_names_are_known() -> None:
    stamps = Stamps()
    stamps.learn({str(number): number for number in range(10_000)})
    assert stamps.newest(["0"]) == 0
    stamps.learn({"more": 1})
    assert len(stamps) == 10_000
    assert stamps.newest(["1"]) is None and stamps.newest(["0"]) == 0


def test_a_name_learnt_again_is_dropped_later() -> None:
    stamps = Stamps(2)
    stamps.learn({"a": 1})
    stamps.learn({"b": 1})
    stamps.learn({"a": 2})
    stamps.learn({"c": 1})
    assert (stamps.newest(["a"]), stamps.newest(["b"])) == (2, None)
