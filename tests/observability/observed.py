"""A real Prometheus beside the shop."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bff.cli.slo.rules import yaml

from ..conftest import free_port, start_program
from ..programs import program
from ..waiting import eventually
from .shop_export import EXPORT, SHOP

RATE = "15s"
"""In place of Grafana's `$__rate_interval` and of an alert's minutes, so that a test sees a rate begin and end."""


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def asked(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What the expression has now."""
        found: list[dict[str, Any]] = self.asked("query", query=expr)["result"]
        return found

    def names(self) -> set[str]:
        """Of all metrics that were scraped or recorded."""
        return set(self.asked("label/__name__/values"))

    def holds(self, expr: str) -> bool:
        """Whether an alert's expression has a result, with rates over a short window."""
        return bool(self.query(expr.replace("[5m]", f"[{RATE}]").replace("[10m]", f"[{RATE}]")))


@contextmanager
def prometheus(folder: Path, *targets: str, rules: bool = True) -> Iterator[Prometheus]:
    """Scrapes these admin ports each second, as the job `shop`."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    text = EXPORT.rules_file(SHOP).replace('"30s"', '"1s"').replace('interval: "5m"', 'interval: "1s"')
    (folder / "rules.yml").write_text(text, encoding="utf-8")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"] if rules else [],
        "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml(config), encoding="utf-8")
    running = start_program(
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        log=folder / "prometheus.log",
    )
    try:
        one = Prometheus(port)
        eventually(lambda: bool(one.query("up")))
        yield one
    finally:
        running.kill()
