"""The exported rules, by promtool: they are valid, each fault fires its alerts and no others, and health fires none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bff import Gateway, Slo, answered
from bff.cli.main import main
from bff.cli.slo import Export
from bff.cli.slo.rules import Alert, yaml

from ..conftest import ROOT
from ..programs import program
from .scenarios import HEALTHY, SICK, Fault, Fired, Series, faults, healthy, slo
from .shop_export import EXPORT, FOLDER, SHOP, alerts, written

FAULTS = faults()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def distinguished(alert: Alert, which: str) -> dict[str, str]:
    """The labels that Prometheus gives to an alert beside those of the rule."""
    by = {
        "BffGatewayDown": "instance",
        "BffGatewayUnready": "instance",
        "BffWorkerDown": "worker",
        "BffEventsUnread": "bff_source",
        "BffSagasNeedAttention": "bff_saga",
    }
    found = {by[alert.name]: which} if alert.name in by else {}
    return found | ({"instance": "one:8001"} if alert.name == "BffWorkerDown" else {})


def rule_of(fired: Fired) -> Alert:
    name, which = fired
    [rule] = [
        rule
        for rule in alerts()
        if rule.name == name
        and which in (rule.labels.get("bff_slo", which), "")
        and (
            rule.labels.get("bff_service", which) == which
            or name not in ("BffServiceFailing", "BffBulkheadFull")
        )
    ]
    return rule


def expected(fired: set[Fired]) -> dict[str, list[dict[str, Any]]]:
    """promtool's expectations by the alert's name; none for the names that must not fire."""
    found: dict[str, list[dict[str, Any]]] = {rule.name: [] for rule in alerts()}
    for name, which in sorted(fired):
        rule = rule_of((name, which))
        labels = distinguished(rule, which)
        text = written(rule)
        annotations = dict(text["annotations"])
        for label, value in labels.items():
            for key in annotations:
                annotations[key] = annotations[key].replace(f"{{{{ $labels.{label} }}}}", value)
        found[name].append({"exp_labels": {**text["labels"], **labels}, "exp_annotations": annotations})
    return found


def promtool_says(folder: Path, series: Series, times: dict[int, set[Fired]], interval: str = "1m") -> str:
    """promtool's output, "" for success. times: the alerts that fire at each minute."""
    for name, text in (("rules.yml", EXPORT.rules_file(SHOP)), ("alerts.yml", EXPORT.alerts_file(SHOP))):
        (folder / name).write_text(text, encoding="utf-8")
    test = {
        "rule_files": ["rules.yml", "alerts.yml"],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": found}
                    for minute, fired in times.items()
                    for name, found in expected(fired).items()
                ],
            }
        ],
    }
    (folder / "test.yml").write_text(json.dumps(test), encoding="utf-8")
    ended = promtool("test", "rules", folder / "test.yml")
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def test_the_files_in_the_repository_are_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    words = ["slo", "export", "web.shop.gateway:shop", "--team", "Shop", "--contact", "#shop"]
    for option, name in (("rules", "rules.yml"), ("alerts", "alerts.yml"), ("routes", "alertmanager.yml")):
        words += [f"--{option}", str(tmp_path / name)]
    assert main([*words, "--dashboards", str(tmp_path / "dashboards")]) == 0
    names = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(names) == 9 and len(capsys.readouterr().out.splitlines()) == 9
    for name in names:
        assert (FOLDER / name).read_text() == (tmp_path / name).read_text(), (
            f"run `make observability`: {name}"
        )


def test_promtool_accepts_the_rules() -> None:
    ended = promtool("check", "rules", FOLDER / "rules.yml", FOLDER / "alerts.yml")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fires_its_alerts_and_no_others(fault: str, tmp_path: Path) -> None:
    what: Fault = FAULTS[fault]
    said = promtool_says(
        tmp_path, healthy() | what.changed, {HEALTHY - 1: set(), HEALTHY + SICK - 2: what.fires}
    )
    assert not said, said


def test_an_hour_of_healthy_noise_fires_nothing(tmp_path: Path) -> None:
    said = promtool_says(tmp_path, healthy(), {minute: set() for minute in range(1, HEALTHY + SICK, 3)})
    assert not said, said


def test_a_budget_that_is_spent_slowly_becomes_a_ticket(tmp_path: Path) -> None:
    # 1.5 % fail of 1 % that may, for three days: no hour of it is worth a page.
    minutes = 3 * 24 * 60
    series = {name: values for name, values in healthy().items() if "bff_slo" not in name}
    series = {
        name: values.replace(str(HEALTHY + SICK), str(minutes))
        for name, values in series.items()
        if "up{" in name
    }
    series = dict.fromkeys(series, f"1x{minutes // 5}") | slo(
        "home", f"0+50x{minutes // 5}", f"0+49.25x{minutes // 5}"
    )
    said = promtool_says(tmp_path, series, {minutes - 10: {("BffSloBudgetBurnsSlowly", "home")}}, "5m")
    assert not said, said


def test_recorded_ratios_are_those_of_the_requests(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(EXPORT.rules_file(SHOP), encoding="utf-8")
    series = slo("checkout", "0+10x400", "0+9x400") | slo("home", "0x400", "0x400")
    samples = [
        ("bff:slo_errors:ratio_rate1h", [('{bff_slo="checkout",gateway="shop"}', 0.1)]),
        (
            "bff:slo_events:increase1h",
            [('{bff_slo="checkout",gateway="shop"}', 600), ('{bff_slo="home",gateway="shop"}', 0)],
        ),
        ("bff:slo_budget_remaining:ratio", [('{bff_slo="checkout",gateway="shop"}', -9)]),
    ]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        # Rounded: sums of floats differ in the last digit.
                        "expr": f"round({expr}, 0.0001)",
                        "eval_time": "360m",
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in found],
                    }
                    for expr, found in samples
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(json.dumps(test), encoding="utf-8")
    ended = promtool("test", "rules", tmp_path / "test.yml")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_rates_that_a_low_target_cannot_reach_are_left_out_and_a_gateway_without_slos_has_general_alerts() -> (
    None
):
    made = Gateway("desk", slos=[Slo("low", view="/api/page", good=answered(), target=0.9)])

    @made.view("/api/page")
    async def page() -> None: ...

    [fast, slowly] = [alert for alert in Export().alerts(made) if alert.name.startswith("BffSlo")]
    assert "14.4" not in fast.description and "6 times too fast for 6h" in fast.description
    assert "3 times" in slowly.description
    plain = Gateway("plain")
    assert Export().rules(plain) == []
    assert {alert.name for alert in Export().alerts(plain)} >= {"BffNoGateway", "BffRedisFailing"}


def test_every_alert_names_its_owner_a_runbook_and_where_to_look() -> None:
    for alert in alerts():
        text = written(alert)
        assert text["labels"]["severity"] in ("page", "ticket") and text["labels"]["gateway"] == "shop"
        assert text["labels"]["team"] and text["annotations"]["contact"].startswith("#"), alert.name
        assert text["annotations"]["traces"].startswith('{ resource.service.name = "shop"'), alert.name
    by_service = {a.labels.get("bff_service"): a.owner for a in alerts() if a.name == "BffServiceFailing"}
    assert by_service["payments"] == ("Payments", "#payments")


def test_the_yaml_that_is_written_is_read_as_it_was_meant() -> None:
    import yaml as pyyaml

    value = {
        "text": 'a "quote", a: colon # and 1.5',
        "lines": "one\n  two\nthree",
        "words": ["no", "true", "null", "12", "", "plain", "-"],
        "nothing": {},
        "empty": [],
        "nested": [{"a": 1, "b": [{"c": "x\ny"}]}, {"d": 0.5}],
        "a-b": True,
    }
    assert pyyaml.safe_load(yaml(value)) == value
