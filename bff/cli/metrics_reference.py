"""`bff metrics`: every metric with its names, unit, labels and meaning, as Markdown, from the table of instruments."""

from __future__ import annotations

from ..edge.observe.instruments import GROUPS, Instrument

_ACROSS = {
    "sum": "the sum of several workers",
    "max": "of the whole fleet: take the maximum, never the sum",
    "each": "of each worker by itself",
}


def page() -> str:
    """The reference as a Markdown page: an entry for each metric, because a table would be too wide for a phone."""
    lines = [
        "# Metrics",
        "",
        "Written by `bff metrics`. `GET /metrics` on the admin port has every metric under its name in Prometheus, "
        "which is the first one of each entry; OTLP (`BFF_TELEMETRY__OTLP_METRICS`) sends the same "
        "numbers under the second. "
        "The second follows the semantic conventions of OpenTelemetry where these name the thing, and begins with "
        "`bff.` where they do not; the first is made from it by OpenTelemetry's rules for Prometheus.",
        "",
        "Labels have names from the gateway's declarations and settings, never text from a browser. One metric has at "
        "most 5,000 sets of labels; what comes beyond is counted together, with every label `other`. A label that does "
        "not apply is empty. A page in the format of OpenMetrics (`Accept: application/openmetrics-text`) has "
        "exemplars as well: for each bucket of the durations of requests the trace id of the last request whose "
        "trace was sampled. The page also has the metrics `process_…` and `python_gc_…` "
        "of Prometheus' client.",
    ]
    for title, instruments in GROUPS.items():
        lines += ["", f"## {title}"]
        for one in instruments:
            lines += _entry(one)
    return "\n".join(lines) + "\n"


def _entry(one: Instrument) -> list[str]:
    unit = "seconds" if one.unit == "s" else f"counts {one.unit.strip('{}')}s"
    if one.kind == "gauge":
        unit = "seconds" if one.unit == "s" else one.unit.strip("{}")
    labels = ", ".join(f"`{label}`" for label in one.labels)
    facts = [one.kind, unit, f"labels {labels}" if labels else "no labels"]
    if one.kind == "gauge":
        facts.append(_ACROSS[one.across])
    if one.buckets:
        facts.append("buckets " + " ".join(f"{bound:g}" for bound in one.buckets))
    facts.append(f"since {one.since}")
    return ["", f"**`{one.prometheus}`** · `{one.name}`<br>", f"{one.meaning}<br>", f"*{' · '.join(facts)}*"]
