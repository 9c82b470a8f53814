"""Static files of the page: the HTML with a strict Content-Security-Policy, and folders of assets beside it."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)


class Html:
    """One HTML file at any path it is routed to."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = FileResponse(
            self._file,
            media_type="text/html",
            headers={"content-security-policy": CSP, "cache-control": "no-cache"},
        )
        await response(_whole(scope), receive, send)


def assets(folder: Path) -> ASGIApp:
    """A folder of files that a browser may keep but must ask about."""
    files = StaticFiles(directory=folder)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        # A folder of a page may also be a package or a checkout: only what is plainly meant to be seen is shown.
        if any(part[:1] in (".", "_") or part == "node_modules" for part in scope["path"].split("/")):
            raise HTTPException(404)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"cache-control", b"no-cache"),
                    # A worker's script and a drawing that is opened by itself are held to the page's policy.
                    (b"content-security-policy", CSP.encode()),
                ]
            await send(message)

        await files(_whole(scope), receive, send_marked)

    return serve


def _whole(scope: Scope) -> Scope:
    """The request without its Range: a page's files are small, and Starlette refuses ranges in plain text. A server may
    pass a Range over (RFC 9110 section 14.2)."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}
