from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.transport.problem_details import MAX_BODY, MAX_ERRORS, MAX_TEXT, REPLACEMENT, details, texts

JSON, PROBLEM = "application/json", "application/problem+json; charset=utf-8"


def read(document: Any, status: int = 422, media: str = JSON, sent: Any = None) -> dict[str, Any]:
    return details(status, media, json.dumps(document).encode(), texts(sent))


def errors(document: Any, status: int = 422, media: str = JSON, sent: Any = None) -> list[tuple[str, str]]:
    found = read(document, status, media, sent)
    assert set(found) <= {"detail", "code", "errors"}
    assert all(set(one) == {"pointer", "detail"} for one in found.get("errors", ()))
    return [(one["pointer"], one["detail"]) for one in found.get("errors", ())]


SPRING = {
    "codes": ["Size.user.name"],
    "arguments": [{"defaultMessage": "name"}],
    "objectName": "user",
    "rejectedValue": "hunter2",
}


@pytest.mark.parametrize(
    ("document", "status", "media", "expected"),
    [
        # FastAPI
        (
            {"detail": [{"loc": ["body", "lines", 0, "n"], "msg": "too low"}]},
            422,
            JSON,
            [("/lines/0/n", "too low")],
        ),
        ({"detail": [{"loc": ["query", "q"], "msg": "missing"}]}, 422, JSON, [("/q", "missing")]),
        ({"detail": [{"loc": ["body"], "msg": "Field required"}]}, 422, JSON, [("", "Field required")]),
        ({"detail": [{"loc": ["body", "a/b", "c~d"], "msg": "no"}]}, 422, JSON, [("/a~1b/c~0d", "no")]),
        # Django REST framework
        ({"name": ["May not be blank."]}, 400, JSON, [("/name", "May not be blank.")]),
        ({"non_field_errors": ["Too many."]}, 400, JSON, [("", "Too many.")]),
        ({"to": {"zip": ["Wrong."]}}, 400, JSON, [("/to/zip", "Wrong.")]),
        ({"lines": [{}, {"n": ["Wrong."]}]}, 400, JSON, [("/lines/1/n", "Wrong.")]),
        ([{}, {"n": ["Wrong."]}], 400, JSON, [("/1/n", "Wrong.")]),
        (["Not now."], 400, JSON, [("", "Not now.")]),
        # Spring
        (
            {"errors": [{**SPRING, "field": "a.b[0].c", "defaultMessage": "blank"}]},
            400,
            JSON,
            [("/a/b/0/c", "blank")],
        ),
        (
            {"errors": [{**SPRING, "defaultMessage": "passwords differ"}]},
            400,
            JSON,
            [("", "passwords differ")],
        ),
        ({"errors": [{"pointer": "#/age", "detail": "positive"}]}, 400, PROBLEM, [("/age", "positive")]),
        # Rails
        (
            {"errors": {"name": ["is short", "is odd"]}},
            422,
            JSON,
            [("/name", "is short"), ("/name", "is odd")],
        ),
        (
            {"errors": {"base": ["Closed."], "to.zip": ["is odd"]}},
            422,
            JSON,
            [("", "Closed."), ("/to/zip", "is odd")],
        ),
        ({"errors": ["Name is short"]}, 422, JSON, [("", "Name is short")]),
        # ASP.NET and JSON:API say it alike
        ({"errors": {"$.Lines[0].N": ["wrong"]}}, 400, PROBLEM, [("/Lines/0/N", "wrong")]),
        (
            {"errors": [{"source": {"pointer": "/data/n"}, "detail": "wrong"}]},
            422,
            JSON,
            [("/data/n", "wrong")],
        ),
    ],
)
def test_each_recognised_form_becomes_pointers(
    document: Any, status: int, media: str, expected: list[tuple[str, str]]
) -> None:
    assert errors(document, status, media) == expected


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"secrets": ["hunter2"]}, 409),
        ({"message": "hunter2", "error": "Bad Request"}, 400),
        ({"data": {"card": "hunter2"}}, 400),
        ({"name": ["x"], "count": 3}, 400),
        ({"a": []}, 400),
        ({}, 400),
        ([], 400),
        ({"detail": {"password": "hunter2"}}, 422),
        ({"detail": 7, "errors": 7}, 422),
        ({"errors": {"name": [{"error": "taken", "value": "hunter2"}]}}, 422),
    ],
)
def test_an_unknown_form_passes_nothing_on(document: Any, status: int) -> None:
    assert "hunter2" not in str(read(document, status))
    assert "detail" not in read(document, status)


@pytest.mark.parametrize(
    "words",
    [
        "<html><body>no</body></html>",
        "Fault: <br>in line 3",
        "&lt;b&gt;no",
        'Traceback (most recent call last):\n  File "/app/x.py", line 3, in f',
        'no\n  File "/app/x.py", line 3',
        "no\n\tat com.shop.Orders.place(Orders.java:12)",
        "TypeError: x is not a function\n    at Object.<anonymous> (/app/x.js:1:2)",
        "[{'loc': ['body', 'password'], 'input': 'secret'}]",
        '{"password": "secret"}',
        "{'password': ['no']}",
        "('secret', 3)",
        "[ErrorDetail(string='no', code='invalid')]",
        "1 validation error for User\nname\n  too short [type=x, input_value='secret', input_type=str]",
        "<User object at 0x7f00deadbeef>",
        '{:name=>"secret"}',
        "#<ActiveRecord::RecordInvalid: no>",
        "ValueError('no')",
        'java.lang.NumberFormatException: For input string: "x"',
        "Failed to convert; nested exception is x",
        "System.FormatException: no",
        'ERROR: duplicate key value violates unique constraint "users_email"',
        "DETAIL: Key (email)=(a@b.c) already exists.",
        "SQLSTATE[23000]: no",
        "goroutine 1 [running]:",
        "User(name='secret', age=3)",
        "b'secret' is odd",
        "Token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln has expired",
        "Authorization: Bearer 0123456789abcdef",
        "None",
        "undefined",
        "[object Object]",
        "json: cannot unmarshal string into Go struct field Wish.qty of type int",
        "thread 'main' panicked at src/main.rs:3:5",
        "No such file or directory: '/etc/secrets/x'",
        "The JSON value could not be converted to System.Int32.",
        "Fatal error in /var/www/html/index",
    ],
)
def test_output_of_a_programming_language_is_not_passed_on(words: str) -> None:
    assert "detail" not in read({"detail": words}, media=PROBLEM)
    assert errors({"errors": [{"field": "name", "defaultMessage": words}]}) == [("/name", REPLACEMENT)]


@pytest.mark.parametrize(
    "words",
    [
        "Only 3 of mug-01 are left (we expect more on Monday).",
        "Must be < 5 and > 1, e.g. 2.",
        "Ensure this value has at most 5 characters (it has 7).",
        "Input should be 'red' or 'blue'",
        "Choose one of 'a', 'b', 'r', 'u'",
        "None of these seats is free.",
        "The system. Then the panel.",
        "This field may not be blank.",
        "Größe: höchstens 5 – „M“ ist vergriffen",
        "String should match pattern '^[a-z]+$'",
        "See https://shop.test/help?topic=cards",
        "Error in your card number.",
        "É obrigatório. 👩‍🚀",
    ],
)
def test_a_plain_sentence_is_passed_on_unchanged(words: str) -> None:
    assert read({"detail": words}, media=PROBLEM, sent={"name": "hunter2"})["detail"].replace(
        "\u200d", ""
    ) == (words.replace("\u200d", ""))


TYPED = "correct horse battery staple"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"name": "hunter2"}, '"hunter2" is not a valid choice.'),
        ({"name": "hunter2"}, "HUNTER2 is taken"),
        ({"name": "hunter2"}, "hunter\u200b2 is taken"),
        ({"pk": 5}, 'Invalid pk "5" - object does not exist.'),
        ({"cvv": "123"}, "123 is no valid code"),
        ({"pin": 4711}, "The code 4711 is wrong"),
        ({"a": [{"b": TYPED}]}, f"'{TYPED}' is not one of 'a', 'b'"),
        ({"a": TYPED}, "The value 'correct horse...attery staple' is odd"),
        ({"password": "pass1234"}, "xpass1234x is weak"),
        ({"amount": 12.75}, "12.75 is too much"),
        ({"mail": "ada@example.test"}, "ada@example.test is in use"),
        ({"mail": "ada@example.test"}, "There is no domain example.test"),
        ({"link": "https://inside.test/hidden?key=hunter2"}, "hunter2 is no key of inside.test"),
    ],
)
def test_values_of_the_request_are_not_repeated(sent: Any, words: str) -> None:
    typed = next(texts(sent)).lower()
    for problem in (
        read({"detail": words}, media=PROBLEM, sent=sent),
        read({"detail": [{"loc": ["body", "a"], "msg": words, "input": sent}]}, sent=sent),
        read({"a": [words]}, 400, sent=sent),
    ):
        assert "…" in str(problem), problem
        for part in (typed, typed[:14], typed[-12:]) if len(typed) > 12 else (typed,):
            assert f'"{part}"' not in str(problem).lower() and (
                len(part) < 3 or part not in str(problem).lower()
            )


def test_a_code_that_repeats_a_sent_value_is_dropped() -> None:
    assert read({"code": "hunter2"}, sent={"name": "hunter2"}) == {}
    assert read({"code": "out-of-stock"}, sent={"name": "hunter2"}) == {"code": "out-of-stock"}
    assert read({"code": 7}) == {"code": "7"}
    for odd in ("two words", "<b>", "", "x" * 65, "a\u202eb", True, None, {}):
        assert read({"code": odd}) == {}


def test_control_and_bidirectional_characters_are_removed_everywhere() -> None:
    bad = "a\x00b\x1bc\x85d\x9be\u202ef\u2066g\ud83dh\u200fi\ufeffj"
    found = read({"detail": bad, "errors": [{"pointer": f"/{bad}", "detail": bad}]}, media=PROBLEM)
    assert found["detail"].replace(" ", "") == "abcdefghij"
    assert found["errors"][0]["pointer"].replace(" ", "") == "/abcdefghij"
    json.dumps(found, ensure_ascii=False).encode()


def test_detail_code_and_errors_are_bounded_in_sum() -> None:
    document = {
        "detail": "x" * 5_000,
        "code": "y" * 64,
        "errors": [{"pointer": "/" + "ä" * 900, "detail": "ö " * 900} for _ in range(900)],
    }
    found = details(422, PROBLEM, json.dumps(document, ensure_ascii=False).encode()[:MAX_BODY], ())
    assert found == {}, "cut short it is no JSON"
    document["errors"] = document["errors"][:30]
    found = read(document, media=PROBLEM)
    assert size(found) <= MAX_TEXT
    many = read({"errors": [{"pointer": "/a", "detail": "no"}] * 900}, media=PROBLEM)
    assert len(many["errors"]) == MAX_ERRORS
    assert errors({"errors": {"a" * 900: ["no"]}})[0][0].encode()[-3:] == "…".encode()


def size(found: dict[str, Any]) -> int:
    said = [found.get("detail", ""), found.get("code", "")]
    said += [text for one in found.get("errors", ()) for text in one.values()]
    return sum(len(text.encode()) for text in said)


def test_no_message_is_passed_on_when_too_many_values_were_sent_to_compare() -> None:
    sent = {"a": "x" * 40_000, "b": "y" * 40_000}
    assert read({"detail": "This is odd.", "code": "odd"}, media=PROBLEM, sent=sent) == {}
    assert errors({"a": ["This is odd."]}, 400, sent=sent) == [("/a", REPLACEMENT)]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)
KEYS = st.sampled_from(
    ["detail", "code", "errors", "loc", "msg", "field", "defaultMessage", "pointer", "source"]
)


@given(
    st.dictionaries(KEYS, JSONS | st.lists(st.dictionaries(KEYS, JSONS)), max_size=5) | JSONS,
    st.sampled_from([400, 404, 409, 422]),
    st.sampled_from([JSON, PROBLEM]),
)
def test_random_documents_respect_the_bounds(document: Any, status: int, media: str) -> None:
    found = read(document, status, media)
    assert set(found) <= {"detail", "code", "errors"}
    assert size(found) <= MAX_TEXT and len(found.get("errors", ())) <= MAX_ERRORS
    for one in found.get("errors", ()):
        assert one["pointer"] == "" or one["pointer"].startswith("/")
        assert one["detail"]
    json.dumps(found, ensure_ascii=False).encode()


@given(
    st.text(alphabet=st.characters(categories=["L", "N", "P", "S"]), min_size=8, max_size=40),
    st.text(max_size=30),
)
def test_no_sent_text_of_eight_characters_comes_back_whole(typed: str, around: str) -> None:
    found = read({"detail": f"{around}{typed}{around}"}, media=PROBLEM, sent=[typed])
    assert typed.lower() not in str(found.get("detail", "")).lower()


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 60_000, b"\xff\xfe", b'{"detail":' + b"9" * 5_000 + b"}"])
def test_an_unreadable_body_passes_nothing_on(body: bytes) -> None:
    assert details(409, JSON, body) == {}
    assert details(409, "text/html", b'{"detail":"x"}') == {}
