"""The site: an HTML page with a strict Content-Security-Policy, and its folders of assets."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..calls import DeclarationError
from .http.request import is_navigation
from .http.security_headers import PERMISSIONS, permissions_header

# In a checkout the folder has links to the modules in web/client, and links that leave a folder are not served.
BROWSER_CLIENT = (Path(__file__).parents[1] / "browser" / "index.js").resolve().parent
"""The folder with the modules of the browser client, of this version, for a page without a build:
`gateway.site(…, folders={"/client": BROWSER_CLIENT})`."""

_CSP: Mapping[str, tuple[str, ...]] = {
    "default-src": ("'self'",),
    "img-src": ("'self'", "data:"),
    "object-src": ("'none'",),
    "base-uri": ("'none'",),
    "frame-ancestors": ("'none'",),
    "form-action": ("'self'",),
}
# Content Security Policy Level 3: directives that do not fall back to default-src.
_ALONE = frozenset({"frame-ancestors", "form-action", "base-uri", "sandbox", "report-to", "report-uri"})
_NAME = re.compile(r"[a-z]+(-[a-z]+)*")
_SOURCE = re.compile(r"[\x21-\x2b\x2d-\x3a\x3c-\x7e]+")
_ORIGIN = re.compile(r"self|\*|https://[a-z0-9.*-]+(:[0-9]{1,5})?")


def content_policy(additions: Mapping[str, tuple[str, ...]]) -> str:
    """The site's Content-Security-Policy: the strict one, with sources added to its directives.

    An added directive that would fall back to `default-src` begins with `'self'`. Raises DeclarationError.
    """
    found = dict(_CSP)
    for name, sources in additions.items():
        if not _NAME.fullmatch(name):
            raise DeclarationError(f"site: csp has {name!r}, which is no directive such as connect-src")
        if isinstance(sources, str) or not all(_SOURCE.fullmatch(source) for source in sources):
            raise DeclarationError(
                f"site: csp {name} is a tuple of sources without blanks, commas and semicolons, "
                "such as ('https://api.example.org',)"
            )
        for source in sources:
            if source.startswith("'") != source.endswith("'") or source in ("self", "none", "unsafe-inline"):
                raise DeclarationError(
                    f"site: csp {name}: write keywords in quotes, such as \"'self'\", not {source}"
                )
        before = found.get(name, () if name in _ALONE else _CSP["default-src"])
        # 'none' may not be beside another source (CSP Level 3, section 6.7.2.4).
        strict = before if not sources else tuple(source for source in before if source != "'none'")
        found[name] = tuple(dict.fromkeys((*strict, *sources)))
    return "; ".join(" ".join((name, *sources)) for name, sources in found.items())


def permissions_policy(additions: Mapping[str, tuple[str, ...]]) -> str:
    """The site's Permissions-Policy: the strict one, with features allowed for some origins.

    Raises DeclarationError.
    """
    for name, origins in additions.items():
        if not _NAME.fullmatch(name):
            raise DeclarationError(f"site: permissions has {name!r}, which is no feature such as geolocation")
        if isinstance(origins, str) or not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise DeclarationError(
                f"site: permissions {name} is a tuple of self, * and origins, such as ('self', 'https://maps.example.org')"
            )
    return permissions_header({**PERMISSIONS, **additions})


class Html:
    """The endpoint for one HTML file. headers: the site's policies."""

    def __init__(self, file: Path, headers: Mapping[str, str]) -> None:
        self._file = file
        self._headers = {**headers, "cache-control": "no-cache"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = FileResponse(self._file, media_type="text/html", headers=self._headers)
        await response(_whole(scope), receive, send)


class Fallback:
    """Answers navigations to addresses without a route with the page, because the page's script may know the address.

    under  path prefixes below which it answers; `/` for all
    taken  path prefixes below which it never answers: a missing asset or an unknown address of the gateway is 404
    """

    def __init__(self, page: Html, under: tuple[str, ...], taken: tuple[str, ...]) -> None:
        self._page = page
        self._under = under
        self._taken = taken

    def takes(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        return (
            scope["method"] in ("GET", "HEAD")
            and any(_below(path, prefix) for prefix in self._under)
            and not any(_below(path, prefix) for prefix in self._taken)
            and is_navigation(scope)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises HTTPException 404 for a request that it does not answer."""
        if not self.takes(scope):
            raise HTTPException(404)
        await self._page(scope, receive, send)


def _below(path: str, prefix: str) -> bool:
    return prefix == "/" or path == prefix or path.startswith(prefix + "/")


class _Files(StaticFiles):
    """Starlette's, with small files in memory: otherwise each answer is made in five steps of a thread. Whether a file
    has changed is looked up for each request."""

    SMALL = 256 * 1024
    """Bytes of a file that is held at most."""
    MOST = 16 * 1024 * 1024
    """Bytes of all that are held; those that were not asked for longest go first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self._held: OrderedDict[str, tuple[tuple[int, int], bytes]] = OrderedDict()
        self._size = 0
        # Files are looked up in several threads.
        self._lock = threading.Lock()

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        full, found = super().lookup_path(path)
        if found is not None and stat.S_ISREG(found.st_mode) and found.st_size <= self.SMALL:
            state = found.st_mtime_ns, found.st_size
            with self._lock:
                known = self._held.get(full)
                if known is not None and known[0] == state:
                    self._held.move_to_end(full)
                    return full, found
            # Without its content it is answered as a large one is.
            with contextlib.suppress(OSError):
                self._hold(full, state, Path(full).read_bytes())
        return full, found

    def _hold(self, full: str, state: tuple[int, int], content: bytes) -> None:
        with self._lock:
            if (before := self._held.pop(full, None)) is not None:
                self._size -= len(before[1])
            if len(content) != state[1]:
                # It was changed meanwhile.
                return
            self._held[full] = state, content
            self._size += len(content)
            while self._size > self.MOST:
                self._size -= len(self._held.popitem(last=False)[1][1])

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        made = super().file_response(full_path, stat_result, scope, status_code)
        known = self._held.get(str(full_path))
        if isinstance(made, NotModifiedResponse) or known is None:
            return made
        if known[0] != (stat_result.st_mtime_ns, stat_result.st_size):
            return made
        return Response(known[1], made.status_code, dict(made.headers))


def assets(folder: Path, headers: Mapping[str, str]) -> ASGIApp:
    """Serves a folder of files, which a browser may cache but must revalidate. headers: the site's policies."""
    files = _Files(folder)
    # A worker's script, and an SVG image that is opened directly, need the page's policy too.
    marks = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        # The folder may be a package or a checkout, so hidden and private files are not served.
        if any(part[:1] in (".", "_") or part == "node_modules" for part in scope["path"].split("/")):
            raise HTTPException(404)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"cache-control", b"no-cache"), *marks]
            await send(message)

        await files(_whole(scope), receive, send_marked)

    return serve


def _whole(scope: Scope) -> Scope:
    """The request without its Range header, which a server may ignore (RFC 9110 section 14.2): a page's files are
    small, and Starlette refuses a range in plain text."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}
