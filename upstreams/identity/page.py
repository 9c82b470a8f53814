"""The pages people see: "Who are you?", "You are signed out", and what went wrong.

Promises plain HTML that works without script, with a keyboard and a screen reader, in light and dark, on a
phone. Refuses unescaped text: every value passes `html.escape`. The styles are in `page.css`, served beside.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from .people import PEOPLE, Person

CSS = (Path(__file__).parent / "page.css").read_text()

_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/page.css">
</head>
<body>
<main class="card">
<p class="brand"><svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M12 2 4 5.5v6c0 \
4.9 3.4 8.9 8 10.5 4.6-1.6 8-5.6 8-10.5v-6L12 2Zm0 5.2a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4Zm0 11.9a7 7 0 0 \
1-4.9-2.9c.1-1.6 3.2-2.5 4.9-2.5s4.8.9 4.9 2.5A7 7 0 0 1 12 19.1Z"/></svg>Identity</p>
{body}
</main>
</body>
</html>
"""


def who_are_you(*, action: str, csrf: str, client_name: str) -> str:
    """The choice of a person. The form posts `person` and `csrf` to `action`; an empty person declines."""
    people = "\n".join(_choice(index, one) for index, one in enumerate(PEOPLE))
    return _SHELL.format(
        title="Who are you? · Identity",
        body=f"""<h1>Who are you?</h1>
<p class="lead">Pick a person to continue to <strong>{escape(client_name)}</strong>. This is a demo: \
there are no passwords.</p>
<form method="post" action="{escape(action)}">
<input type="hidden" name="csrf" value="{escape(csrf)}">
<ul class="people">
{people}
</ul>
<button class="quiet" type="submit" name="person" value="">Cancel and go back</button>
</form>""",
    )


def signed_out() -> str:
    """After a logout that named no address to return to."""
    return _SHELL.format(
        title="Signed out · Identity",
        body="""<h1>You are signed out</h1>
<p class="lead">You can close this page.</p>""",
    )


def problem(*, title: str, detail: str) -> str:
    """An error that must not be sent back to whoever asked, because who asked is not known for sure."""
    return _SHELL.format(
        title=f"{escape(title)} · Identity",
        body=f"""<h1>{escape(title)}</h1>
<p class="lead" role="alert">{escape(detail)}</p>
<p class="hint">Go back to where you came from and try again.</p>""",
    )


def _choice(index: int, one: Person) -> str:
    sub = escape(one.sub)
    return f"""<li><button class="person" type="submit" name="person" value="{sub}" \
aria-labelledby="name-{sub}" aria-describedby="note-{sub}">
<span class="face face-{index}" aria-hidden="true">{escape(one.initials)}</span>
<span class="name" id="name-{sub}">{escape(one.name)}</span>
<span class="note" id="note-{sub}">{escape(one.note)}</span>
<svg class="go" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="m6 3 5 5-5 5"/></svg>
</button></li>"""
