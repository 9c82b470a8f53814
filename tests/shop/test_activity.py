"""What the demo's tour shows of the gateway: its requests, its calls and what its policies decided."""

from __future__ import annotations

from bff.events import Attempted, BreakerChanged, CallRejected, Hedged, RequestEnded, Retried, Served
from web.shop.activity import KEPT, Activity


def test_what_the_gateway_did_is_kept_in_order_with_its_trace() -> None:
    activity = Activity(clock=lambda: 7.0)
    events = (
        Served("catalog", "Catalog.products", "hit", 1.0),
        Attempted("inventory", "Inventory.levels", "http://a:1", 501.26, "timeout", "client"),
        Retried("inventory", "Inventory.levels", 2, 0.1, "timeout"),
        CallRejected("inventory", "Inventory.levels", "circuit-open"),
        BreakerChanged("inventory", "default", "http://a:1", "open", 5.0),
        RequestEnded("GET", "/api/screens/products", 200, 0.5021, trace_id="t" * 32),
    )
    for event in events:
        activity(event)
    kept = activity.entries()
    assert [one["n"] for one in kept] == [1, 2, 3, 4, 5, 6]
    kinds = ["cached", "attempt", "retry", "rejected", "breaker", "request"]
    assert [one["kind"] for one in kept] == kinds
    assert kept[1]["milliseconds"] == 501.3
    request = kept[-1]
    assert (request["trace"], request["at"], request["milliseconds"]) == ("t" * 32, 7.0, 502.1)


def test_static_files_the_stream_fresh_answers_and_other_events_are_not_kept() -> None:
    activity = Activity()
    for event in (
        RequestEnded("GET", None, 200, 0.1),
        RequestEnded("GET", "/bff/live", 200, 0.1),
        Served("catalog", "Catalog.products", "miss", 0.0),
        Hedged("catalog", "Catalog.products", won=True),
    ):
        activity(event)
    assert activity.entries() == []


def test_only_the_newest_are_kept_and_their_numbers_go_on() -> None:
    activity = Activity()
    for _ in range(KEPT + 5):
        activity(CallRejected("inventory", "Inventory.levels", "deadline"))
    kept = activity.entries()
    assert (len(kept), kept[0]["n"], kept[-1]["n"]) == (KEPT, 6, KEPT + 5)
