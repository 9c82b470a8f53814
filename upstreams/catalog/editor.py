"""The edit page: every product with its words and its price. Promises plain forms that work without script, escaped
values and a message for what does not fit; refuses a form that another site sent, every name but a loopback one, and
being framed. It asks nobody who they are: it is for a demo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, quote

from bff_service import NOT_FOUND, Problem
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from upstreams.kit.loopback import loopback_only

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Edit the catalog</title>
<style>
:root {{ color-scheme: light dark; }}
:root {{ --line: color-mix(in srgb, currentColor 25%, transparent); --accent: light-dark(#1c5d4a, #7fd1b0); }}
body {{ max-width: 44rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }}
form {{ display: grid; gap: .75rem; margin: 1rem 0; padding: 1rem; }}
form, input, textarea, button {{ border: 1px solid var(--line); border-radius: .5rem; }}
label {{ display: grid; gap: .25rem; font-size: .875rem; }}
input, textarea, button {{ font: inherit; padding: .5rem .625rem; }}
button {{ justify-self: start; min-height: 2.75rem; padding: 0 1.25rem; cursor: pointer; }}
:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px; }}
[role=status] {{ color: var(--accent); font-weight: 600; }}
h2 {{ margin: 0; font-size: 1.125rem; }}
</style>
</head>
<body>
<main>
<h1>Edit the catalog</h1>
<p>What you save is in the shop a moment later: the catalog tells the gateway, which drops its copies.</p>
{said}
{forms}
</main>
</body>
</html>
"""
_FORM: Final = """<form method="post" action="/edit/{sku}" id="{sku}">
<h2>{sku}</h2>
<label>Name <input name="name" required maxlength="100" value="{name}"></label>
<label>Description <textarea name="description" rows="2" maxlength="1000">{description}</textarea></label>
<label>Price in cents <input name="price_cents" required inputmode="numeric" pattern="[0-9]+" \
value="{price_cents}"></label>
<button type="submit">Save</button>
</form>"""


class Edit(BaseModel):
    """What a form may change."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")
    description: str = Field("", max_length=1000, pattern=r"^[^\x00]*$")
    price_cents: int = Field(ge=0, le=10_000_000)


Listed = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
Saved = Callable[[str, Edit], Awaitable[bool]]


def routes(listed: Listed, save: Saved) -> list[Route]:
    """listed: every product; save: changes one, False when there is none of that sku."""

    async def page(request: Request) -> Response:
        sku = request.query_params.get("saved")
        said = f'<p role="status">{escape(sku)} is saved.</p>' if sku else ""
        rows = await listed()
        forms = "\n".join(
            _FORM.format_map({name: escape(str(value)) for name, value in row.items()}) for row in rows
        )
        return HTMLResponse(_PAGE.format(said=said, forms=forms), headers=_HEADERS)

    async def edit(request: Request) -> Response:
        if "origin" not in request.headers:
            # A browser always sends one with a form.
            raise Problem(403, "forbidden", "This form is sent from the edit page only.")
        given = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        try:
            change = Edit.model_validate({name: values[-1] for name, values in given.items()})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            raise Problem(422, "invalid-input", f"{where}: {first['msg']}") from None
        sku = request.path_params["sku"]
        if not await save(sku, change):
            raise NOT_FOUND.problem("There is no such product.")
        place = quote(sku, safe="")
        return RedirectResponse(f"/edit?saved={place}#{place}", status_code=303, headers=_HEADERS)

    return [
        Route("/edit", loopback_only(page), methods=["GET"]),
        Route("/edit/{sku}", loopback_only(edit), methods=["POST"]),
    ]
