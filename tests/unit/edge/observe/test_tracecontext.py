"""The caller's trace in W3C Trace Context and in B3, and the baggage that is passed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.edge.observe.baggage import MEMBERS, MOST, allowed_baggage
from bff.edge.observe.tracecontext import caller_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
SHORT = TRACE[16:]

Sent = list[tuple[str, str]]


def found(headers: Sent) -> tuple[str, str, bool, bool] | None:
    caller = caller_of([(name.encode(), value.encode()) for name, value in headers])
    if caller is None:
        return None
    span, decided = caller
    return f"{span.trace_id:032x}", f"{span.span_id:016x}", span.trace_flags.sampled, decided


def test_the_callers_trace_and_state_continue() -> None:
    headers = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]
    assert found(headers) == (TRACE, SPAN, True, True)
    caller = caller_of([(name.encode(), value.encode()) for name, value in headers])
    assert caller is not None and dict(caller[0].trace_state) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("traceparent", PARENT.replace(TRACE, "0" * 32))],
        [("traceparent", PARENT.replace(SPAN, "0" * 16))],
        [("traceparent", "ff" + PARENT[2:])],
        [("traceparent", PARENT.upper())],
        [("traceparent", "x")],
        [("traceparent", "x"), ("b3", f"{TRACE}-{SPAN}-1")],
        [("tracestate", "a=1")],
    ],
)
def test_a_missing_malformed_or_repeated_traceparent_is_ignored(headers: Sent) -> None:
    assert found(headers) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("b3", f"{TRACE}-{SPAN}-1")], (TRACE, SPAN, True, True)),
        ([("b3", f"{TRACE.upper()}-{SPAN}-d-{SPAN}")], (TRACE, SPAN, True, True)),
        ([("b3", f"{TRACE}-{SPAN}-0")], (TRACE, SPAN, False, True)),
        ([("b3", f"{TRACE}-{SPAN}")], (TRACE, SPAN, False, False)),
        ([("b3", f"{SHORT}-{SPAN}-1")], ("0" * 16 + SHORT, SPAN, True, True)),
        ([("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)], (TRACE, SPAN, False, False)),
        ([("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")], (TRACE, SPAN, True, True)),
        (
            [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "false")],
            (TRACE, SPAN, False, True),
        ),
        ([("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-flags", "1")], (TRACE, SPAN, True, True)),
        # W3C is preferred, then the single header.
        ([("b3", f"{SHORT}-{SPAN}-0"), ("traceparent", PARENT)], (TRACE, SPAN, True, True)),
        (
            [("x-b3-traceid", SHORT), ("x-b3-spanid", SPAN), ("b3", f"{TRACE}-{SPAN}-1")],
            (TRACE, SPAN, True, True),
        ),
    ],
)
def test_b3_is_understood_in_one_header_and_in_several(
    headers: Sent, expected: tuple[str, str, bool, bool]
) -> None:
    assert found(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [("b3", "0")],
        [("b3", f"{TRACE}-{SPAN}-1"), ("b3", f"{TRACE}-{SPAN}-1")],
        [("b3", f"{TRACE}-{SPAN}-2")],
        [("b3", f"{TRACE}-{SPAN}-1-x")],
        [("b3", f"{'0' * 32}-{SPAN}-1")],
        [("b3", f"{TRACE}-{'0' * 16}-1")],
        [("b3", f"{TRACE[1:]}-{SPAN}-1")],
        [("x-b3-traceid", TRACE)],
        [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "maybe")],
        [("x-b3-traceid", TRACE), ("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)],
    ],
)
def test_b3_that_is_malformed_or_repeated_begins_a_new_trace(headers: Sent) -> None:
    assert found(headers) is None


@given(st.lists(st.text(max_size=40), max_size=5))
def test_only_allowed_members_are_passed_on_whatever_is_sent(fields: list[str]) -> None:
    kept = allowed_baggage([field.encode("utf-8", "replace") for field in fields], {"a"})
    assert kept == "" or kept.startswith(("a=", "a "))
    assert kept.isascii() and "\n" not in kept


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (["a=1,b=2,c=3"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1,a=2"], "a=1"),
        (["a=1;p=x;q , b = 2"], "a=1;p=x;q,b = 2"),
        (["a=%20x"], "a=%20x"),
        (["A=1,a"], ""),
        (['a="1"'], ""),
        (["a=1 2,b=2"], "b=2"),
        (["a=" + "x" * MOST], ""),
    ],
)
def test_the_members_of_baggage(fields: list[str], kept: str) -> None:
    assert allowed_baggage([field.encode() for field in fields], {"a", "b"}) == kept


def test_baggage_is_bounded_in_sum() -> None:
    keys = [f"k{number}" for number in range(2 * MEMBERS)]
    kept = allowed_baggage([",".join(f"{key}=1" for key in keys).encode()], set(keys))
    assert kept.split(",") == [f"{key}=1" for key in keys[:MEMBERS]]
    long = allowed_baggage([",".join(f"{key}={'x' * 300}" for key in keys).encode()], set(keys))
    assert 0 < len(long) <= MOST and len(long.split(",")) == MOST // 305
