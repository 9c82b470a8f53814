"""Problem pages: a person gets an HTML page where a program gets a problem document.

A page has the problem's status and headers, `no-store`, and `Vary`. Text from a request, a provider or a service is
always escaped, and links lead only to paths of this site. `Gateway(pages=…)` replaces `plain`, the default, with
another function; both get a `ProblemPage`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from starlette.types import Scope

from .access.login_state import safe_return
from .http.public_path import PublicPath
from .http.request import VARY, cookie_values, header_values, is_navigation
from .problem import Problem

log = logging.getLogger("bff.edge")


class Escaped(str):
    """Text that is safe in HTML, between tags or in a quoted attribute. Template engines that use `__html__` (Jinja,
    Django) do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def escaped(text: str) -> Escaped:
    """The text with character references for what is special in HTML, and without control characters."""
    return Escaped(
        html.escape("".join(letter if letter.isprintable() else " " for letter in text), quote=True)
    )


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """The texts and links of a problem page. Every text is escaped already.

    status       HTTP status of the answer
    code         the problem's stable code, as in `/docs/problems`
    title        what happened, in a few words for a person
    text         what the person can do
    detail       the problem's detail, which is written for developers
    reference    the correlation id, for support requests
    home         the site's start page
    sign_in      the sign-in, which leads back to the requested address; None if signing in would not help
    again        the requested address; None if trying again would not help
    retry_after  seconds until a retry may help; None if that is not known
    """

    status: int
    code: Escaped
    title: Escaped
    text: Escaped
    detail: Escaped
    reference: Escaped
    home: Escaped
    sign_in: Escaped | None
    again: Escaped | None
    retry_after: float | None


Pages = Callable[[ProblemPage], str]
"""Makes a whole HTML document. It is called on the event loop and must not wait. What it raises is logged, and the
plain page is shown instead."""

_WORDS: dict[str, tuple[str, str]] = {
    "not-found": ("Page not found", "The address may be mistyped, or the page has moved."),
    "unauthenticated": (
        "Please sign in",
        "Your session has ended, or this page is only for people who are signed in.",
    ),
    "invalid-token": ("Please sign in", "Your session is no longer valid."),
    "step-up-required": (
        "Please sign in again",
        "This page needs a recent or stronger proof of who you are.",
    ),
    "forbidden": ("You may not see this", "Your account is not allowed to open this page."),
    "csrf": ("This request did not come from our site", "Go to the start page and try again from there."),
    "rate-limited": ("Too many requests", "Wait a moment, then try again."),
    "sign-in-failed": ("Sign-in failed", "Try to sign in again."),
    "method-not-allowed": ("Page not found", "This address is for programs, not for browsers."),
    "misdirected": ("Wrong address", "This server does not serve that name."),
}
_LATER = ("This cannot be shown right now", "It is not your fault. Try again in a moment.")
_BROKEN = ("Something went wrong", "It is not your fault, and it has been logged.")
_WRONG = ("This request cannot be answered", "Go to the start page and try again from there.")

_AGAIN = frozenset({429, 502, 503, 504})

_STYLE = """
:root{color-scheme:light dark;--text:light-dark(#1c1d1f,#ececef);--soft:light-dark(#55585e,#a9acb3);
--page:light-dark(#f4f5f7,#131416);--card:light-dark(#fff,#1d1f22);--line:light-dark(#dcdfe4,#34373c);
--link:light-dark(#1a56b0,#8ab8ff);--on:light-dark(#fff,#0d1b30)}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;background:var(--page);
color:var(--text);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:32rem;padding:clamp(1.5rem,6vw,2.75rem);background:var(--card);
border:1px solid var(--line);border-radius:1rem;overflow-wrap:anywhere}
h1{margin:0 0 .5rem;font-size:clamp(1.4rem,5.5vw,1.85rem);line-height:1.2;text-wrap:balance}
p{margin:0;color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.75rem}
a{display:inline-flex;align-items:center;min-height:2.75rem;padding:0 1.15rem;border:1px solid var(--line);
border-radius:.6rem;color:var(--link);font-weight:600;text-decoration:none}
a:first-child{background:var(--link);border-color:var(--link);color:var(--on)}
a:hover{text-decoration:underline}
a:focus-visible{outline:3px solid var(--link);outline-offset:3px}
small{display:block;margin-top:1.75rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);
font-size:.8125rem}
@media(max-width:24rem){nav{flex-direction:column}a{justify-content:center}}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_STRICT = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PLAIN_POLICY = f"{_STRICT}; style-src 'sha256-{_HASH}'"


def plain(page: ProblemPage) -> str:
    """The default page, for light and dark, wide and narrow screens. It has no script, image or other resource."""
    links = [
        (page.sign_in, "Sign in"),
        (page.again, "Try again"),
        (page.home, "Go to the start page"),
    ]
    nav = "".join(f'<a href="{where}">{what}</a>' for where, what in links if where is not None)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="robots" content="noindex">\n'
        f"<title>{page.title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{page.title}</h1>\n<p>{page.text}</p>\n<nav>{nav}</nav>\n"
        f"<small>Error {page.status} · Reference {page.reference}</small>\n</main>\n</body>\n</html>\n"
    )


def choice(title: str, links: Iterable[tuple[str, str]]) -> str:
    """A page with links to choose from, each an address of this site and a text. It looks like `plain`, and has the
    policy `PLAIN_POLICY`."""
    nav = "".join(f'<a href="{escaped(where)}">{escaped(what)}</a>' for where, what in links)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="robots" content="noindex">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escaped(title)}</h1>\n<nav>{nav}</nav>\n</main>\n</body>\n</html>\n"
    )


class ErrorPages:
    """Makes the page for the problem of a navigation.

    pages    makes the page; None: `plain`
    policy   the Content-Security-Policy of the pages that `pages` makes, as the site has it
    path     the path below which browsers reach the gateway
    sign_in  whether browsers can sign in here
    cookies  the names of session cookies; default: that of the path
    """

    def __init__(
        self,
        pages: Pages | None,
        policy: str,
        path: PublicPath,
        *,
        sign_in: bool,
        cookies: Iterable[str] = (),
    ) -> None:
        self._pages = pages
        self._policy = policy
        self._path = path
        self._sign_in = sign_in
        self._cookies = tuple(cookies) or (path.session_cookie,)

    def answer(self, scope: Scope, problem: Problem, correlation: str) -> tuple[dict[str, str], bytes] | None:
        """The page's headers and body; None if this request gets the problem document."""
        if not is_navigation(scope):
            return None
        asked = _asked(scope)
        if asked is not None and self._is_strict_cookie_missing(scope, problem):
            return _headers(_STRICT), _reload(asked)
        return self.page(problem, correlation, asked)

    def page(
        self, problem: Problem, correlation: str, asked: str | None = None
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of the page. asked: the requested path and query; None if no link may lead there."""
        title, text = problem.for_people or _words(problem)
        page = ProblemPage(
            status=problem.status,
            code=escaped(problem.code),
            title=escaped(title),
            text=escaped(text),
            detail=escaped(problem.detail),
            reference=escaped(correlation),
            home=escaped(self._path.home),
            sign_in=self._sign_in_link(problem, asked),
            again=escaped(asked) if asked is not None and problem.status in _AGAIN else None,
            retry_after=problem.retry_after,
        )
        if self._pages is not None:
            try:
                return _headers(self._policy), self._pages(page).encode("utf-8", "replace")
            except Exception:  # the team's function failed, but the person still gets a page
                log.exception("the gateway's pages failed; the plain page is shown")
        return _headers(PLAIN_POLICY), plain(page).encode()

    def _sign_in_link(self, problem: Problem, asked: str | None) -> Escaped | None:
        if not self._sign_in or (problem.status != 401 and problem.code != "sign-in-failed"):
            return None
        # No return to an address below /bff/, because the provider's answer is accepted only once.
        wanted = asked if asked is not None and not asked.startswith(f"{self._path.prefix}/bff/") else None
        back = problem.return_to or wanted or self._path.home
        login = f"{self._path.prefix}/bff/login"
        if problem.code == "step-up-required":
            # It has an address with parameters of its own. A problem of a team may have any `login`.
            login = problem.extra.get("login", login)
        joint = "&" if "?" in login else "?"
        return escaped(f"{login}{joint}{urlencode({'return': back}, quote_via=quote, safe='/')}")

    def _is_strict_cookie_missing(self, scope: Scope, problem: Problem) -> bool:
        """Whether the person may be signed in: after a link on another site, the browser does not send the session's
        SameSite=Strict cookie. A reload comes from this site, so the browser sends it."""
        return (
            self._sign_in
            and problem.code == "unauthenticated"
            and scope["method"] == "GET"
            and header_values(scope, b"sec-fetch-site") == [b"cross-site"]
            and not header_values(scope, b"authorization")
            and not any(cookie_values(scope["headers"], name) for name in self._cookies)
        )


def _headers(policy: str) -> dict[str, str]:
    return {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": policy,
        "vary": VARY,
    }


def _words(problem: Problem) -> tuple[str, str]:
    if problem.code in _WORDS:
        return _WORDS[problem.code]
    if problem.status in _AGAIN:
        return _LATER
    return _BROKEN if problem.status >= 500 else _WRONG


def _asked(scope: Scope) -> str | None:
    """Path and query of a GET as they were sent; None if some parser could read them as another site's address."""
    if scope["method"] != "GET":
        return None
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    return safe_return((raw + (b"?" + query if query else b"")).decode("latin-1"))


def _reload(path: str) -> bytes:
    address = escaped(path)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>One moment</title>'
        f'<meta http-equiv="refresh" content="0;url={address}"><p><a href="{address}">Go on</a></p></html>'
    ).encode()
