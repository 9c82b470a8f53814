"""What is counted, within bounds, and in which formats it is shown."""

from __future__ import annotations

from bff.edge.observe.metrics import Metrics
from bff.edge.observe.observers import RequestEnded


def test_a_method_that_a_browser_made_up_is_no_attribute_of_a_metric() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.observe(RequestEnded(f"MADE{number}", None, 405, 0.1))
    page = metrics.text().decode()
    assert "MADE" not in page
    assert (
        'http_server_request_duration_seconds_count{bff_kind="other",error_type="",'
        'http_request_method="_OTHER",http_response_status_code="405",http_route=""} 50.0' in page
    )


def test_the_sets_of_attributes_of_a_metric_are_bounded() -> None:
    metrics = Metrics()
    for number in range(5_100):
        metrics.observe(RequestEnded("GET", f"/{number}", 200, 0.1, kind="screen"))
    counted = [
        line
        for line in metrics.text().decode().splitlines()
        if line.startswith("http_server_request_duration_seconds_count")
    ]
    assert len(counted) == 5_001
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == 5_100
    assert next(line for line in counted if 'http_route="other"' in line).endswith(" 100.0")


def test_exemplars_are_trace_ids_of_sampled_requests_and_in_openmetrics_only() -> None:
    metrics = Metrics()
    sampled, other = "5" * 32, "6" * 32
    metrics.observe(RequestEnded("GET", "/x", 200, 0.03, trace_id=sampled, is_sampled=True, kind="screen"))
    metrics.observe(RequestEnded("GET", "/x", 200, 0.03, trace_id=other, kind="screen"))
    plain, open_metrics = metrics.text(), metrics.text("application/openmetrics-text; version=1.0.0")
    assert b"trace_id" not in plain and other.encode() not in open_metrics
    exemplars = [line for line in open_metrics.decode().splitlines() if sampled in line]
    assert len(exemplars) == 1 and 'le="0.05"' in exemplars[0]
    assert open_metrics.endswith(b"# EOF\n")
