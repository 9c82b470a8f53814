"""/docs and /docs/problems: the gateway's documentation in plain HTML, without scripts or resources of other hosts."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from ..problem import TITLES

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --muted: #5b6470; --line: #d8dde3; --paper: #fbfbfa; --tint: #eef1f5 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --muted: #9aa4b0; --line: #333a42; --paper: #15181c; --tint: #1f242a } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 58rem; margin: 0 auto; padding: 2rem 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
code, pre { font: 14px/1.5 ui-monospace, monospace } pre { background: var(--tint); padding: .8rem; overflow: auto }
details { border-top: 1px solid var(--line); padding: .6rem 0 } summary { cursor: pointer }
.method { font-weight: 700; display: inline-block; min-width: 3.5rem } .muted { color: var(--muted) }
dt { font-weight: 600; margin-top: 1rem } a { color: inherit }
"""

_PROBLEM_NOTES = {
    "timeout": "The deadline passed. Try again. If it happens again, ask the owner named in the problem.",
    "circuit-open": "The service failed repeatedly and is not called for a moment. Wait for Retry-After.",
    "idempotency-key-missing": "Send each new command with a new key, so that a retry does not run it twice.",
    "idempotency-in-flight": "Send the same command with the same key after Retry-After. You get its one outcome.",
    "idempotency-mismatch": "A key belongs to one request. Use a new key for another body or address.",
    "idempotency-answer-gone": "The command ran once and does not run again. Read what it has changed.",
    "idempotency-unknown": "A service that takes no keys did not answer. Check what it has done before you try again.",
    "csrf": "A write with the session cookie needs the header X-BFF: 1 and must come from the site's own page.",
    "rate-limited": "RateLimit and Retry-After say when further requests are allowed.",
    "unauthenticated": "Sign in at /bff/login, or send a bearer token.",
    "invalid-token": "`reason` says why. Get a new token from your identity provider.",
    "invalid-proof": "`reason` says why. Make a new proof for each request (DPoP, RFC 9449).",
    "dpop-nonce": "Repeat the request with a new proof that has the nonce of the header DPoP-Nonce.",
    "step-up-required": "The sign-in is too old or too weak for this. `login` is the address to sign in again.",
    "unavailable": "Something that the gateway needs is not available. Retry-After says when to try again.",
}


def _page(title: str, body: str, here: str) -> bytes:
    """here: the relative path from the page to /docs/. Links are relative because the gateway may be mounted."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{here}style.css"></head><body>{body}</body></html>'
    ).encode()


def overview(document: dict[str, Any]) -> bytes:
    """Every route with its parameters, body and answers. document: OpenAPI."""
    title, shared = document["info"]["title"], document["components"]["responses"]
    operations = (
        _operation(path, method, operation, shared)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return _page(
        f"{title} – docs",
        f"<h1>{escape(title)}</h1>"
        '<p class="muted">Contract for programs: <a href="openapi.json">/openapi.json</a>. Events of the live stream: '
        '<a href="asyncapi.json">/asyncapi.json</a>. Events of services: '
        '<a href="bff/events.schema.json">/bff/events.schema.json</a>. '
        'Errors: <a href="docs/problems">problems</a>.</p>' + "".join(operations),
        "docs/",
    )


def _operation(path: str, method: str, operation: dict[str, Any], shared: dict[str, Any]) -> str:
    login = "login" if operation.get("security") else "public"
    rows = [
        f"<details><summary><span class=method>{method.upper()}</span> <code>{escape(path)}</code> "
        f'<span class="muted">· {escape(operation.get("summary", ""))} · {login}</span></summary>'
    ]
    for parameter in operation.get("parameters", ()):
        need = "required" if parameter.get("required") else "optional"
        rows.append(
            f"<p><code>{escape(parameter['name'])}</code> in {parameter['in']}, {need} "
            f'<span class="muted">{escape(parameter.get("description", ""))}</span></p>'
        )
    if "requestBody" in operation:
        rows.append("<p>Body</p>" + _json(operation["requestBody"]["content"]))
    for status, response in operation["responses"].items():
        response = shared.get(response.get("$ref", "").rpartition("/")[2], response)
        rows.append(f"<p><strong>{escape(status)}</strong> {escape(response['description'])}</p>")
        if status.startswith("2") and "content" in response:
            rows.append(_json(response["content"]))
    return "".join(rows) + "</details>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def problems() -> bytes:
    """Every problem code. A problem's `type` is the address of its code on this page."""
    rows = "".join(
        f'<dt id="{escape(code)}"><code>{escape(code)}</code></dt>'
        f"<dd>{escape(title)}. {escape(_PROBLEM_NOTES.get(code, ''))}</dd>"
        for code, title in sorted(TITLES.items())
    )
    return _page(
        "Problems",
        "<h1>Problems</h1><p>Every refusal and failure is <code>application/problem+json</code> with one of these "
        "codes, a correlation id for support requests, and the owner of the service if one failed.</p>"
        f"<dl>{rows}</dl>",
        "",
    )
