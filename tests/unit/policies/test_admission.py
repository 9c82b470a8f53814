from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.policies.admission import AdmissionRule

ORDER = ["in", "lean", "refused"]


@pytest.mark.parametrize(
    ("in_flight", "lag", "entry"),
    [
        (0, 0.0, "in"),
        (59, 0.0, "in"),
        (60, 0.0, "lean"),
        (99, 0.0, "lean"),
        (100, 0.0, "refused"),
        (0, 0.0299, "in"),
        (0, 0.03, "lean"),
        (0, 0.05, "refused"),
        (60, 0.05, "refused"),
    ],
)
def test_first_the_optional_parts_go_then_requests(in_flight: int, lag: float, entry: str) -> None:
    assert AdmissionRule(in_flight=100, lag=0.05, lean=0.6).decide(in_flight, lag) == entry


@given(st.integers(0, 200), st.floats(0, 0.2), st.integers(0, 200), st.floats(0, 0.2))
def test_more_load_never_opens_the_door_wider(flight: int, lag: float, more: int, later: float) -> None:
    policy = AdmissionRule(in_flight=100, lag=0.05)
    one, other = policy.decide(flight, lag), policy.decide(flight + more, lag + later)
    assert ORDER.index(one) <= ORDER.index(other)
