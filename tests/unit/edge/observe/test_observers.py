"""Several observers as one: each gets every event. An observer that raises is logged, and the others still get it."""

from __future__ import annotations

import logging

import pytest

from bff.calls import Principal
from bff.edge.observe.observers import RequestEnded, ScreenIncomplete
from bff.policies.events import Guarded

ENDED = RequestEnded("GET", "/x", 200, 0.1, "id", "trace", "https://issuer|ada")


def test_each_observer_is_logged_once_a_minute_with_the_number_of_its_failures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now, seen = 0.0, []

    def one(event: object) -> None:
        raise RuntimeError("one")

    def two(event: object) -> None:
        raise RuntimeError("two")

    observe = Guarded(one, seen.append, two, clock=lambda: now)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            observe(ENDED)
        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["one", "two"]
        caplog.clear()
        now = 61.0
        observe(ScreenIncomplete("/x", 1))
    assert len(seen) == 4
    assert [record.getMessage() for record in caplog.records] == [
        "an observer raised 3 times, the last time for ScreenIncomplete"
    ] * 2


def test_the_end_of_a_request_has_a_pseudonym_and_does_not_print_the_principal() -> None:
    ada = Principal("https://issuer", "ada", "secret", 0.0)
    assert ENDED.pseudonym == ada.pseudonym
    assert RequestEnded("GET", None, 404, 0.1).pseudonym is None
    assert "ada" not in repr(ENDED) and "secret" not in repr(ENDED)
