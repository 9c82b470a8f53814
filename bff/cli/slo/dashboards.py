"""Grafana's dashboards as code: Overview, Upstreams, Live, Sagas, Browser and SLOs, in Grafana's JSON.

Every panel is one or more queries with a sentence that says what to look for. They need a Prometheus as data source,
which is chosen at the top of each dashboard, as the gateway (`job`) is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .budgets import ERRORS, REMAINING, TARGET

_JOB = 'job=~"$job"'
_SLO = 'gateway=~"$job"'
_SOURCE = {"type": "prometheus", "uid": "$datasource"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24


@dataclass(frozen=True, slots=True)
class Query:
    """expr: PromQL, in which `JOB` stands for the matcher of the gateway; legend: Grafana's format of a name."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """unit: Grafana's name of it; kind: how it is drawn; needs: what must happen for it to have data."""

    title: str
    look_for: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """uid: its address in Grafana, after the gateway's name."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def _p(expr: str, legend: str = "") -> tuple[Query, ...]:
    return (Query(expr, legend),)


def _quantiles(metric: str, by: str = "", more: str = "") -> tuple[Query, ...]:
    also = f"{by}, " if by else ""
    name = f" {{{{{by}}}}}" if by else ""
    return tuple(
        Query(
            f"histogram_quantile({quantile}, sum by ({also}le) (rate({metric}_bucket{{JOB{more}}}[$__rate_interval])))",
            f"p{round(quantile * 100)}{name}",
        )
        for quantile in (0.5, 0.95, 0.99)
    )


_R = "[$__rate_interval]"
_HTTP = "http_server_request_duration_seconds"
_CLIENT = "http_client_request_duration_seconds"
_FAILED = ',http_response_status_code=~"5.."'
_OURS = ',bff_kind=~"screen|command"'
_WHOLE = ',bff_complete="true"'


def _rate(metric: str, by: str = "", more: str = "") -> str:
    """The sum of the rates of these counters, by these labels."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}{{JOB{more}}}{_R}))"


OVERVIEW = Dashboard(
    "overview",
    "Overview",
    (
        Panel(
            "Requests",
            "The shape of a day. A gap is a gateway without traffic, not one that fails.",
            _p(_rate(f"{_HTTP}_count", "bff_kind"), "{{bff_kind}}"),
            "reqps",
        ),
        Panel(
            "Errors",
            "Share of answers with 5xx. Which route, and with which code: see the next two panels.",
            _p(
                f"({_rate(f'{_HTTP}_count', more=_FAILED)} or vector(0)) / {_rate(f'{_HTTP}_count')}",
                "5xx",
            ),
            "percentunit",
        ),
        Panel(
            "Answers by status",
            "A rise of 4xx is usually a client; of 503 it is Redis, a breaker or too much load.",
            _p(
                _rate(f"{_HTTP}_count", "http_response_status_code"),
                "{{http_response_status_code}}",
            ),
            "reqps",
        ),
        Panel(
            "Time of an answer",
            "Screens and commands, without streams.",
            _quantiles(_HTTP, more=_OURS),
            "s",
        ),
        Panel(
            "Slowest routes (p95)",
            "The five routes whose answers take longest.",
            _p(
                f"topk(5, histogram_quantile(0.95, {_rate(f'{_HTTP}_bucket', 'http_route, le', _OURS)}))",
                "{{http_route}}",
            ),
            "s",
        ),
        Panel(
            "Complete screens",
            "Share of screens with all their parts. What is missing: the dashboard Upstreams.",
            _p(
                f"{_rate('bff_screen_answers_total', 'http_route', _WHOLE)}"
                f" / {_rate('bff_screen_answers_total', 'http_route')}",
                "{{http_route}}",
            ),
            "percentunit",
        ),
        Panel(
            "Under way",
            "Requests being answered, and open streams.",
            (
                Query("sum(http_server_active_requests{JOB})", "requests"),
                Query("sum(bff_stream_open{JOB})", "streams"),
            ),
        ),
        Panel(
            "Event loop",
            "How late it is, in each process. Above 0.25 s the gateway refuses requests.",
            _p("max by (instance) (bff_loop_lag_seconds{JOB})", "{{instance}}"),
            "s",
        ),
        Panel(
            "Gateways and Redis",
            "1 is well: processes that answer Prometheus, are ready, and reach Redis.",
            (
                Query("min(up{JOB})", "up"),
                Query("min(bff_ready{JOB})", "ready"),
                Query("min(bff_redis_up{JOB})", "Redis"),
            ),
        ),
        Panel(
            "Memory",
            "Of each process. A step that stays after a peak is a leak.",
            _p("process_resident_memory_bytes{JOB}", "{{instance}}"),
            "bytes",
        ),
        Panel(
            "CPU",
            "Cores of each process. Python's one loop is full at 1.",
            _p(f"rate(process_cpu_seconds_total{{JOB}}{_R})", "{{instance}}"),
        ),
    ),
)
UPSTREAMS = Dashboard(
    "upstreams",
    "Upstreams",
    (
        Panel(
            "Attempts",
            "What is sent to each service, with retries and hedges.",
            _p(_rate(f"{_CLIENT}_count", "bff_service"), "{{bff_service}}"),
            "reqps",
        ),
        Panel(
            "Attempts that did not succeed",
            "By outcome. origin: the service answered so; client: nobody waited any more; local: it was not sent.",
            _p(
                _rate(
                    "bff_upstream_attempts_total", "bff_service, bff_outcome, bff_side", ',bff_outcome!="ok"'
                ),
                "{{bff_service}} {{bff_outcome}} ({{bff_side}})",
            ),
            "reqps",
        ),
        Panel(
            "Time of an attempt (p95)",
            "By service. Compare with the time limits in `bff routes`.",
            _p(
                f"histogram_quantile(0.95, {_rate(f'{_CLIENT}_bucket', 'bff_service, le')})",
                "{{bff_service}}",
            ),
            "s",
        ),
        Panel(
            "Breakers",
            "0 closed, 1 half-open, 2 open: at 2 nothing is sent.",
            _p("max by (bff_service, bff_group) (bff_breaker_state{JOB})", "{{bff_service}} {{bff_group}}"),
        ),
        Panel(
            "Breakers opening",
            "Each step is one opening. Many small ones: the breaker flaps.",
            _p(
                'sum by (bff_service) (increase(bff_breaker_transitions_total{JOB,bff_state="open"}[5m]))',
                "{{bff_service}}",
            ),
        ),
        Panel(
            "Retries",
            "Attempts after the first, by the reason of the one before.",
            _p(
                _rate("bff_upstream_retries_total", "bff_service, bff_reason"),
                "{{bff_service}} {{bff_reason}}",
            ),
            "reqps",
        ),
        Panel(
            "Calls that were not sent",
            "circuit-open, bulkhead, deadline or retry-budget: the gateway protects itself and the service.",
            _p(
                _rate("bff_upstream_rejections_total", "bff_service, bff_reason"),
                "{{bff_service}} {{bff_reason}}",
            ),
            "reqps",
        ),
        Panel(
            "Permits in use",
            "Share of the bulkhead. At 100 % calls wait.",
            _p(
                "sum by (bff_service) (bff_bulkhead_used{JOB}) / sum by (bff_service) (bff_bulkhead_limit{JOB})",
                "{{bff_service}}",
            ),
            "percentunit",
        ),
        Panel(
            "Calls waiting for a permit",
            "Above 0 for long: the service is too slow for its bulkhead.",
            _p("sum by (bff_service) (bff_bulkhead_waiting{JOB})", "{{bff_service}}"),
        ),
        Panel(
            "Missing parts",
            "Which call a screen went without, and why.",
            _p(
                _rate("bff_screen_missing_parts_total", "http_route, bff_service, bff_call, bff_reason"),
                "{{http_route}} {{bff_call}} {{bff_reason}}",
            ),
            "reqps",
        ),
        Panel(
            "Reads by what answered them",
            "hit and stale: the cache; coalesced: another request's call; miss: the service.",
            _p(_rate("bff_cache_reads_total", "bff_result"), "{{bff_result}}"),
            "reqps",
        ),
        Panel(
            "Addresses left out",
            "1: an address of this service gets no calls for a while.",
            _p("sum by (bff_service) (bff_address_ejected{JOB})", "{{bff_service}}"),
        ),
    ),
)
LIVE = Dashboard(
    "live",
    "Live",
    (
        Panel(
            "Open streams",
            "One for each browser. A sudden fall is a network or a proxy in between.",
            _p("sum by (instance) (bff_stream_open{JOB})", "{{instance}}"),
        ),
        Panel(
            "Lag of events",
            "From the time of the event at its service to the browser's connection.",
            _quantiles("bff_stream_lag_seconds"),
            "s",
        ),
        Panel(
            "Streams opening",
            "Joins in a second. A peak after a restart is normal and is spread over the drain window.",
            _p(_rate("bff_stream_joins_total"), "joins"),
            "ops",
        ),
        Panel(
            "Streams ending",
            "By reason: age and drain are planned.",
            _p(_rate("bff_stream_ends_total", "bff_reason"), "{{bff_reason}}"),
            "ops",
        ),
        Panel(
            "Resets",
            "Streams that had to begin again with the whole state.",
            _p(_rate("bff_stream_resets_total", "bff_reason"), "{{bff_reason}}"),
            "ops",
        ),
        Panel(
            "Oldest unread event",
            "By broker. It grows in a straight line when nobody reads.",
            _p("max by (bff_source) (bff_events_oldest_unread_seconds{JOB})", "{{bff_source}}"),
            "s",
        ),
        Panel(
            "Dead letters and losses",
            "Events that could not be used, and events that a broker dropped.",
            (
                Query(
                    "sum by (bff_reason) (increase(bff_events_dead_letters_total{JOB}[5m]))", "{{bff_reason}}"
                ),
                Query("sum(increase(bff_events_losses_total{JOB}[5m]))", "lost"),
            ),
        ),
        Panel(
            "Journals waiting",
            "To be restored from the services. Above 0 for minutes: a service does not list its sagas.",
            _p("sum(bff_journals_waiting{JOB})", "journals"),
        ),
    ),
)
SAGAS = Dashboard(
    "sagas",
    "Sagas",
    (
        Panel(
            "Open sagas",
            "By type. A rise without an end: some step does not go on.",
            _p("max by (bff_saga) (bff_saga_open{JOB})", "{{bff_saga}}"),
        ),
        Panel(
            "Age of the oldest",
            "By type. One stuck saga is a straight line here.",
            _p("max by (bff_saga) (bff_saga_oldest_seconds{JOB})", "{{bff_saga}}"),
            "s",
        ),
        Panel(
            "Sagas that need attention",
            "A person has to decide. See the runbook of BffSagasNeedAttention.",
            _p("max by (bff_saga) (bff_saga_needs_attention{JOB})", "{{bff_saga}}"),
        ),
        Panel(
            "Sagas ending",
            "By outcome. Compensated and rejected ones are told to the person, too.",
            _p(
                _rate("bff_saga_ended_total", "bff_saga, bff_outcome"),
                "{{bff_saga}} {{bff_outcome}}",
            ),
            "ops",
        ),
        Panel(
            "Time of a saga",
            "From its begin to its end.",
            _quantiles("bff_saga_duration_seconds", "bff_saga"),
            "s",
        ),
    ),
)
BROWSER = Dashboard(
    "browser",
    "Browser",
    (
        Panel(
            "From the click to the paint (p95)",
            "As browsers report it: the optimistic change, the answer, the final state.",
            _p(
                "histogram_quantile(0.95, "
                f"{_rate('bff_browser_duration_seconds_bucket', 'http_route, bff_phase, le')})",
                "{{http_route}} {{bff_phase}}",
            ),
            "s",
        ),
        Panel(
            "Web vitals (p75)",
            "LCP and INP in seconds, CLS as its score. Good: 2.5 s, 0.2 s and 0.1.",
            _p(
                "histogram_quantile(0.75, "
                f"{_rate('bff_browser_vitals_bucket', 'http_route, bff_vital, le')})",
                "{{http_route}} {{bff_vital}}",
            ),
            "none",
        ),
        Panel(
            "Reports",
            "Browsers' reports that were taken, and why others were not.",
            _p(_rate("bff_browser_reports_total", "bff_result"), "{{bff_result}}"),
            "ops",
        ),
    ),
)
SLOS = Dashboard(
    "slos",
    "SLOs",
    (
        Panel(
            "Error budget left",
            "Of the SLO's days. At 0 % the target is missed; below, by how much.",
            _p(f"{REMAINING}{{{_SLO}}}", "{{bff_slo}}"),
            "percentunit",
            "stat",
        ),
        Panel(
            "Burn rate",
            "1 spends the budget in exactly its days. Above 14.4 for an hour somebody is paged.",
            _p(
                f"sum by (bff_slo) ({ERRORS}1h{{{_SLO}}}) / (1 - sum by (bff_slo) ({TARGET}{{{_SLO}}}))",
                "{{bff_slo}}",
            ),
        ),
        Panel(
            "Good requests",
            "Share over five minutes.",
            _p(f"1 - {ERRORS}5m{{{_SLO}}}", "{{bff_slo}}"),
            "percentunit",
        ),
        Panel(
            "Requests that count",
            "Below an SLO's minimum in an hour, no alert is raised.",
            _p(_rate("bff_slo_events_total", "bff_slo"), "{{bff_slo}}"),
            "reqps",
        ),
        Panel(
            "Left out",
            "Neither good nor bad: the person had left, the request was refused, or it could not be timed.",
            _p(
                _rate("bff_slo_excluded_total", "bff_slo, bff_reason"),
                "{{bff_slo}} {{bff_reason}}",
            ),
            "reqps",
        ),
    ),
)
DASHBOARDS = (OVERVIEW, UPSTREAMS, LIVE, SAGAS, BROWSER, SLOS)


def with_job(expr: str) -> str:
    """The query as Grafana gets it."""
    return expr.replace("JOB", _JOB)


def model(dashboard: Dashboard, gateway: str) -> dict[str, Any]:
    """Grafana's JSON of a dashboard. gateway: its name, which is the default `job`."""
    return {
        "uid": f"bff-{gateway}-{dashboard.uid}"[:40],
        "title": f"{gateway}: {dashboard.title}",
        "tags": ["bff", gateway],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "title": "bff",
                "tags": ["bff", gateway],
                "asDropdown": False,
                "keepTime": True,
            }
        ],
        "templating": {"list": list(_variables(gateway))},
        "panels": list(_panels(dashboard.panels)),
    }


def _variables(gateway: str) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "job",
        "label": "Gateway",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(bff_ready, job)", "refId": "job"},
        "current": {"text": gateway, "value": gateway},
        "refresh": 2,
    }


def _panels(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    across = _COLUMNS // _WIDTH
    for index, panel in enumerate(panels):
        yield {
            "id": index + 1,
            "type": panel.kind,
            "title": panel.title,
            "description": panel.look_for,
            "datasource": _SOURCE,
            "gridPos": {
                "x": index % across * _WIDTH,
                "y": index // across * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {
                    "refId": chr(65 + number),
                    "datasource": _SOURCE,
                    "expr": with_job(query.expr),
                    "legendFormat": query.legend or "__auto",
                }
                for number, query in enumerate(panel.queries)
            ],
        }
