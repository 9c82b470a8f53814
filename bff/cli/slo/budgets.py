"""Recording rules and alerts of error budgets, as the SRE workbook has them (chapter 5, "Alerting on SLOs"): several
windows, several burn rates.

A burn rate of 1 spends a budget in exactly its days. An alert needs a rate that is too high over a long window, and
still is over a short one, so that it ends soon after its cause. It also needs `Slo.minimum` requests in the long
window: of three requests at night, one failure is no incident.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ...edge.gateway import Gateway
from ...edge.slos import Budget
from ..static_analysis import steps
from .rules import Alert, Group, Recording, Severity

ERRORS, EVENTS = "bff:slo_errors:ratio_rate", "bff:slo_events:increase"
TARGET, REMAINING = "bff:slo_target:ratio", "bff:slo_budget_remaining:ratio"


@dataclass(frozen=True, slots=True)
class Burn:
    """One condition of an alert. rate: how many times faster than allowed the budget is spent."""

    rate: float
    long: str
    short: str


PAGE = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))
"""2 % of the budget of 28 days in an hour, or 5 % in six hours."""
TICKET = (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))
"""10 % of the budget in a day or in three days."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def groups(gateway: Gateway, job: str) -> list[Group]:
    """The recording rules; none for a gateway without SLOs. job: the label of its scrapes in Prometheus."""
    budgets = gateway.budgets()
    if not budgets:
        return []
    labels = {"gateway": gateway.name}
    rules = [
        *(rule for window in WINDOWS for rule in _window(window, job, labels)),
        *(
            Recording(TARGET, f"vector({budget.slo.target:g})", {**labels, "bff_slo": budget.name})
            for budget in budgets
        ),
    ]
    periods = sorted({budget.slo.days for budget in budgets})
    of_period = [
        rule
        for days in periods
        for rule in _period(days, job, [budget for budget in budgets if budget.slo.days == days], labels)
    ]
    return [
        Group(f"{gateway.name}-slo-windows", rules),
        # Over weeks little changes in a minute, and the query is the dearest.
        Group(f"{gateway.name}-slo-budgets", of_period, "5m"),
    ]


def _window(window: str, job: str, labels: dict[str, str]) -> Iterator[Recording]:
    good, events = (_sum(name, job, f"rate(%s[{window}])") for name in ("good", "events"))
    # Without any requests there is no ratio: an empty window is neither good nor bad.
    yield Recording(f"{ERRORS}{window}", f"1 - {good}\n  / ({events} > 0)", labels)
    if window in {burn.long for burn in (*PAGE, *TICKET)}:
        yield Recording(f"{EVENTS}{window}", _sum("events", job, f"increase(%s[{window}])"), labels)


def _period(days: int, job: str, budgets: Sequence[Budget], labels: dict[str, str]) -> Iterator[Recording]:
    names = "|".join(budget.name for budget in budgets)
    good, events = (
        _sum(name, job, f"increase(%s[{days}d])", f',bff_slo=~"{names}"') for name in ("good", "events")
    )
    yield Recording(
        REMAINING,
        f"1 - (1 - {good}\n  / ({events} > 0))\n"
        f'  / (1 - sum by (bff_slo) ({TARGET}{{gateway="{labels["gateway"]}"}}))',
        labels,
    )


def _sum(name: str, job: str, over: str, more: str = "") -> str:
    return f"sum by (bff_slo) ({over % f'bff_slo_{name}_total{{job={chr(34)}{job}{chr(34)}{more}}}'})"


def alerts(gateway: Gateway) -> list[Alert]:
    """Two alerts for each budget: it burns fast, it burns slowly."""
    found = []
    for budget in gateway.budgets():
        # What an optional part is, its author has decided: a screen without it is no reason to wake somebody.
        fast: Severity = "ticket" if budget.of == "completeness" else "page"
        for name, severity, burns in (
            ("BffSloBudgetBurnsFast", fast, PAGE),
            ("BffSloBudgetBurnsSlowly", "ticket", TICKET),
        ):
            allowed = 1 - budget.slo.target
            # A rate at which more than all requests would have to fail cannot be reached.
            possible = [burn for burn in burns if burn.rate * allowed < 1]
            if possible:
                found.append(_alert(gateway, budget, name, severity, possible))
    return found


def _alert(gateway: Gateway, budget: Budget, name: str, severity: Severity, burns: Sequence[Burn]) -> Alert:
    slo, allowed = budget.slo, 1 - budget.slo.target
    which = f'{{gateway="{gateway.name}",bff_slo="{budget.name}"}}'
    conditions = [
        f"({ERRORS}{burn.long}{which} > {burn.rate * allowed:.6g}\n"
        f"  and {ERRORS}{burn.short}{which} > {burn.rate * allowed:.6g}\n"
        f"  and {EVENTS}{burn.long}{which} >= {slo.minimum})"
        for burn in burns
    ]
    words = [f"{burn.rate:g} times too fast for {burn.long}" for burn in burns]
    how = "fast" if burns[0] in PAGE else "slowly"
    traces, jaeger = worst_traces(gateway, budget)
    return Alert(
        name,
        # With `max`, both conditions give one alert.
        "max by (gateway, bff_slo) (\n" + "\nor\n".join(conditions) + "\n)",
        "2m" if how == "fast" else "15m",
        severity,
        f"The error budget of {budget.name} burns {how}",
        f"Too few are good: {budget.what}, for {slo.target:.6g} of them in {slo.days} days. The budget is being spent "
        f"{' or '.join(words)}.",
        slo.runbook or f"slo-budget-burns-{how}",
        (slo.team or gateway.name, slo.contact),
        {
            "gateway": gateway.name,
            "bff_slo": budget.name,
            "budget": budget.of,
            "services": ",".join(services_of(budget)),
        },
        traces,
        jaeger,
    )


def services_of(budget: Budget) -> list[str]:
    """The services without which the budget is spent, as far as the function's source shows them."""
    optional = budget.of == "completeness"
    found = {
        step.upstream.owner.service for step in steps(budget.route.function) if step.optional == optional
    }
    return sorted(found)


def worst_traces(gateway: Gateway, budget: Budget) -> tuple[str, str]:
    """A TraceQL query, and a search in Jaeger, for the traces of requests that were not good."""
    route, within = budget.route, budget.slo.good.within
    where = f'resource.service.name = "{gateway.name}" && span.http.route = "{route.path}"'
    bad = ["status = error"] + ([f"duration > {within * 1000:g}ms"] if within is not None else [])
    search = {
        "service": gateway.name,
        "operation": f"{route.method} {route.path}",
        "lookback": "1h",
        "limit": "20",
    }
    if budget.of == "completeness":
        bad = ["span.bff.complete = false"]
    elif within is not None:
        search["minDuration"] = f"{within * 1000:g}ms"
    return f"{{ {where} && ({' || '.join(bad)}) }}", urlencode(search)
