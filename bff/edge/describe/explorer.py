"""/docs/explorer: Swagger UI for the gateway's OpenAPI document, and a live console for its event stream.

Swagger UI comes from an installed package (the extra `docs`), the few files beside it from this one, and nothing from
another host: the pages' own Content-Security-Policy allows scripts, styles and requests of this origin alone, and no
`eval`. The explorer adds no right: its requests are those of the page's person, under the same guard as all others.
It is served only where the setting `docs.explorer` says so; `bff dev` switches it on where the package is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

from ...calls import DeclarationError

PREFIX = "/docs/explorer"
HEADERS: Mapping[str, str] = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
"""Of every answer below `PREFIX`."""
_PACKAGE = "fastapi_swagger"
_OWN = Path(__file__).parent / "explorer_page"
_HTML, _SCRIPT, _STYLE = (
    "text/html; charset=utf-8",
    "text/javascript; charset=utf-8",
    "text/css; charset=utf-8",
)


class ExplorerFile(NamedTuple):
    """path: where it is served; id, summary: for the OpenAPI document; content: the bytes, or the file with them."""

    path: str
    id: str
    summary: str
    media_type: str
    content: bytes | Path


def installed() -> Path | None:
    """The folder with the files of Swagger UI; None without the extra. The package is not imported."""
    found = importlib.util.find_spec(_PACKAGE)
    for found_at in (found.submodule_search_locations or ()) if found is not None else ():
        folder = Path(found_at) / "resources"
        if (folder / "swagger-ui-bundle.js").is_file() and (folder / "swagger-ui.css").is_file():
            return folder
    return None


def files(title: str) -> list[ExplorerFile]:
    """Everything that is served below `PREFIX`. title: of the gateway. Raises DeclarationError without the extra."""
    swagger = installed()
    if swagger is None:
        raise DeclarationError(
            "BFF_DOCS__EXPLORER needs the extra docs: pip install 'bff-gateway[docs]', or leave it unset"
        )
    return [
        ExplorerFile(PREFIX, "docs_explorer", "The explorer", _HTML, _explorer(title)),
        ExplorerFile(f"{PREFIX}/live", "docs_live", "The live console", _HTML, _live(title)),
        *(
            ExplorerFile(f"{PREFIX}/{file.name}", id, "A file of the explorer", media_type, file)
            for id, media_type, file in (
                ("docs_explorer_script", _SCRIPT, _OWN / "explorer.js"),
                ("docs_live_script", _SCRIPT, _OWN / "live.js"),
                ("docs_explorer_style", _STYLE, _OWN / "explorer.css"),
                ("docs_swagger_script", _SCRIPT, swagger / "swagger-ui-bundle.js"),
                ("docs_swagger_style", _STYLE, swagger / "swagger-ui.css"),
            )
        ),
    ]


def _page(title: str, head: str, body: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head><body>{body}</body></html>'
    ).encode()


def _explorer(title: str) -> bytes:
    return _page(
        f"{title} – explorer",
        '<link rel="stylesheet" href="explorer/swagger-ui.css"><link rel="stylesheet" href="explorer/explorer.css">'
        '<script src="explorer/swagger-ui-bundle.js" defer></script>'
        '<script src="explorer/explorer.js" defer></script>',
        '<nav><a href="../docs">docs</a> · <a href="explorer/live">live console</a></nav>'
        '<p class="note">Requests are sent as you: with this browser\'s session, or the token under Authorize. '
        "X-BFF and a new Idempotency-Key are added to writes.</p>"
        '<main id="explorer"></main>',
    )


def _live(title: str) -> bytes:
    return _page(
        f"{title} – live console",
        '<link rel="stylesheet" href="explorer.css"><script src="live.js" defer></script>',
        '<nav><a href="../../docs">docs</a> · <a href="../explorer">explorer</a></nav>'
        "<main><h1>Live console</h1>"
        "<p>Opens <code>/bff/live</code> as you and shows each event. Described by "
        '<a href="../../asyncapi.json">/asyncapi.json</a>.</p>'
        '<form id="connect"><label>Values, separated by blanks <input name="values" size="40"></label>'
        '<label>Resume after <input name="after" size="24"></label>'
        '<label>Bearer token, if you have no session <input name="token" type="password" autocomplete="off"></label>'
        '<button>Open</button> <button type="button" id="close" disabled>Close</button> '
        '<button type="button" id="clear">Clear</button></form>'
        '<p id="state" role="status">closed</p><ol id="events"></ol>'
        '<h2>What the stream carries</h2><div id="messages"></div></main>',
    )
