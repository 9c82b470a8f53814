"""What a refused request is told, and which requests may follow the address after a logout."""

from __future__ import annotations

import pytest

from bff.calls import Principal
from bff.edge.access import csrf
from bff.edge.problem import Problem
from bff.edge.state import state_of

SITE = "https://shop.test"
PERSON = Principal("i", "ada", "t", 0, session="h")
WRITE = "This write must come from this site's own page: "


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"x-bff": "2"}, WRITE + "send the header X-BFF: 1."),
        ({"sec-fetch-site": "same-site"}, WRITE + "its Sec-Fetch-Site is not same-origin."),
        ({"origin": "https://evil.test"}, WRITE + "its Origin is another site's."),
    ],
)
def test_a_refused_write_is_told_what_is_missing(changes: dict[str, str], detail: str) -> None:
    own = {"x-bff": "1", "sec-fetch-site": "same-origin", "origin": SITE}
    headers = [(name.encode(), value.encode()) for name, value in (own | changes).items()]
    with pytest.raises(Problem) as caught:
        csrf.check({"method": "POST", "headers": headers}, PERSON, SITE)
    assert (caught.value.status, caught.value.code, caught.value.detail) == (403, "csrf", detail)


def test_a_refused_read_is_told_why() -> None:
    scope = {"method": "GET", "headers": [(b"sec-fetch-site", b"cross-site")]}
    with pytest.raises(Problem) as caught:
        csrf.check_read(scope, PERSON)
    assert (
        caught.value.detail == "Only this site's own page may read this: its Sec-Fetch-Site says otherwise."
    )


def test_a_frontend_server_is_told_what_it_must_pass_on() -> None:
    scope = {"method": "POST", "headers": [(b"x-bff", b"1")]}
    state_of(scope).frontend = "web"
    with pytest.raises(Problem) as caught:
        csrf.check(scope, PERSON, SITE)
    assert caught.value.detail == (
        WRITE + "a frontend server must pass on the browser's Origin and Sec-Fetch-Site."
    )


NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize("headers", [NAVIGATION, NAVIGATION | {"sec-fetch-site": "none"}, {}])
def test_a_navigation_of_this_sites_page_passes_and_so_does_a_browser_without_the_headers(
    headers: dict[str, str],
) -> None:
    csrf.check_navigation({"headers": [(name.encode(), value.encode()) for name, value in headers.items()]})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sec-fetch-mode", "cors", "Sec-Fetch-Mode"),
        ("sec-fetch-mode", "no-cors", "Sec-Fetch-Mode"),
        ("sec-fetch-dest", "iframe", "Sec-Fetch-Dest"),
        ("sec-fetch-dest", "empty", "Sec-Fetch-Dest"),
        ("sec-fetch-site", "same-site", "Sec-Fetch-Site"),
        ("sec-fetch-site", "cross-site", "Sec-Fetch-Site"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_anything_but_a_navigation_of_this_sites_page_is_refused(
    name: str, value: str, said: str, alone: bool
) -> None:
    headers = {name: value} if alone else NAVIGATION | {name: value}
    with pytest.raises(Problem) as caught:
        csrf.check_navigation({"headers": [(one.encode(), other.encode()) for one, other in headers.items()]})
    told = (caught.value.status, caught.value.code, caught.value.detail)
    assert told == (403, "csrf", f"Go there with the browser: its {said} says otherwise.")


def test_a_repeated_header_of_a_navigation_is_refused() -> None:
    twice = [(b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")]
    with pytest.raises(Problem):
        csrf.check_navigation({"headers": twice})
