"""The metrics of several workers as one page: what is added up, what has the worker's number, and what stays."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from bff.edge.observe.metrics import Metrics
from bff.edge.observe.observers import RequestEnded
from bff.edge.observe.worker_metrics import WorkerFigures, WorkerMetrics


def page(requests: int, streams: int = 0, lag: float = 0.0) -> str:
    """As one worker has it."""
    return f"""# HELP bff_cache_reads_total Answers to browsers.
# TYPE bff_cache_reads_total counter
bff_cache_reads_total{{route="/a \\"quoted\\"",status="200"}} {requests}
# HELP bff_bulkhead_wait_seconds Seconds.
# TYPE bff_bulkhead_wait_seconds histogram
bff_bulkhead_wait_seconds_bucket{{le="0.1"}} {requests - 1}
bff_bulkhead_wait_seconds_bucket{{le="+Inf"}} {requests}
bff_bulkhead_wait_seconds_count {requests}
bff_bulkhead_wait_seconds_sum {requests / 4}
# HELP bff_stream_open Open event streams.
# TYPE bff_stream_open gauge
bff_stream_open {streams}
# HELP bff_loop_lag_seconds How late.
# TYPE bff_loop_lag_seconds gauge
bff_loop_lag_seconds {lag}
"""


def values(page: tuple[bytes, str]) -> dict[str, float]:
    """By name and the values of the labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(page[0].decode())
        for sample in family.samples
    }


def test_counters_histograms_and_some_gauges_are_added_and_other_gauges_have_the_number() -> None:
    shown = values(
        WorkerMetrics(2).page(
            [WorkerFigures(0, page(4, 1, 0.5), True, True), WorkerFigures(1, page(8, 2, 0.25), True, True)]
        )
    )
    assert shown == {
        'bff_cache_reads_total /a "quoted" 200': 12,
        "bff_bulkhead_wait_seconds_bucket 0.1": 10,
        "bff_bulkhead_wait_seconds_bucket +Inf": 12,
        "bff_bulkhead_wait_seconds_count": 12,
        "bff_bulkhead_wait_seconds_sum": 3,
        "bff_stream_open": 3,
        "bff_loop_lag_seconds 0": 0.5,
        "bff_loop_lag_seconds 1": 0.25,
        "bff_worker_up 0": 1,
        "bff_worker_up 1": 1,
        "bff_worker_restarts_total 0": 0,
        "bff_worker_restarts_total 1": 0,
    }


def test_what_an_ended_worker_counted_stays_and_its_states_go() -> None:
    all_workers = WorkerMetrics(1)
    all_workers.retain(page(4, 7, 1.0))
    all_workers.retain(page(4, 7, 1.0))
    all_workers.count_restart(0)
    shown = values(all_workers.page([WorkerFigures(0, page(2), True, True)]))
    assert (
        shown['bff_cache_reads_total /a "quoted" 200'] == shown["bff_bulkhead_wait_seconds_bucket +Inf"] == 10
    )
    assert (shown["bff_stream_open"], shown["bff_loop_lag_seconds 0"]) == (0, 0)
    assert shown["bff_worker_restarts_total 0"] == 1
    # A page changes nothing of what is kept.
    assert values(all_workers.page([WorkerFigures(0, page(2), True, True)])) == shown


def test_a_worker_that_does_not_answer_is_named_keeps_its_counters_and_has_no_states() -> None:
    silent = WorkerFigures(1, page(8, 2, 0.25), True, False)
    shown = values(WorkerMetrics(2).page([WorkerFigures(0, page(4, 1, 0.5), True, True), silent]))
    assert shown['bff_cache_reads_total /a "quoted" 200'] == 12
    assert shown["bff_stream_open"] == 1 and "bff_loop_lag_seconds 1" not in shown
    assert (shown["bff_worker_up 0"], shown["bff_worker_up 1"]) == (1, 0)


def test_a_worker_with_a_successor_counts_in_sums_and_its_number_is_the_successors() -> None:
    retiring, successor = (
        WorkerFigures(0, page(8, 2, 9.0), False, True),
        WorkerFigures(0, page(1), True, True),
    )
    for order in ([retiring, successor], [successor, retiring]):
        shown = values(WorkerMetrics(1).page(order))
        assert (shown["bff_stream_open"], shown["bff_loop_lag_seconds 0"]) == (2, 0)
        assert shown['bff_cache_reads_total /a "quoted" 200'] == 9


def test_a_copy_for_another_thread_does_not_change_with_the_original() -> None:
    all_workers = WorkerMetrics(1)
    copied = all_workers.copy()
    all_workers.retain(page(4))
    all_workers.count_restart(0)
    assert values(copied.page([])) == {"bff_worker_up 0": 0, "bff_worker_restarts_total 0": 0}


def test_the_largest_of_a_state_of_the_whole_fleet_is_shown_once() -> None:
    def open_sagas(count: int) -> str:
        return f'# TYPE bff_saga_open gauge\nbff_saga_open{{bff_saga="order"}} {count}\n'

    workers = [WorkerFigures(index, open_sagas(3 + index), True, True) for index in range(2)]
    assert values(WorkerMetrics(2).page(workers))["bff_saga_open order"] == 4


def test_a_page_of_openmetrics_has_the_newest_exemplar_of_all_workers() -> None:
    def worker(trace: str, at: float) -> str:
        metrics = Metrics(clock=lambda: at)
        metrics.observe(RequestEnded("GET", "/x", 200, 0.03, trace_id=trace, is_sampled=True, kind="screen"))
        return metrics.text("application/openmetrics-text; version=1.0.0").decode()

    workers = [
        WorkerFigures(0, worker("a" * 32, 20.0), True, True),
        WorkerFigures(1, worker("b" * 32, 10.0), True, True),
    ]
    page, media_type = WorkerMetrics(2).page(workers, "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text") and page.endswith(b"# EOF\n")
    assert b"a" * 32 in page and b"b" * 32 not in page
    found = next(line for line in page.decode().splitlines() if "_seconds_count" in line and "/x" in line)
    assert found.endswith(" 2.0")
    assert b"a" * 32 not in WorkerMetrics(2).page(workers)[0]
