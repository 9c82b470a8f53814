from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import Problem
from bff.edge.endpoints.command import MAX_KEY, idempotency_key

VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_KEY)


def read(*values: str) -> str:
    return idempotency_key({"headers": [(b"idempotency-key", value.encode("latin-1")) for value in values]})


@given(VISIBLE)
def test_every_structured_string_is_read_back_as_it_was_written(key: str) -> None:
    written = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert read(written) == key


@pytest.mark.parametrize("key", ["a", "550e8400-e29b-41d4-a716-446655440000", "a:b/c=d", "~" * MAX_KEY])
def test_a_bare_token_is_the_key(key: str) -> None:
    assert read(key) == key
    assert read(f"  {key} ") == key


def test_only_spaces_and_tabs_around_a_key_are_removed() -> None:
    """RFC 9110 section 5.5: a field value does not include the SP and HTAB around it, and nothing else is removed."""
    assert read(" \t a\t ") == read('\t"a" ') == "a"
    for odd in "\x85\xa0\x0b\x0c\x1c\x1d\x1e\x1f":
        for value in (f"{odd}a", f"a{odd}", f'{odd}"a"', odd):
            with pytest.raises(Problem) as raised:
                read(value)
            assert raised.value.code == "idempotency-key-invalid"


@given(st.text(st.characters(max_codepoint=0xFF), max_size=300))
def test_any_header_value_is_a_key_or_a_400(value: str) -> None:
    try:
        key = read(value)
    except Problem as problem:
        assert problem.status == 400
        assert problem.code in ("idempotency-key-missing", "idempotency-key-invalid")
    else:
        assert 1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()


@pytest.mark.parametrize(
    "value", ['""', '"', '"a', 'a"', '"a"b"', '"a\\x"', '"ä"', "ä", "a b", "a,b", '"a";p', "a" * 256, '"\t"']
)
def test_an_ambiguous_key_is_refused(value: str) -> None:
    with pytest.raises(Problem) as raised:
        read(value)
    assert raised.value.code == "idempotency-key-invalid"


def test_without_a_key_the_problem_is_missing_and_with_two_it_is_invalid() -> None:
    for values, code in (
        ((), "missing"),
        (("",), "missing"),
        (("a", "a"), "invalid"),
        (('"a"', '"b"'), "invalid"),
    ):
        with pytest.raises(Problem) as raised:
            read(*values)
        assert raised.value.code == f"idempotency-key-{code}"
