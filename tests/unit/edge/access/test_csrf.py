"""Which writes pass the CSRF check."""

from __future__ import annotations

import pytest

from bff.calls import Principal
from bff.edge.access import csrf
from bff.edge.problem import Problem
from bff.edge.state import state_of

SITE = "https://shop.test"
COOKIE_USER = Principal("i", "ada", "t", 0, session="h")
BEARER_USER = Principal("i", "ada", "t", 0)

OWN = {"x-bff": "1", "sec-fetch-site": "same-origin", "origin": "https://shop.test"}


def check(method: str, who: Principal | None, *headers: tuple[str, str], site: str = SITE) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    csrf.check({"method": method, "headers": raw}, who, site)


@pytest.mark.parametrize(
    "headers",
    [
        OWN,
        {"x-bff": "1"},
        {"x-bff": "1", "origin": "https://shop.test"},
        {"x-bff": "1", "origin": "https://shop.test:443"},
        {"x-bff": "1", "origin": "https://SHOP.test"},
        {"x-bff": "1", "sec-fetch-site": "same-origin"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_writes_of_the_sites_own_page_pass(method: str, headers: dict[str, str]) -> None:
    check(method, COOKIE_USER, *headers.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"x-bff": None},
        {"x-bff": "0"},
        {"x-bff": ""},
        {"x-bff": "1, 1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"origin": "https://evil.test"},
        {"origin": "http://shop.test"},
        {"origin": "https://shop.test:444"},
        {"origin": "https://shop.test.evil.test"},
        {"origin": "https://shop.test@evil.test"},
        {"origin": "https://evil.test@shop.test"},
        {"origin": "https://evil:pass@shop.test:443"},
        {"origin": "https://@shop.test"},
        {"origin": "https://shop.test/"},
        {"origin": "https://shop.test/page"},
        {"origin": "https://shop.test?x"},
        {"origin": "https://shop.test#x"},
        {"origin": "https://shop.test\\@evil.test"},
        {"origin": "https://sho\tp.test"},
        {"origin": "https://shop.test\n"},
        {"origin": " https://shop.test"},
        {"origin": "https://shop.test "},
        {"origin": "https:shop.test"},
        {"origin": "https:///shop.test"},
        {"origin": "https://shop.test."},
        {"origin": "https://shop.test:"},
        {"origin": "https://shop.test:0443x"},
        {"origin": "https://shop.test https://evil.test"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://[::1"},
        {"origin": "https://shop.test:port"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PROPFIND"])
def test_a_forged_write_is_refused(method: str, changes: dict[str, str | None]) -> None:
    headers = [(name, value) for name, value in {**OWN, **changes}.items() if value is not None]
    with pytest.raises(Problem) as caught:
        check(method, COOKIE_USER, *headers)
    assert (caught.value.status, caught.value.code) == (403, "csrf")


def test_a_site_with_a_path_or_a_name_outside_ascii_is_compared_by_its_origin() -> None:
    own = {"x-bff": "1", "origin": "https://xn--bcher-kva.test:8443"}
    check("POST", COOKIE_USER, *own.items(), site="https://bücher.test:8443/shop")
    with pytest.raises(Problem):
        check("POST", COOKIE_USER, *own.items(), site="https://bucher.test:8443/shop")


def test_a_write_with_a_repeated_header_is_refused() -> None:
    for extra in (("origin", "https://evil.test"), ("x-bff", "0"), ("sec-fetch-site", "cross-site")):
        with pytest.raises(Problem):
            check("POST", COOKIE_USER, *OWN.items(), extra)


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({"x-bff": "1"}, False),
        ({"x-bff": "1", "origin": "https://shop.test"}, True),
        ({"x-bff": "1", "sec-fetch-site": "same-origin"}, True),
        ({"x-bff": "1", "sec-fetch-site": "same-site"}, False),
        ({"x-bff": "1", "sec-fetch-site": "none"}, False),
        ({"x-bff": "1", "origin": "https://evil.shop.test"}, False),
        ({"origin": "https://shop.test", "sec-fetch-site": "same-origin"}, False),
    ],
)
def test_a_frontend_server_passes_on_what_the_browser_says_about_a_write(
    headers: dict[str, str], fine: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"method": "POST", "headers": raw}
    state_of(scope).frontend = "web"
    if fine:
        csrf.check(scope, COOKIE_USER, SITE)
        return
    with pytest.raises(Problem) as caught:
        csrf.check(scope, COOKIE_USER, SITE)
    assert (caught.value.status, caught.value.code) == (403, "csrf")


def test_reads_bearer_tokens_and_anonymous_requests_are_exempt() -> None:
    check("GET", COOKIE_USER)
    check("HEAD", COOKIE_USER, ("origin", "https://evil.test"))
    check("POST", BEARER_USER, ("origin", "https://evil.test"))
    check("POST", None, ("origin", "https://evil.test"))


def test_an_origin_is_compared_with_its_port() -> None:
    here = "http://localhost:8000"
    check("POST", COOKIE_USER, ("x-bff", "1"), ("origin", here), site=here)
    with pytest.raises(Problem):
        check("POST", COOKIE_USER, ("x-bff", "1"), ("origin", "http://localhost:8101"), site=here)


@pytest.mark.parametrize(
    ("values", "principal", "fine"),
    [
        ([], COOKIE_USER, True),
        ([b"same-origin"], COOKIE_USER, True),
        ([b"none"], COOKIE_USER, True),
        ([b"same-site"], COOKIE_USER, False),
        ([b"cross-site"], COOKIE_USER, False),
        ([b"same-origin", b"cross-site"], COOKIE_USER, False),
        ([b"cross-site"], BEARER_USER, True),
    ],
)
def test_only_the_sites_own_page_reads_a_stream_with_a_cookie(
    values: list[bytes], principal: Principal, fine: bool
) -> None:
    scope = {"method": "GET", "headers": [(b"sec-fetch-site", value) for value in values]}
    if fine:
        csrf.check_read(scope, principal)
        return
    with pytest.raises(Problem) as caught:
        csrf.check_read(scope, principal)
    assert (caught.value.status, caught.value.code) == (403, "csrf")
