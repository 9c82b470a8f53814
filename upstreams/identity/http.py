"""HTTP for identity: forms in, pages and the core's answers out.

Promises bounded bodies, problem details (RFC 9457) for whatever is not a page or an OAuth answer, and pages that
run no script and cannot be framed. Refuses forms of any other encoding than urlencoded and bodies over 16 KiB.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from bff_service import Problem
from bff_service.problems import instance_of
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, Response

from . import page
from .exchange import Answer

MAX_BODY = 16 * 1024
NO_STORE = {"Cache-Control": "no-store"}


async def read_form(request: HttpRequest) -> list[tuple[str, str]]:
    """The fields of a urlencoded body, in order; a problem when it is none or too long."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported-media-type", "A urlencoded form is expected.")
    body = b""
    async for chunk in request.stream():
        body += chunk
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


def sent(answer: Answer) -> Response:
    """The core's answer on the wire; never stored by caches."""
    headers = {**answer.headers, **NO_STORE}
    if answer.location is not None:
        headers["Referrer-Policy"] = "no-referrer"
    return Response(answer.body, answer.status, headers)


async def http_problem(request: HttpRequest, error: Exception) -> Response:
    """404, 405 and their like."""
    if not isinstance(error, HTTPException):
        raise error
    codes = {404: "not-found", 405: "method-not-allowed"}
    code = codes.get(error.status_code, "refused")
    headers = dict(error.headers or {})
    return Problem(error.status_code, code, error.detail, headers=headers).response(instance_of(request))


async def problem(request: HttpRequest, error: Exception) -> Response:
    """A refusal of ours."""
    if not isinstance(error, Problem):
        raise error
    return error.response(instance_of(request))
