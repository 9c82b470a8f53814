"""Alertmanager's configuration, by amtool and a real Alertmanager: each fault is told once, to the team it is about."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import free_port, start_program
from ..programs import program
from ..waiting import eventually
from .scenarios import Fired, faults
from .shop_export import FOLDER, written
from .test_rules import distinguished, rule_of

FAULTS = faults()


def amtool(*words: str | Path) -> str:
    ended = subprocess.run(
        [program("amtool"), *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


def test_amtool_accepts_the_configuration() -> None:
    assert "SUCCESS" in amtool("check-config", FOLDER / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("team=Payments severity=ticket", "payments-ticket"),
        ("team=Orders severity=page", "orders-page"),
        ("team=Shop severity=page", "shop-page"),
        ("team=Nobody severity=page", "nobody"),
    ],
)
def test_an_alert_goes_to_the_team_that_owns_it(labels: str, receiver: str) -> None:
    config = f"--config.file={FOLDER / 'alertmanager.yml'}"
    assert amtool("config", "routes", "test", config, *labels.split()) == receiver


class Manager:
    """A real Alertmanager."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v2/alerts"

    def asked(self, body: Any = None, query: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + query, data, {"content-type": "application/json"}, method="POST" if data else "GET"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def is_up(self) -> bool:
        return isinstance(self.asked(), list)


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    folder, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    running = start_program(
        [
            program("prometheus-alertmanager"),
            f"--config.file={FOLDER / 'alertmanager.yml'}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        log=folder / "log",
    )
    one = Manager(port)
    eventually(one.is_up)
    yield one
    running.kill()


def labels_of(fired: Fired, number: int) -> dict[str, str]:
    """As Prometheus sends them. number: of the fault, as another gateway, so that faults do not inhibit each other."""
    rule = rule_of(fired)
    found = {**written(rule)["labels"], **distinguished(rule, fired[1]), "alertname": rule.name}
    return found | {"gateway": f"shop-{number}"}


def test_each_fault_is_one_incident(manager: Manager) -> None:
    sent = {
        fault: {json.dumps(labels_of(fired, number), sort_keys=True): fired for fired in what.fires}
        for number, (fault, what) in enumerate(FAULTS.items())
    }
    manager.asked([{"labels": json.loads(labels)} for found in sent.values() for labels in found])
    total = sum(map(len, sent.values()))

    def told() -> dict[str, set[Fired]]:
        active = manager.asked(query="?inhibited=false&silenced=false")
        texts = {json.dumps(alert["labels"], sort_keys=True) for alert in active}
        return {fault: {found[text] for text in found if text in texts} for fault, found in sent.items()}

    expected = {fault: what.incidents for fault, what in FAULTS.items()}
    # Alertmanager inhibits when it has processed all of them.
    eventually(lambda: len(manager.asked()) == total and told() == expected)
    assert max(map(len, expected.values())) == 1
    assert sum(len(what.incidents) for what in FAULTS.values()) >= 15
