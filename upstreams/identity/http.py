"""HTTP for identity: forms in, pages out, and how both are described.

Promises bounded bodies, and pages that run no script and cannot be framed. Refuses forms of any other encoding than
urlencoded and bodies over 16 KiB.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bff_service import Problem
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from . import page
from .exchange import NO_STORE

MAX_BODY = 16 * 1024


async def read_form(request: Request) -> list[tuple[str, str]]:
    """The fields of a urlencoded body, in order; a problem when it is none or too long."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported-media-type", "A urlencoded form is expected.")
    body = await request.body()
    if len(body) > MAX_BODY:
        raise Problem(413, "too-large", f"At most {MAX_BODY} bytes are read.")
    try:
        text = body.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise Problem(400, "malformed", "The form is malformed.") from None


def show(html: str, status: int = 200, *, form_target: str | None = None) -> Response:
    """A page. `form_target` is where its form may lead after us: browsers hold redirects to `form-action`, too."""
    target = ""
    if form_target is not None:
        parts = urlsplit(form_target)
        target = f" {parts.scheme}://{parts.netloc}"
    policy = (
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        f"form-action 'self'{target}"
    )
    headers = {
        **NO_STORE,
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(html, status, headers)


def error_page(title: str, detail: str, status: int = 400) -> Response:
    """An error for the person alone: nothing is redirected."""
    return show(page.problem(title=title, detail=detail), status)


# OAuth's endpoints check their input as its RFCs have it, not as FastAPI does: so they read it themselves and only say
# here what it is.


def query_of(**fields: str) -> dict[str, Any]:
    """An `openapi_extra`: the parameters of a query with their descriptions."""
    return {
        "parameters": [
            {"name": name, "in": "query", "description": why, "schema": {"type": "string"}}
            for name, why in fields.items()
        ]
    }


def form_of(*fields: str) -> dict[str, Any]:
    """An `openapi_extra`: the fields of a urlencoded body."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in fields}}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
