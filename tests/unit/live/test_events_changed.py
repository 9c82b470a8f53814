"""Events of the type `changed`, which invalidate tags."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bff.live.ingest.events import BadEvent, ChangedEvent, Registry, Undeclared

GOOD = {"specversion": "1.0", "id": "1", "source": "/content", "type": "site.article.changed"}


def meaning(**changes: Any) -> Any:
    event = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return Registry({}, {}).meaning(json.dumps(event).encode(), now_ms=0)


def test_a_change_names_its_tag_and_its_subject_below_it() -> None:
    assert meaning() == ChangedEvent(("article",), None)
    assert meaning(subject="a b/c") == ChangedEvent(("article", "article/a b/c"), None)
    assert meaning(data={"owner": "https://i|ada", "more": 1}) == ChangedEvent(("article",), "https://i|ada")
    assert meaning(data={}) == ChangedEvent(("article",), None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ...},
        {"source": ""},
        {"specversion": "0.3"},
        {"subject": ""},
        {"data": {"owner": ""}},
        {"data": []},
    ],
)
def test_an_incomplete_change_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadEvent):
        meaning(**wrong)


def test_events_of_other_types_are_undeclared() -> None:
    assert meaning(type="site.article.edited") == Undeclared("site.article.edited", "undeclared-type", False)
    assert meaning(type="changed") == Undeclared("changed", "undeclared-type", False)
