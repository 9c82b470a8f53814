"""Alertmanager's configuration: who is told, and which alerts follow from another one and are not told again.

All alerts of one gateway about one service are one notification. A service that fails inhibits the budgets that it
spends and its full bulkhead; Redis and a missing gateway inhibit what cannot work without them. An alert that pages is
inhibited only by one that pages, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .rules import Alert

_BUDGETS = 'alertname=~"BffSloBudget.*"'
_NEEDS_REDIS = (
    "BffSloBudget.*",
    "BffSignInFailing",
    "BffStreamLag",
    "BffEventsUnread",
    "BffJournalsWaiting",
    "BffShedding",
)


def configuration(alerts: Sequence[Alert]) -> dict[str, Any]:
    """The configuration for these alerts: a receiver for each team and severity, in which the team enters where it
    wants to be told."""
    teams = sorted({alert.owner[0] for alert in alerts})
    routes = [
        {
            "receiver": _receiver(team, severity),
            "matchers": [f'team="{team}"', f'severity="{severity}"'],
            **({"repeat_interval": "1d", "group_wait": "5m"} if severity == "ticket" else {}),
        }
        for team in teams
        for severity in ("page", "ticket")
        if any(alert.owner[0] == team and alert.severity == severity for alert in alerts)
    ]
    return {
        "route": {
            "receiver": "nobody",
            # What has no service is one notification of its gateway.
            "group_by": ["gateway", "bff_service"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "inhibit_rules": list(_inhibitions(alerts)),
        "receivers": [
            {"name": "nobody"},
            *({"name": route["receiver"]} for route in routes),
        ],
    }


def _receiver(team: str, severity: str) -> str:
    return f"{re.sub(r'[^a-z0-9]+', '-', team.lower()).strip('-') or 'team'}-{severity}"


def _inhibitions(alerts: Sequence[Alert]) -> Iterator[dict[str, Any]]:
    yield _inhibited(['alertname="BffNoGateway"'], ['alertname!="BffNoGateway"'])
    yield _inhibited(['alertname="BffRedisFailing"'], [f'alertname=~"{"|".join(_NEEDS_REDIS)}"'])
    yield _inhibited(['alertname="BffServiceFailing"'], ['alertname="BffBulkheadFull"'], "bff_service")
    yield _inhibited(['alertname="BffEventsUnread"'], ['alertname="BffStreamLag"'])
    yield _inhibited(['alertname="BffEventsUnread"'], [_BUDGETS, 'budget="outcomes"'])
    yield _inhibited(
        ['alertname="BffSloBudgetBurnsFast"'], ['alertname="BffSloBudgetBurnsSlowly"'], "bff_slo"
    )
    for alert in alerts:
        if alert.name != "BffServiceFailing":
            continue
        service = alert_service(alert)
        names = f'services=~"(.*,)?{re.escape(service)}(,.*)?"'
        failing = ['alertname="BffServiceFailing"', f'bff_service="{service}"']
        weaker = [] if alert.severity == "page" else ['severity="ticket"']
        yield _inhibited(failing, [_BUDGETS, names, *weaker])


def alert_service(alert: Alert) -> str:
    """The service that an alert is about, "" for none."""
    found = re.search(r'bff_service="([^"]*)"', alert.expr)
    return found[1] if found else ""


def _inhibited(source: list[str], target: list[str], *equal: str) -> dict[str, Any]:
    return {"source_matchers": source, "target_matchers": target, "equal": ["gateway", *equal]}
