"""`make observe`: the demo with a Prometheus that has its rules and alerts, and an Alertmanager; and a Jaeger or an
OpenTelemetry collector where one listens.

Both programs are Debian's (`apt-get install prometheus prometheus-alertmanager`); other ones are named by PROMETHEUS
and ALERTMANAGER. Everything listens on loopback only, and its data is below `.bff/observe`. Traces are sent to
OBSERVE_TRACES, or to http://127.0.0.1:4318 when something listens there. Grafana is not started: the dashboards are in
deploy/observability/dashboards, and `make up` with COMPOSE_PROFILES=observe has one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bff.cli.slo import Export
from bff.cli.slo.rules import Links, yaml

from . import demo
from .embedded import CannotStart
from .gateway import shop
from .processes import check_ports

FOLDER = demo.HOME / "observe"
PROMETHEUS, ALERTMANAGER = demo.OFFSET + 9090, demo.OFFSET + 9093
COLLECTOR = "http://127.0.0.1:4318"
JAEGER = "http://localhost:16686"
RUNBOOKS = "docs/runbooks"


@dataclass
class Programs:
    """The processes that this start began."""

    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, *command: str) -> None:
        """Start one; its log is below `FOLDER`."""
        with (FOLDER / f"{name}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen(  # noqa: S603 - a program found on the PATH, no shell
                    command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            )

    def stop(self) -> None:
        """End all of them."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def program(name: str, environ: Mapping[str, str]) -> str:
    """The path of a program. Raises CannotStart that says what to do."""
    wanted = environ.get(name.rpartition("-")[2].upper(), name)
    found = shutil.which(wanted)
    if found is None:
        raise CannotStart(
            f"There is no {wanted}: install it (on Debian apt-get install --no-install-recommends prometheus "
            f"prometheus-alertmanager), or name one with {name.rpartition('-')[2].upper()}=…"
        )
    return found


def collector(environ: Mapping[str, str]) -> str:
    """Where traces are sent, "" for nowhere."""
    if (named := environ.get("OBSERVE_TRACES")) is not None:
        return named
    at = urlsplit(COLLECTOR)
    try:
        socket.create_connection((at.hostname or "", at.port or 0), 0.5).close()
    except OSError:
        return ""
    return COLLECTOR


def write_files(traces: str) -> None:
    """Write the configuration of both programs. traces: where they are sent."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    export = Export(team="Shop", contact="#shop", links=Links(RUNBOOKS, JAEGER if traces else ""))
    files = {
        "rules.yml": export.rules_file(shop),
        "alerts.yml": export.alerts_file(shop),
        "alertmanager.yml": export.routes_file(shop),
        "prometheus.yml": yaml(prometheus_configuration()),
    }
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def prometheus_configuration() -> dict[str, object]:
    """Prometheus' configuration: the gateway, each five seconds."""
    return {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"},
        "rule_files": ["rules.yml", "alerts.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ALERTMANAGER}"]}]}],
        },
        "scrape_configs": [
            {"job_name": shop.name, "static_configs": [{"targets": [f"127.0.0.1:{demo.ADMIN}"]}]},
        ],
    }


def main() -> int:
    """Start everything, serve, end everything; returns the exit code."""
    programs = Programs()
    try:
        check_ports({PROMETHEUS: "Prometheus", ALERTMANAGER: "Alertmanager"})
        found = [program(name, os.environ) for name in ("prometheus", "prometheus-alertmanager")]
        traces = collector(os.environ)
        write_files(traces)
        programs.start(
            "prometheus",
            found[0],
            f"--config.file={FOLDER / 'prometheus.yml'}",
            f"--storage.tsdb.path={FOLDER / 'prometheus'}",
            "--storage.tsdb.retention.time=30d",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
        )
        programs.start(
            "alertmanager",
            found[1],
            f"--config.file={FOLDER / 'alertmanager.yml'}",
            f"--storage.path={FOLDER / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ALERTMANAGER}",
            "--cluster.listen-address=",
        )
    except CannotStart as error:
        print(error, file=sys.stderr)
        programs.stop()
        return 1
    if traces:
        os.environ.setdefault("BFF_TELEMETRY__OTLP", traces)
        os.environ.setdefault("BFF_TELEMETRY__SAMPLE", "1")
    print(
        f"  Prometheus    http://localhost:{PROMETHEUS}/alerts\n  Alertmanager  http://localhost:{ALERTMANAGER}"
    )
    print(f"  traces        {traces or 'nowhere: no collector listens on ' + COLLECTOR}", flush=True)
    try:
        return demo.main()
    finally:
        programs.stop()


if __name__ == "__main__":
    sys.exit(main())
