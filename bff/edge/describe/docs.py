"""/docs and /docs/problems: the gateway's documentation in plain HTML, without scripts or resources of other hosts.

/docs has the declared routes by tag, then those that only a network is served, then those that every gateway has, then
the schemas. Each route has its parameters, what it takes and answers with examples, and who may use it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from ..problem_codes import CODES
from .components import Schema
from .examples import example
from .schema_html import bounds_of, schemas, type_of

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --muted: #5b6470; --line: #d8dde3; --paper: #fbfbfa; --tint: #eef1f5 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --muted: #9aa4b0; --line: #333a42; --paper: #15181c; --tint: #1f242a } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 58rem; margin: 0 auto; padding: 2rem 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.4rem } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
code, pre { font: 14px/1.5 ui-monospace, monospace } pre { background: var(--tint); padding: .8rem; overflow: auto }
summary code, pre code, td:last-child code { overflow-wrap: anywhere }
details { border-top: 1px solid var(--line); padding: .6rem 0 } summary { cursor: pointer }
details > :not(summary) { margin-left: 1rem }
.method { font-weight: 700; display: inline-block; min-width: 3.5rem } .muted { color: var(--muted) }
.badge { border: 1px solid var(--line); border-radius: 1em; padding: 0 .6em; font-size: .85rem; white-space: nowrap }
table { border-collapse: collapse; width: calc(100% - 1rem) }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600; color: var(--muted) }
nav ul { padding-left: 1.2rem }
dt { font-weight: 600; margin-top: 1rem } a { color: inherit }
"""
BUILTIN = "gateway"
"""The tag of the routes that every gateway has."""


def _page(title: str, body: str, here: str) -> bytes:
    """here: the relative path from the page to /docs/. Links are relative because the gateway may be mounted."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{here}style.css"></head><body>{body}</body></html>'
    ).encode()


def overview(document: dict[str, Any], *, explorer: bool = False) -> bytes:
    """Every route with its parameters, body and answers, by tag, and every schema. document: OpenAPI; explorer: whether
    the page links to the explorer."""
    title, components = document["info"]["title"], document["components"]
    groups = grouped(document)
    tried = (
        '<p>Try it: <a href="docs/explorer">explorer</a>, <a href="docs/explorer/live">live console</a>.</p>'
        if explorer
        else ""
    )
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name, *_ in groups)
    return _page(
        f"{title} – docs",
        f"<h1>{escape(title)}</h1>"
        '<p class="muted">Contract for programs: <a href="openapi.json">/openapi.json</a>. Events of the live stream: '
        '<a href="asyncapi.json">/asyncapi.json</a>. Events of services: '
        '<a href="bff/events.schema.json">/bff/events.schema.json</a>. '
        'Errors: <a href="docs/problems">problems</a>.</p>'
        f'{tried}<nav><ul>{links}<li><a href="#schemas">Schemas</a></li></ul></nav>'
        + "".join(_group(group, components) for group in groups)
        + f'<h2 id="schemas">Schemas</h2>{schemas(components["schemas"])}',
        "docs/",
    )


Group = tuple[str, str, list[tuple[str, str, Schema]]]
"""Name, description, and path, method and operation of each route."""


def grouped(document: dict[str, Any]) -> list[Group]:
    """The routes by their first tag, in the order of the document's tags; apart, after them, those that only a network
    is served, and last those that every gateway has."""
    known = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    routes: dict[str, list[tuple[str, str, Schema]]] = {name: [] for name in known if name != BUILTIN}
    internal: list[tuple[str, str, Schema]] = []
    builtin: list[tuple[str, str, Schema]] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation["tags"][0]
            if tag == BUILTIN:
                builtin.append((path, method, operation))
            elif "x-network" in operation:
                internal.append((path, method, operation))
            else:
                routes.setdefault(tag, []).append((path, method, operation))
    groups: list[Group] = [(name, known.get(name, ""), found) for name, found in routes.items()]
    groups.append(("internal", "Served only to addresses of the network that each one names.", internal))
    groups.append((BUILTIN, known.get(BUILTIN, ""), builtin))
    return [group for group in groups if group[2]]


def _anchor(name: str) -> str:
    return "tag-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _group(group: Group, components: Mapping[str, Any]) -> str:
    name, description, routes = group
    listed = "".join(_operation(path, method, operation, components) for path, method, operation in routes)
    note = f'<p class="muted">{escape(description)}</p>' if description else ""
    return f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{note}{listed}</section>'


def _operation(path: str, method: str, operation: Schema, components: Mapping[str, Any]) -> str:
    rows = [
        f"<details><summary><span class=method>{method.upper()}</span> <code>{escape(path)}</code> "
        f'<span class="muted">· {escape(operation.get("summary", ""))}</span> {_badges(operation)}</summary>'
    ]
    if "description" in operation:
        rows.append(f"<p>{escape(operation['description'])}</p>")
    if parameters := operation.get("parameters"):
        rows.append(
            "<h3>Parameters</h3><table><thead><tr><th>Name<th>In<th>Type<th>Meaning</thead><tbody>"
            + "".join(_parameter(one) for one in parameters)
            + "</tbody></table>"
        )
    if "requestBody" in operation:
        rows.append("<h3>Body</h3>" + _contents(operation["requestBody"], components))
    for status, response in operation["responses"].items():
        response = components["responses"].get(response.get("$ref", "").rpartition("/")[2], response)
        if status.startswith("2"):
            rows.append(f"<h3>{escape(status)}</h3><p>{escape(response['description'])}</p>")
            rows.append(_contents(response, components))
    others = [
        f"<li><strong>{escape(status)}</strong> {escape(_described(response, components))}</li>"
        for status, response in operation["responses"].items()
        if not status.startswith("2")
    ]
    return "".join(rows) + f"<h3>Other answers</h3><ul>{''.join(others)}</ul></details>"


def _badges(operation: Schema) -> str:
    """Who may use it."""
    security = operation.get("security")
    found = ["login" if security else "public"]
    found += [
        f"scope {scope}"
        for scope in sorted({one for each in security or () for s in each.values() for one in s})
    ]
    found += [f"role {role}" for role in operation.get("x-roles", ())]
    if "x-network" in operation:
        found.append(f"network {operation['x-network']}")
    return " ".join(f"<span class=badge>{escape(text)}</span>" for text in found)


def _parameter(parameter: Schema) -> str:
    need = "" if parameter.get("required") else " <span class=muted>optional</span>"
    schema = parameter.get("schema", {})
    notes = "; ".join(filter(None, (escape(parameter.get("description", "").rstrip(".")), bounds_of(schema))))
    return (
        f"<tr><td><code>{escape(parameter['name'])}</code>{need}<td>{escape(parameter['in'])}"
        f"<td>{type_of(schema)}<td>{notes}"
    )


def _contents(holder: Schema, components: Mapping[str, Any]) -> str:
    """The schema of each media type with an example of JSON."""
    rows = []
    for media_type, content in holder.get("content", {}).items():
        schema = content.get("schema")
        rows.append(f"<p><code>{escape(media_type)}</code> {type_of(schema) if schema else ''}</p>")
        if schema and "json" in media_type:
            made = example(schema, components["schemas"])
            rows.append(f"<pre>{escape(json.dumps(made, indent=2, ensure_ascii=False))}</pre>")
    return "".join(rows)


def _described(response: Schema, components: Mapping[str, Any]) -> str:
    response = components["responses"].get(response.get("$ref", "").rpartition("/")[2], response)
    return str(response["description"])


def problems(site: str | None = None) -> bytes:
    """Every problem code. A problem's `type` is the address of its code on this page. site: where the documentation of
    bff is published; each code links to its page there."""
    rows = "".join(
        f'<dt id="{escape(code)}"><code>{escape(code)}</code> '
        f'<span class="muted">{", ".join(map(str, one.statuses))}</span></dt>'
        f"<dd>{escape(one.title)}. {_marked(one.cause)} {_marked(one.cure)}{_more(site, code)}</dd>"
        for code, one in sorted(CODES.items())
    )
    return _page(
        "Problems",
        "<h1>Problems</h1><p>Every refusal and failure is <code>application/problem+json</code> with one of these "
        "codes, a correlation id for support requests, and the owner of the service if one failed.</p>"
        f"<dl>{rows}</dl>",
        "",
    )


def _more(site: str | None, code: str) -> str:
    if site is None:
        return ""
    return f' <a href="{escape(site.rstrip("/"))}/reference/problems/{escape(code)}/">More</a>'


def _marked(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
