r"""Log lines of hostile requests: one line each, of bounded size, without control sequences for a terminal.

Input: a correlation id of 31,000 quotes (each request wrote 190 KB of log, so older evidence is rotated away at the
attacker's pace); C1 control characters, bidirectional overrides and line separators in headers, paths and events.
Right: text from outside is escaped and cut before it is logged, whatever handler and format are in use.
Source: CWE-117 (improper output neutralization for logs), CWE-150, Unicode TR 36 section 3.1.4 (bidirectional text),
ECMA-48 (C1 as control sequences).
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import Gateway
from bff.edge.observe.log_lines import JsonLines
from bff.edge.observe.log_text import EXCEPTION, TEXT, loggable, printable

from .kit import client


@contextmanager
def logged(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """The text that this format writes for the package's records."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger("bff")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield out
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


FORMATS = {
    "ours": JsonLines,
    # An application that mounts the gateway has its own format.
    "plain": lambda: logging.Formatter("%(asctime)s %(name)s %(message)s"),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("path", "correlation"),
    [
        ("/nothing", '"' * 31_000),
        ("/nothing", "\x9b31m" * 50),
        ("/" + "%22" * 2_000, "x"),
        ("/a%0a%7b%22level%22:%22INFO%22%7d", "x"),
        ("/%e2%80%ae%c2%9b31m%e2%80%a8", "x"),
        ("/%f3%a0%81%a1", "x"),
    ],
)
async def test_a_request_writes_one_bounded_printable_line(
    redis_url: str, form: str, path: str, correlation: str
) -> None:
    with logged(FORMATS[form]()) as out:
        async with client(Gateway("logs"), redis_url) as http:
            await http.get(path, headers={"x-correlation-id": correlation.encode("latin-1")})
    text = out.getvalue().rstrip("\n")
    assert "/" in text
    assert len(text.encode()) < 4_000
    assert "\n" not in text
    assert text.isprintable()
    if form == "ours":
        assert json.loads(text)["correlation_id_given"] == printable(correlation)


def test_the_text_of_an_exception_is_escaped_and_shortened() -> None:
    record = None
    try:
        raise ValueError("\x1b[2J\x9b\u202e\u2028" + "x" * 100_000)
    except ValueError:
        record = logging.LogRecord("other", logging.ERROR, "", 0, "%s", ("a\nb",), sys.exc_info())
    text = JsonLines().format(record)
    assert text.isprintable()
    assert len(text) < 2 * EXCEPTION
    line = json.loads(text)
    assert line["message"] == "a\\nb"
    assert "ValueError: \\x1b[2J\\x9b\\u202e\\u2028xxx" in line["exception"]


def test_a_surrogate_does_not_break_the_handler() -> None:
    record = logging.LogRecord("other", logging.INFO, "", 0, "was %s", ("\ud83d",), None)
    assert JsonLines().format(record).encode()


@given(st.text(max_size=50) | st.text(min_size=TEXT - 5, max_size=TEXT + 500))
def test_printable_gives_bounded_printable_text_and_a_second_call_changes_nothing(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= TEXT
    assert printable(shown) == shown


def test_values_of_any_kind_become_bounded_json() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    deep: dict[str, object] = {}
    deep["again"] = deep
    many = {f"\u202e{number}": ["\x9b" * 1_000] * 1_000 for number in range(1_000)}
    line = json.dumps(
        loggable({"odd": Odd(), "deep": deep, "int": 10**5_000, "nan": float("nan"), "b": b"\x9b"})
    )
    assert json.loads(line) and len(line) < 2_000
    assert len(json.dumps(loggable(many), ensure_ascii=False)) < 40_000
    assert loggable({"parts": ["a", {"b": 1}]}) == {"parts": ["a", "{'b': 1}"]}


@pytest.mark.parametrize("name", ["bff.access", "bff.live", "bff.stores"])
def test_each_logger_of_the_package_escapes_for_any_handler(name: str) -> None:
    with logged(logging.Formatter("%(message)s %(fields)s")) as out:
        logging.getLogger(name).info("text %s %d", "\x9b\n" * 9_999, 7, extra={"fields": {"path": "\u202e"}})
    assert out.getvalue().removesuffix("\n").isprintable()
    assert "\\u202e" in out.getvalue() and " 7 " in out.getvalue()
    assert len(out.getvalue()) < 400


async def test_the_log_of_many_hostile_requests_is_bounded_for_each_request(redis_url: str) -> None:
    with logged(JsonLines()) as out:
        async with client(Gateway("logs"), redis_url) as http:
            for _ in range(20):
                answer: httpx.Response = await http.get("/x", headers={"x-correlation-id": '"' * 31_000})
    assert answer.status_code == 404
    assert len(out.getvalue()) < 20 * 1_500
