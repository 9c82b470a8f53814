"""`make observe`, and the containers that watch the shop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from web.shop import observe
from web.shop.embedded import CannotStart

from ..conftest import ROOT
from ..shop.test_demo import free_offset, until_open
from ..waiting import GUARD, eventually
from .shop_export import FOLDER

OBSERVING = yaml.safe_load((FOLDER / "compose.yml").read_text())
SHOP = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
WATCHERS = {name: one for name, one in OBSERVING["services"].items() if not name.startswith("gateway")}


def test_a_program_that_is_missing_is_named_with_its_cure() -> None:
    with pytest.raises(CannotStart, match=r"apt-get install .* or name one with ALERTMANAGER="):
        observe.program("prometheus-alertmanager", {"ALERTMANAGER": "no-such-program"})


def test_the_containers_are_restricted_and_published_on_loopback_only() -> None:
    assert set(WATCHERS) == {"prometheus", "alertmanager", "grafana", "jaeger"}
    for name, one in WATCHERS.items():
        assert one["profiles"] == ["observe"] and one["read_only"] and one["cap_drop"] == ["ALL"], name
        assert all(port.startswith("127.0.0.1:") for port in one["ports"])
        assert {"mem_limit", "cpus", "pids_limit", "healthcheck"} <= set(one)
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in OBSERVING["volumes"] or (ROOT / source).exists(), volume


def test_prometheus_in_containers_scrapes_each_gateway_under_the_name_that_rules_select() -> None:
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    [scrape] = config["scrape_configs"]
    gateways = [name for name in SHOP["services"] if name.startswith("gateway-")]
    assert scrape["job_name"] == "shop"
    assert scrape["static_configs"][0]["targets"] == [f"{name}:8001" for name in gateways]
    assert set(OBSERVING["services"]) - set(WATCHERS) == set(gateways)
    assert all((FOLDER / name).exists() for name in config["rule_files"])


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_make_observe_scrapes_the_shop_and_loads_its_alerts(tmp_path: Path) -> None:
    offset = free_offset()
    environment = {**os.environ, "DEMO_HOME": str(tmp_path), "DEMO_OFFSET": str(offset), "OBSERVE_TRACES": ""}
    environment.pop("REDIS_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "web.shop.observe"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said = until_open(process)
        prometheus = f"http://127.0.0.1:{offset + 9090}/api/v1"
        assert any(str(offset + 9093) in line for line in said)
        eventually(lambda: asked(f"{prometheus}/query?query=bff_ready")["data"]["result"] != [])
        rules = asked(f"{prometheus}/rules")["data"]["groups"]
        assert {group["name"] for group in rules} >= {"shop-slo-windows", "shop-alerts"}
        eventually(lambda: asked(f"{prometheus}/alertmanagers")["data"]["activeAlertmanagers"] != [])
        assert asked(f"http://127.0.0.1:{offset + 9093}/api/v2/alerts") == []
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(GUARD)
        if process.stdout is not None:
            process.stdout.close()
    for port in (9090, 9093):
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{offset + port}/", timeout=5)
