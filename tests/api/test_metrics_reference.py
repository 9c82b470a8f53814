"""`bff metrics` lists every metric, docs/reference/metrics.md is what it prints, and no page names another one."""

from __future__ import annotations

import re

import pytest

from bff.cli.main import main
from bff.edge.observe.instruments import GROUPS, INSTRUMENTS, Instrument
from bff.edge.observe.metrics import Metrics

from ..conftest import ROOT

ALL = [one for group in GROUPS.values() for one in group]
NAMES = re.compile(
    r"\b(?:bff_(?:upstream|breaker|bulkhead|address|retry_budget|cache|screen|limit|shed|loop|stream|events|journals"
    r"|saga|worker)_[a-z_]+|http_(?:server|client)_[a-z_]+)\b"
)


def test_the_page_equals_the_output_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics"]) == 0
    printed = capsys.readouterr().out
    written = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert written == printed, "run: bff metrics > docs/reference/metrics.md"


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_every_metric_has_a_unit_a_meaning_and_a_version(one: Instrument) -> None:
    assert re.fullmatch(r"s|1|\{[a-z]+\}", one.unit)
    assert re.fullmatch(r"\S[\s\S]{8,}\.", one.meaning)
    assert re.fullmatch(r"\d+\.\d+\.\d+", one.since)
    assert bool(one.buckets) == (one.kind == "histogram") and list(one.buckets) == sorted(set(one.buckets))
    assert one.name.startswith(("bff.", "http.")) and len(set(one.attributes)) == len(one.attributes)


def test_each_name_is_declared_once() -> None:
    assert len({one.name for one in ALL}) == len({one.prometheus for one in ALL}) == len(ALL)
    assert set(INSTRUMENTS) <= set(ALL)


@pytest.mark.parametrize(
    ("name", "prometheus"),
    [
        ("http.server.request.duration", "http_server_request_duration_seconds"),
        ("http.server.active_requests", "http_server_active_requests"),
        ("bff.upstream.retries", "bff_upstream_retries_total"),
        ("bff.loop.lag", "bff_loop_lag_seconds"),
    ],
)
def test_the_name_in_prometheus_follows_the_translation_of_opentelemetry(name: str, prometheus: str) -> None:
    assert next(one for one in ALL if one.name == name).prometheus == prometheus


def test_documents_name_only_metrics_that_exist() -> None:
    known = {one.prometheus + end for one in ALL for end in ("", "_bucket", "_sum", "_count")}
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    unknown = {
        (str(page.relative_to(ROOT)), name)
        for page in pages
        for name in NAMES.findall(page.read_text(encoding="utf-8"))
        if name not in known and not name.endswith("_")
    }
    assert unknown == set()


def test_what_counts_is_one_instrument_each() -> None:
    assert set(Metrics().series) == {one.name for one in INSTRUMENTS if one.kind != "gauge"}
