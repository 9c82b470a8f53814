"""The alerts that every gateway has, whatever its SLOs are: a part of it fails, or something waits for a person.

Each has a page of its name in docs/runbooks. An alert about a service names the team that owns it. A service that a
view or command requires is a reason to page its owner; one that only optional parts need is a ticket.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from ...calls import Upstream
from ...edge.gateway import Gateway
from ..static_analysis import steps
from .rules import Alert, Severity


@dataclass(frozen=True, slots=True)
class General:
    """An alert about the gateway itself. `JOB` in `expr` stands for the matcher of its scrapes."""

    name: str
    expr: str
    wait: str
    severity: Severity
    runbook: str
    summary: str
    description: str


GENERAL = (
    General(
        "BffNoGateway",
        "(max(up{JOB}) or vector(0)) == 0",
        "1m",
        "page",
        "no-gateway",
        "No gateway answers",
        "Prometheus reaches the admin port of none of them. Nobody can open a page.",
    ),
    General(
        "BffGatewayDown",
        "min by (instance) (up{JOB}) == 0",
        "5m",
        "ticket",
        "gateway-down",
        "A gateway does not answer",
        "{{ $labels.instance }} has not answered for five minutes. The others serve everybody.",
    ),
    General(
        "BffGatewayUnready",
        "min by (instance) (bff_ready{JOB}) == 0",
        "5m",
        "ticket",
        "gateway-unready",
        "A gateway is unready and does not end",
        "{{ $labels.instance }} takes no new traffic, because it is stopping or a part of it has died, and has been "
        "so for five minutes.",
    ),
    General(
        "BffWorkerDown",
        "min by (instance, worker) (bff_worker_up{JOB}) == 0",
        "2m",
        "ticket",
        "worker-down",
        "A worker does not answer",
        "Worker {{ $labels.worker }} of {{ $labels.instance }} does not answer its parent process.",
    ),
    General(
        "BffRedisFailing",
        "min(bff_redis_up{JOB}) == 0",
        "1m",
        "page",
        "redis-failing",
        "Redis is away or refuses commands",
        "Commands are answered with 503, live updates stand still, and nobody can sign in. Screens are still served.",
    ),
    General(
        "BffSignInFailing",
        'sum(rate(http_server_request_duration_seconds_count{JOB,http_route=~"/bff/(login|callback)",'
        'http_response_status_code=~"5.."}[5m])) > 0',
        "2m",
        "page",
        "sign-in-failing",
        "Signing in fails",
        "The gateway answers sign-ins with 5xx, usually because the identity provider does not answer it.",
    ),
    General(
        "BffShedding",
        'sum(rate(bff_shed_total{JOB,bff_where="request"}[5m])) > 0',
        "5m",
        "page",
        "shedding",
        "The gateway refuses requests because it has too much to do",
        "New requests get 503 with Retry-After.",
    ),
    General(
        "BffStreamLag",
        "histogram_quantile(0.99, sum by (le) (rate(bff_stream_lag_seconds_bucket{JOB}[5m]))) > 5",
        "5m",
        "ticket",
        "stream-lag",
        "Live updates are late",
        "One of a hundred events needs more than 5 s from its service to the browser's connection.",
    ),
    General(
        "BffEventsUnread",
        "max by (bff_source) (bff_events_oldest_unread_seconds{JOB}) > 30",
        "2m",
        "page",
        "events-unread",
        "Events of a broker are not read",
        "The oldest unread event of {{ $labels.bff_source }} has waited for more than 30 s: pages do not learn what "
        "happened.",
    ),
    General(
        "BffEventsLost",
        "sum(increase(bff_events_losses_total{JOB}[10m])) > 0",
        "0m",
        "ticket",
        "events-lost",
        "A broker dropped events that were not read",
        "Every journal is restored from the services. Ask why the events were dropped.",
    ),
    General(
        "BffJournalsWaiting",
        "sum(bff_journals_waiting{JOB}) > 0",
        "5m",
        "ticket",
        "journals-waiting",
        "Journals cannot be restored",
        "Some people's pages show no state of their sagas, because a service does not list them.",
    ),
    General(
        "BffSagasNeedAttention",
        "max by (bff_saga) (bff_saga_needs_attention{JOB}) > 0",
        "1m",
        "ticket",
        "sagas-need-attention",
        "Sagas wait for a person",
        "Sagas of type {{ $labels.bff_saga }} could neither be completed nor compensated by their service.",
    ),
    General(
        "BffDeadLetters",
        "sum(increase(bff_events_dead_letters_total{JOB}[10m])) > 0",
        "0m",
        "ticket",
        "dead-letters",
        "Events could not be used",
        "A service published events that the gateway cannot read. They are kept as dead letters for 30 days.",
    ),
)

_OFFLINE = 'max by (bff_service) (bff_breaker_state{JOB,bff_service="%s"}) >= 1'
_FULL = 'sum by (bff_service) (rate(bff_upstream_rejections_total{JOB,bff_service="%s",bff_reason="bulkhead"}[5m])) > 0'


def alerts(gateway: Gateway, job: str, owner: tuple[str, str]) -> list[Alert]:
    """All of them. job: the label of its scrapes; owner: team and contact of the gateway."""
    matcher = f'job="{job}"'
    labels = {"gateway": gateway.name}
    found = [
        Alert(
            one.name,
            one.expr.replace("JOB", matcher),
            one.wait,
            one.severity,
            one.summary,
            one.description,
            one.runbook,
            owner,
            labels,
            *_traces(gateway, ""),
        )
        for one in GENERAL
    ]
    required = {
        step.upstream.owner.service
        for route in gateway.routes
        for step in steps(route.function)
        if not step.optional
    }
    for upstream in gateway.upstreams():
        found += _service(gateway, upstream, matcher, required, owner)
    return found


def _service(
    gateway: Gateway, upstream: Upstream, matcher: str, required: set[str], owner: tuple[str, str]
) -> list[Alert]:
    service = upstream.owner.service
    who = (upstream.owner.team or owner[0], upstream.owner.contact or owner[1])
    labels = {"gateway": gateway.name, "bff_service": service}
    severity: Severity = "page" if service in required else "ticket"
    return [
        Alert(
            "BffServiceFailing",
            (_OFFLINE % service).replace("JOB", matcher),
            "2m",
            severity,
            f"{service} fails",
            f"A breaker of {service} has been open for two minutes: its calls fail or take too long, and most are not "
            "sent any more.",
            "service-failing",
            who,
            labels,
            *_traces(gateway, service),
        ),
        Alert(
            "BffBulkheadFull",
            (_FULL % service).replace("JOB", matcher),
            "2m",
            "ticket",
            f"Too many calls of {service} are under way",
            f"All permits of {service} are in use and its queue is full: calls are refused here before they are sent.",
            "bulkhead-full",
            who,
            labels,
            *_traces(gateway, service),
        ),
    ]


def _traces(gateway: Gateway, service: str) -> tuple[str, str]:
    """Traces that failed; of calls to this service, if one is named."""
    query = f'{{ resource.service.name = "{gateway.name}" && status = error'
    tags = '{"error":"true"}'
    if service:
        query += f' && span.bff.service = "{service}"'
        tags = f'{{"error":"true","bff.service":"{service}"}}'
    search = {"service": gateway.name, "tags": tags, "lookback": "1h", "limit": "20"}
    return query + " }", urlencode(search)
