"""`bff slo export`: writes Prometheus' recording rules and alerts, Alertmanager's routes and Grafana's dashboards of a
gateway.

The files are made from the declarations alone; no setting is read and nothing is asked. They are the same for the same
declarations, so that they can be kept in a repository and compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...edge.gateway import Gateway
from ..target import load
from . import alerts, budgets, dashboards, routes
from .rules import Alert, Group, Links, document, yaml

RUNBOOKS = Links("docs/runbooks")


@dataclass(frozen=True, slots=True)
class Export:
    """What is written. job: the label `job` of the gateway's scrapes, "" for its name; team, contact: whom alerts about
    the gateway itself are for, "" for its name; links: where alerts lead."""

    job: str = ""
    team: str = ""
    contact: str = ""
    links: Links = RUNBOOKS

    def job_of(self, gateway: Gateway) -> str:
        """The label of this gateway's scrapes."""
        return self.job or gateway.name

    def rules(self, gateway: Gateway) -> list[Group]:
        """The recording rules."""
        return budgets.groups(gateway, self.job_of(gateway))

    def alerts(self, gateway: Gateway) -> list[Alert]:
        """Every alert: of its budgets, and the general ones."""
        owner = (self.team or gateway.name, self.contact)
        return [*budgets.alerts(gateway), *alerts.alerts(gateway, self.job_of(gateway), owner)]

    def rules_file(self, gateway: Gateway) -> str:
        """The file of recording rules."""
        head = f"Recording rules of the gateway {gateway.name}, written by `bff slo export`."
        return document(self.rules(gateway), self.links, head)

    def alerts_file(self, gateway: Gateway) -> str:
        """The file of alerts."""
        head = f"Alerts of the gateway {gateway.name}, written by `bff slo export`."
        found = self.alerts(gateway)
        slos = [alert for alert in found if alert.name.startswith("BffSlo")]
        general = [alert for alert in found if not alert.name.startswith("BffSlo")]
        groups = [Group(f"{gateway.name}-slo-alerts", slos), Group(f"{gateway.name}-alerts", general)]
        return document([group for group in groups if group.rules], self.links, head)

    def routes_file(self, gateway: Gateway) -> str:
        """Alertmanager's configuration."""
        head = (
            f"# Alertmanager's configuration for the gateway {gateway.name}, written by `bff slo export`.\n"
            "# Enter at each receiver how its team wants to be told.\n"
        )
        return head + yaml(routes.configuration(self.alerts(gateway)))


def run(
    target: str,
    export: Export,
    *,
    rules: Path | None,
    alerts_to: Path | None,
    routes_to: Path | None,
    dashboards_to: Path | None,
) -> int:
    """Write the files that are wanted, and print their names; returns the exit code. Raises DeclarationError."""
    gateway = load(target)
    gateway.check()
    written = {
        rules: export.rules_file,
        alerts_to: export.alerts_file,
        routes_to: export.routes_file,
    }
    for path, make in written.items():
        if path is not None:
            _write(path, make(gateway))
    if dashboards_to is not None:
        for dashboard in dashboards.DASHBOARDS:
            text = json.dumps(dashboards.model(dashboard, gateway.name), indent=2, ensure_ascii=False)
            _write(dashboards_to / f"{dashboard.uid}.json", text + "\n")
    if not any((rules, alerts_to, routes_to, dashboards_to)):
        print(export.rules_file(gateway) + export.alerts_file(gateway), end="")
    return 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path)
