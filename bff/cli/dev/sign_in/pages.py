"""The pages that people see: who are you, what is going on here, you are signed out, and what went wrong.

Guarantees plain HTML that works without script, with a keyboard and a screen reader, in light and dark, on a phone.
Every value passes `html.escape`. The styles are in `pages.css`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from .faults import FAULTS
from .people import People, Person
from .state import SignIn

CSS = (Path(__file__).parent / "pages.css").read_text(encoding="utf-8")
_COLOURS = 6

_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Development sign-in</title>
<link rel="stylesheet" href="/pages.css">
</head>
<body>
<main class="card{wide}">
<p class="brand"><svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M12 2 4 5.5v6c0 \
4.9 3.4 8.9 8 10.5 4.6-1.6 8-5.6 8-10.5v-6L12 2Zm0 5.2a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4Zm0 11.9a7 7 0 0 \
1-4.9-2.9c.1-1.6 3.2-2.5 4.9-2.5s4.8.9 4.9 2.5A7 7 0 0 1 12 19.1Z"/></svg>Development sign-in</p>
{body}
</main>
</body>
</html>
"""


def who_are_you(people: People, *, action: str, csrf: str, hint: str | None, faults: Sequence[str]) -> str:
    """The list of people. The form posts `person` and `csrf` to `action`; an empty person cancels. hint: the `sub` of
    the person whose button has the focus (`login_hint`)."""
    choices = "\n".join(
        _choice(number, one, focus=one.sub == hint) for number, one in enumerate(people.people)
    )
    return _page(
        "Who are you?",
        f"""<h1>Who are you?</h1>
<p class="lead">Pick a person to sign in. There are no passwords: this page exists on this machine only, while you \
develop.</p>
{_in_force(faults)}<form method="post" action="{escape(action)}">
<input type="hidden" name="csrf" value="{escape(csrf)}">
<ul class="people">
{choices}
</ul>
<button class="quiet" type="submit" name="person" value="">Cancel and go back</button>
</form>
<p class="foot"><a href="/">People, sign-ins and faults</a></p>""",
    )


def overview(
    people: People,
    open_sign_ins: Sequence[SignIn],
    faults: Sequence[str],
    *,
    csrf: str,
    gateway: str,
    file: str | None,
) -> str:
    """People, who is signed in, and the switches for faults. Its forms post `csrf` with `fault` or `sid`."""
    where = (
        f"They are listed in <code>{escape(file)}</code>."
        if file
        else ("To have your own, write a <code>people.toml</code> beside your project.")
    )
    listed = "\n".join(_described(number, one) for number, one in enumerate(people.people))
    signed_in = "\n".join(_signed_in(one, people) for one in open_sign_ins)
    switches = "\n".join(_switch(name, text, on=name in faults) for name, text in FAULTS.items())
    hidden = f'<input type="hidden" name="csrf" value="{escape(csrf)}">'
    return _page(
        "Overview",
        f"""<h1>Who can sign in</h1>
<p class="lead">These people can sign in to <a href="{escape(gateway)}/bff/login">{escape(gateway)}</a>. {
            where
        }</p>
<ul class="people">
{listed}
</ul>
<section aria-labelledby="open"><h2 id="open">Signed in now</h2>
{
            f'<form method="post" action="/end">{hidden}<ul class="rows">{signed_in}</ul></form>'
            if signed_in
            else '<p class="lead">Nobody.</p>'
        }
</section>
<section aria-labelledby="faults"><h2 id="faults">What goes wrong</h2>
<p class="lead">Switch on a fault to see what your gateway and your page do.</p>
<form method="post" action="/switch">{hidden}<ul class="rows">
{switches}
</ul></form>
</section>""",
        wide=True,
    )


def signed_out() -> str:
    """After a logout that named no address to return to."""
    return _page("Signed out", '<h1>You are signed out</h1>\n<p class="lead">You can close this page.</p>')


def failure(title: str, detail: str) -> str:
    """An error that is not sent back to who asked, because who asked is not known for sure."""
    return _page(
        escape(title),
        f"""<h1>{escape(title)}</h1>
<p class="lead" role="alert">{escape(detail)}</p>
<p class="lead">Go back to where you came from and try again.</p>""",
    )


def _page(title: str, body: str, *, wide: bool = False) -> str:
    return _SHELL.format(title=title, body=body, wide=" wide" if wide else "")


def _in_force(faults: Sequence[str]) -> str:
    if not faults:
        return ""
    names = ", ".join(f"<code>{escape(name)}</code>" for name in faults)
    return f'<p class="warning" role="status">Faults are switched on: {names}.</p>\n'


def _face(number: int, initials: str) -> str:
    return f'<span class="face face-{number % _COLOURS}" aria-hidden="true">{escape(initials)}</span>'


def _choice(number: int, one: Person, *, focus: bool) -> str:
    described = f' aria-describedby="note-{number}"' if one.note else ""
    note = f'<span class="note" id="note-{number}">{escape(one.note)}</span>' if one.note else ""
    return f"""<li><button class="person" type="submit" name="person" value="{escape(one.sub)}" \
aria-labelledby="name-{number}"{described}{" autofocus" if focus else ""}>
{_face(number, one.initials)}
<span class="name" id="name-{number}">{escape(one.name)}</span>
{note}
<svg class="go" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="m6 3 5 5-5 5"/></svg>
</button></li>"""


def _described(number: int, one: Person) -> str:
    facts: Mapping[str, Sequence[str]] = {
        "Roles": one.roles or ("none",),
        "Scopes": ("whatever is asked for",) if one.scopes is None else one.scopes or ("none",),
    }
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{', '.join(escape(value) for value in values)}</dd></div>"
        for name, values in facts.items()
    )
    return f"""<li class="person">{_face(number, one.initials)}
<span class="name">{escape(one.name)}</span>
<dl class="note"><div><dt>Subject</dt><dd><code>{escape(one.sub)}</code></dd></div>{rows}</dl></li>"""


def _signed_in(one: SignIn, people: People) -> str:
    person = people.person(one.sub)
    name = person.name if person is not None else one.sub
    at = time.strftime("%H:%M:%S", time.localtime(one.auth_time))
    return f"""<li><span><strong>{escape(name)}</strong><span class="note">since {at}</span></span>
<button class="small" type="submit" name="sid" value="{escape(one.sid)}" \
aria-label="Sign {escape(name)} out, signed in since {at}">Sign out</button></li>"""


def _switch(name: str, text: str, *, on: bool) -> str:
    return f"""<li><span><strong id="fault-{name}">{name}</strong>\
<span class="note" id="does-{name}">{escape(text)}</span></span>
<button class="switch" type="submit" name="fault" value="{name}" role="switch" aria-checked="{str(on).lower()}" \
aria-labelledby="fault-{name}" aria-describedby="does-{name}"><span aria-hidden="true"></span></button></li>"""
