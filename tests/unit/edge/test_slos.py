"""SLOs as they are declared: each mistake is a sentence that names the cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from bff import DeclarationError, Gateway, Router, SagaStatus, Slo, answered, complete, confirmed
from bff.calls import RequestRecord
from bff.edge.observe.observers import RequestEnded
from bff.edge.observe.slos import SloCounts
from bff.edge.slos import outcome_targets


class Page(BaseModel):
    name: str = ""


def gateway(*slos: Slo) -> Gateway:
    made = Gateway("desk", slos=slos)
    job = made.saga("job", SagaStatus)

    @made.view("/api/page")
    async def page() -> Page:
        return Page()

    @made.command("/api/jobs", starts=job)
    async def begin() -> SagaStatus:
        raise NotImplementedError

    @made.command("/api/basket", method="PUT")
    async def put() -> None: ...

    @made.command("/api/basket", method="DELETE")
    async def empty() -> None: ...

    return made


def test_the_examples_of_the_documentation_are_valid() -> None:
    made = gateway(
        Slo("checkout", command="/api/jobs", good=confirmed(within=3), target=0.99, days=28),
        Slo("home", view="/api/page", good=complete(within=0.3), target=0.995),
        Slo("basket", command="PUT /api/basket", good=answered(within=0.5), target=0.999),
    )
    made.check()
    assert [(budget.name, budget.of) for budget in made.budgets()] == [
        ("checkout", "outcomes"),
        ("home", "answers"),
        ("home-complete", "completeness"),
        ("basket", "answers"),
    ]
    assert [budget.what for budget in made.budgets()] == [
        "the outcome of command /api/jobs is on the person's stream within 3 s",
        "view /api/page is answered within 0.3 s",
        "view /api/page is answered with all its parts",
        "command PUT /api/basket is answered within 0.5 s",
    ]
    [target] = outcome_targets(made.budgets())["command /api/jobs"]
    assert target.within == 3 and target.statuses == {"COMPLETED", "COMPENSATED", "REJECTED"}


GOOD: Any = answered()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Slo("Home", view="/a", good=GOOD, target=0.9),
            "must be lower-case letters, digits and dashes",
        ),
        (lambda: Slo("a", good=GOOD, target=0.9), "it is about one view or one command"),
        (
            lambda: Slo("a", view="/a", command="/b", good=GOOD, target=0.9),
            "it is about one view or one command",
        ),
        (lambda: Slo("a", view="/a", good=0.3, target=0.9), "good is answered(within=…), complete"),  # type: ignore[arg-type]
        (
            lambda: Slo("a", command="/a", good=complete(1), target=0.9),
            "of a command use confirmed(within=…)",
        ),
        (lambda: Slo("a", view="/a", good=confirmed(1), target=0.9), "of a view use complete(within=…)"),
        (
            lambda: Slo("a", view="/a", good=answered(0), target=0.9),
            "within is seconds above 0 and up to 300",
        ),
        (lambda: Slo("a", command="/a", good=confirmed(301), target=0.9), "seconds above 0 and up to 300"),
        (
            lambda: Slo("a", command="/a", good=confirmed(1, statuses=["RUNNING"]), target=0.9),
            "statuses are some of COMPENSATED, COMPLETED, REJECTED, not RUNNING",
        ),
        (lambda: Slo("a", view="/a", good=GOOD, target=99), "not 99; write 0.99"),
        (lambda: Slo("a", view="/a", good=GOOD, target=1), "a share from 0.5 to below 1"),
        (lambda: Slo("a", view="/a", good=GOOD, target=0.9, days=1), "days are 7 to 90, not 1"),
        (lambda: Slo("a", view="/a", good=GOOD, target=0.9, minimum=0), "a number of requests from 1"),
        (lambda: Gateway("desk", slos=["home"]), "'home' is no Slo"),  # type: ignore[list-item]
        (
            lambda: gateway(
                Slo("a", view="/api/page", good=complete(1), target=0.9),
                Slo("a-complete", view="/api/page", good=GOOD, target=0.9),
            ),
            "there is another budget named a-complete; rename one",
        ),
    ],
)
def test_a_mistake_is_refused_where_it_is_made(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        make()
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("slo", "sentence"),
    [
        (
            Slo("a", view="/api/pagee", good=GOOD, target=0.9),
            "slo a: the gateway has no view /api/pagee; did you mean /api/page?",
        ),
        (Slo("a", view="/x", good=GOOD, target=0.9), "no view /x; it has /api/page; write a path as it is"),
        (
            Slo("a", command="/api/page", good=GOOD, target=0.9),
            "/api/page is a view, not a command: write view='/api/page' (tests.unit.edge.test_slos",
        ),
        (
            Slo("a", view="/api/jobs", good=GOOD, target=0.9),
            "is a command, not a view: write command='/api/jobs'",
        ),
        (
            Slo("a", command="/api/basket", good=GOOD, target=0.9),
            "has several commands: write command='PUT /api/basket' or 'DELETE /api/basket'",
        ),
        (Slo("a", view="GET /api/page", good=GOOD, target=0.9), "view='GET /api/page' is a path"),
        (
            Slo("a", command="PUT /api/basket", good=confirmed(1), target=0.9),
            "starts no saga, so its answer is final: use answered(within=…)",
        ),
    ],
)
def test_an_slo_whose_route_does_not_fit_stops_the_start(slo: Slo, sentence: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        gateway(slo).check()
    assert sentence in str(refused.value)


def test_a_route_that_is_declared_after_the_gateway_counts() -> None:
    made = Gateway("desk", slos=[Slo("late", view="/api/late/page", good=answered(), target=0.9)])
    late = Router("/api/late")
    made.include(late)

    @late.view("/page")
    async def page() -> Page:
        return Page()

    made.check()


def samples(counts: SloCounts) -> dict[str, dict[tuple[str, ...], float]]:
    return {name: dict(read()) for name, read in counts.readings().items()}


def test_answers_are_counted_by_status_time_and_completeness() -> None:
    made = gateway(Slo("home", view="/api/page", good=complete(within=0.3), target=0.9))
    counts = SloCounts([budget.counted for budget in made.budgets()])
    for status, seconds, whole in [
        (200, 0.1, True),
        (304, 0.3, True),
        (200, 0.1, False),  # incomplete: spends only the budget of completeness
        (200, 0.4, True),  # late
        (503, 0.1, None),
        (404, 0.1, None),
        (429, 0.1, None),
        (499, 5.0, None),
    ]:
        record = None if whole is None else RequestRecord(missing=0 if whole else 1)
        counts.observe(RequestEnded("GET", "/api/page", status, seconds, record=record))
    counts.observe(RequestEnded("HEAD", "/api/page", 200, 0.1, record=RequestRecord()))
    counts.observe(RequestEnded("GET", None, 404, 0.1))
    found = samples(counts)
    assert found["bff.slo.events"] == {("home",): 5, ("home-complete",): 4}
    assert found["bff.slo.good"] == {("home",): 3, ("home-complete",): 3}
    assert found["bff.slo.excluded"][("home", "refused")] == 2
    assert found["bff.slo.excluded"][("home", "left")] == 1
    assert found["bff.slo.excluded"][("home", "unmeasured")] == 0


def test_every_series_exists_from_the_start() -> None:
    made = gateway(Slo("checkout", command="/api/jobs", good=confirmed(1), target=0.9))
    found = samples(SloCounts([budget.counted for budget in made.budgets()]))
    assert found["bff.slo.events"] == {("checkout",): 0} == found["bff.slo.good"]


def test_a_command_that_is_to_be_confirmed_counts_failures_at_once_and_leaves_the_rest_to_its_outcome() -> (
    None
):
    made = gateway(Slo("checkout", command="/api/jobs", good=confirmed(1), target=0.9))
    counts = SloCounts([budget.counted for budget in made.budgets()])
    for status in (202, 499, 503, 422):
        counts.observe(RequestEnded("POST", "/api/jobs", status, 0.1))
    found = samples(counts)
    assert (found["bff.slo.events"], found["bff.slo.good"]) == ({("checkout",): 1}, {("checkout",): 0})
    assert found["bff.slo.excluded"] == {
        ("checkout", "left"): 0,
        ("checkout", "refused"): 1,
        ("checkout", "unmeasured"): 0,
    }
