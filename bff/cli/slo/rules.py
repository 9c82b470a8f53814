"""Prometheus' rules as values, and how they are written: YAML of a small kind that needs no library to write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["page", "ticket"]
"""page: somebody must act now; ticket: somebody must act in the next working days."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded series. labels: added to it."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"record": self.record, "expr": self.expr}
        return rule | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert. wait: how long its expression must hold; runbook: the name of its page in docs/runbooks; owner: who is
    told, as team and contact; traces: a TraceQL query for the worst traces, and `jaeger` the same as a search there."""

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    runbook: str
    owner: tuple[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    traces: str = ""
    jaeger: str = ""

    def written(self, links: Links) -> dict[str, Any]:
        team, contact = self.owner
        annotations = {
            "summary": self.summary,
            "description": self.description,
            "owner": team,
            "contact": contact,
            "runbook_url": links.runbook(self.runbook),
            "traces": self.traces,
            "traces_url": f"{links.traces}/search?{self.jaeger}" if links.traces and self.jaeger else "",
        }
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.wait,
            "labels": {"severity": self.severity, "team": team, **self.labels},
            "annotations": {name: text for name, text in annotations.items() if text},
        }


@dataclass(frozen=True, slots=True)
class Links:
    """Where alerts lead. runbooks: the address or folder of the runbooks; traces: the address of a Jaeger, "" for
    none."""

    runbooks: str
    traces: str = ""

    def runbook(self, name: str) -> str:
        """The page of this name, or the address that is given in its place."""
        if "://" in name:
            return name
        page = f"{self.runbooks.rstrip('/')}/{name}"
        return f"{page}/" if "://" in self.runbooks else f"{page}.md"


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that Prometheus evaluates one after the other. interval: between two evaluations."""

    name: str
    rules: Sequence[Recording | Alert]
    interval: str = "30s"

    def written(self, links: Links) -> dict[str, Any]:
        rules = [
            rule.written() if isinstance(rule, Recording) else rule.written(links) for rule in self.rules
        ]
        return {"name": self.name, "interval": self.interval, "rules": rules}


def document(groups: Sequence[Group], links: Links, head: str) -> str:
    """A file of rules. head: lines of a comment."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    return comment + yaml({"groups": [group.written(links) for group in groups]})


def yaml(value: Any, indent: int = 0) -> str:
    """Objects, lists, texts, numbers and truth values as YAML in blocks; texts of several lines as literal blocks."""
    pad = "  " * indent
    if isinstance(value, Mapping):
        return "".join(f"{pad}{_key(name)}:{_after(item, indent)}" for name, item in value.items())
    return "".join(f"{pad}-{_item(item, indent)}" for item in value)


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() else json.dumps(name)


def _after(item: Any, indent: int) -> str:
    """What follows a name and its colon."""
    if isinstance(item, Mapping | list | tuple):
        return f"\n{yaml(item, indent + 1)}" if item else " {}\n" if isinstance(item, Mapping) else " []\n"
    if isinstance(item, str) and "\n" in item:
        pad = "  " * (indent + 1)
        return " |-\n" + "".join(f"{pad}{line}\n" for line in item.splitlines())
    return f" {_scalar(item)}\n"


def _item(item: Any, indent: int) -> str:
    """What follows the dash of a list."""
    if isinstance(item, Mapping) and item:
        return " " + yaml(item, indent + 1).lstrip(" ")
    return _after(item, indent)


def _scalar(item: Any) -> str:
    if isinstance(item, str) and item and item.replace("_", "").isalpha() and item.lower() not in _WORDS:
        return item
    return json.dumps(item, ensure_ascii=False)


_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
"""What YAML would not read as a text."""
