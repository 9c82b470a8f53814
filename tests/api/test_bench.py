"""`make bench` works: a short round of every contender, and the profile."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.fanout import goals
from benchmarks.fanout import run as run_module
from benchmarks.fanout.contenders import ALL, Contender, bff, fastapi_aiohttp, fastify_dutiful, fastify_undici
from benchmarks.fanout.earlier import BASE
from benchmarks.fanout.run import Result
from benchmarks.fanout.run import Run as Measured
from benchmarks.fanout.start import Figures, Starts
from benchmarks.live import ALL as LIVE
from benchmarks.live import Plan, markdown
from benchmarks.live.figures import Pace, Row, Run
from benchmarks.live.run import Comparison

from ..conftest import ROOT


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a report."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


def table(text: str, first: str) -> list[list[str]]:
    """The rows, with the head, of the table whose first column has this name."""
    return cells(next(part for part in text.split("\n\n") if part.startswith(f"| {first} |")))


@pytest.mark.alone
@pytest.mark.slow
def test_every_contender_answers_correctly_and_has_a_row_and_each_goal_is_judged() -> None:
    text = run("--quick")
    rows = table(text, "contender")
    absent = [one for one in ALL if one.missing() is not None]
    assert [row[0] for row in rows] == ["contender", *(one.name for one in ALL if one not in absent)]
    assert all(row[-1] == "0" for row in rows[1:])
    assert [f"- Not measured: **{one.name}** ({one.missing()})." in text for one in absent] == [True] * len(
        absent
    )
    needed = {
        "/ bare Fastify": fastify_undici.CONTENDER,
        "/ dutiful Fastify": fastify_dutiful.CONTENDER,
        "two workers": bff.WORKERS,
        f"/ at {BASE}": bff.EARLIER,
    }
    for what, *_, verdict in table(text, "what")[1:]:
        lacks = any(words in what and one in absent for words, one in needed.items())
        assert verdict in (["not measured"] if lacks else ["met", "missed", "stretch"]), what


def test_each_goal_is_judged_by_the_median_of_its_passes() -> None:
    def row(one: Contender, *cpu: float) -> Result:
        runs = [Measured(value, 1000.0, 1.0, 5.0, 9.0, 4.0, 3.0, 0) for value in cpu]
        return Result(one, 64, runs, memory=80.0)

    rows = [
        row(bff.PUBLIC, 100.0, 100.0, 100.0),
        row(fastify_undici.CONTENDER, 100.0, 80.0, 90.0),
        row(fastapi_aiohttp.CONTENDER, 400.0, 50.0, 300.0),
        row(bff.CACHED, 10.0, 70.0, 60.0),
    ]
    starts = Starts(Figures([50.0], [90.0], [1.0]), Figures([100.0], [100.0], [1.0]))
    found = {one.what: one.verdict for one in goals.goals(run_module.Comparison(rows, starts, 1.0, 0.0), 64)}
    assert found["public screen / bare Fastify + undici"] == "met", "1.11 of 1.2; the stretch is 1.0"
    assert found["public screen / FastAPI + aiohttp"] == "stretch", "0.33 of 0.35"
    assert found["cached screen / public"] == "missed", "0.6 of 0.5"
    assert found["replay of a command / public"] == "not measured"
    assert found["resident memory of one worker"] == "missed"
    assert found[f"CPU of `import bff` / at {BASE}"] == "met"
    assert found[f"CPU from start to first answer / at {BASE}"] == "missed"


@pytest.mark.parametrize(
    ("contender", "answers", "calls", "spans", "said"),
    [
        (bff.PUBLIC, 100, 299, 0, "299 calls of services for 100 answers, not 300"),
        (bff.CACHED, 100, 1, 0, "1 calls of services for 100 answers, not 0"),
        (bff.SAMPLED, 1_000, 3_000, 2_900, "2,900 spans were exported for 1,000 answers"),
    ],
)
def test_a_row_whose_services_were_asked_too_seldom_is_wrong(
    contender: Contender, answers: int, calls: int, spans: int, said: str
) -> None:
    assert run_module.too_little(contender.ask, answers, calls, spans) == [said]
    assert run_module.too_little(contender.ask, answers, answers * contender.ask.calls, answers * 4) == []


@pytest.mark.slow
def test_the_profile_lists_the_functions_that_use_the_time() -> None:
    assert "bff/edge/endpoints/screen.py:ScreenEndpoint.__call__" in run("profile", "--seconds", "1")


@pytest.mark.slow
def test_a_decision_over_our_redis_client_costs_a_fraction_of_one_over_a_pool() -> None:
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in run("decisions").splitlines()}
    ours, theirs = (rows[f"| a decision, {way}"] for way in ("the link", "redis-py and hiredis"))
    assert float(ours[1]) * 3 < float(theirs[1]), "with 32 under way"


@pytest.mark.slow
def test_a_304_saves_nearly_all_bytes_and_the_time_to_compress() -> None:
    head, *rows = cells(run("etags"))
    assert [row[0] for row in rows] == ["2 KB", "20 KB", "200 KB"]
    saved = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    for size, least in (("2 KB", 50), ("20 KB", 95), ("200 KB", 99)):
        assert float(saved[size]["saved: bytes, CPU"].partition("%")[0]) >= least
    assert float(saved["200 KB"]["saved of gzip"].rpartition(", ")[2].rstrip("% ")) > 10


@pytest.mark.slow
def test_every_contender_with_streams_has_a_row() -> None:
    rows = cells(run("live", "--quick"))
    assert [row[0] for row in rows] == ["contender", *(one.name for one in LIVE if one.missing() is None)]
    ours = dict(zip(rows[0], rows[1], strict=True))
    assert ours["tasks/stream"] == "1.0"
    assert float(ours["broadcast CPU µs/event"]) > 0 < float(ours["p99 ms"])


def test_the_table_of_streams_has_medians_spreads_and_failures() -> None:
    pace = Pace(rate=5000, reached=4000.0, cpu=9.0, p50=1.0, p99=60.0, held=False)
    held = Pace(rate=3000, reached=3000.0, cpu=9.0, p50=1.0, p99=20.0, held=True)
    ours, nchan, *_ = LIVE

    def one(broadcast: float) -> Run:
        return Run(broadcast, 20.0, 90.0, 80.0, 11.0, 1.0, 5.0, 30.0, None, (pace, held))

    rows = [
        Row(ours, 100, [one(8.0), one(9.0), one(12.0)]),
        Row(nchan, 100, [one(8.0), one(8.0)], failure="7 of 9 events had come after 30 s"),
    ]
    text = markdown(Comparison(rows, ("nginx 1.22", "sse-starlette 3.7")), Plan((100,)))
    head, mine, theirs = cells(text)
    assert mine[head.index("broadcast CPU µs/event")] == "9.0 (8.0–12.0)"
    assert mine[head.index("× nchan")] == "1.06 (1.00–1.12)", "of the passes both have"
    assert mine[head.index("kept up with events/s")] == "3,000"
    assert theirs[0] == "nchan"
    assert "**nchan**: Given up in pass 3: 7 of 9 events had come after 30 s." in text
    assert "p99 of 50 ms (inf: missed)" in text, "the rate was not held"
    assert "0.9 × nchan's broadcast (1.06: missed), 0.65 × nchan's single user (1.00: missed)" in text
    assert "6 × nchan's connect (1.00: stretch), 11.5 kB (11.00: met)" in text
    assert text.endswith("; nginx 1.22; sse-starlette 3.7.\n")
