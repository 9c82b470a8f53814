"""Which session cookies count at which host, and the address of the site at each of its hosts."""

from __future__ import annotations

from typing import Any

import pytest

from bff.edge.access.session_cookies import SessionCookies, Site, session_cookies

HOSTS = {"": (), "staff": ("staff.shop.test",), "club": ["club.shop.test", "staff.shop.test"]}


def request(host: str | None = "shop.test", cookie: str = "", *more: tuple[bytes, bytes]) -> dict[str, Any]:
    hosts = [] if host is None else [(b"host", host.encode("latin-1"))]
    return {"type": "http", "headers": [*hosts, (b"cookie", cookie.encode()), *more]}


@pytest.mark.parametrize(
    ("public_url", "given", "host"),
    [
        ("https://shop.test", "shop.test", "shop.test"),
        ("https://shop.test", "SHOP.Test", "shop.test"),
        ("https://shop.test", "shop.test:443", "shop.test"),
        ("https://shop.test", "shop.test:80", "shop.test:80"),
        ("http://shop.test", "shop.test:80", "shop.test"),
        ("http://shop.test", "shop.test:443", "shop.test:443"),
        ("https://shop.test", "a:b:443", "a:b"),
        ("https://shop.test", "[::1]:8443", "[::1]:8443"),
        ("https://shop.test", "443", "443"),
        ("https://shop.test", "sh\xf6p.test", "sh\xf6p.test"),
        ("https://shop.test", None, ""),
    ],
)
def test_a_host_is_read_as_settings_write_it(public_url: str, given: str | None, host: str) -> None:
    assert Site(public_url).host(request(given)) == host


def test_two_host_headers_name_no_host() -> None:
    assert Site("https://shop.test").host(request("shop.test", "", (b"host", b"shop.test"))) == ""


def test_the_site_is_at_its_public_url_and_at_its_other_hosts() -> None:
    site = Site("https://shop.test/desk", frozenset({"staff.shop.test", "club.shop.test:8443"}))
    assert site.url(request("staff.shop.test:443")) == "https://staff.shop.test/desk"
    assert site.url(request("club.shop.test:8443")) == "https://club.shop.test:8443/desk"
    for foreign in ("shop.test", "evil.test", None):
        assert site.url(request(foreign)) == "https://shop.test/desk"


def test_each_provider_has_a_cookie_of_its_own() -> None:
    found = session_cookies("https://shop.test/desk", HOSTS)
    assert found.names == {
        "": "__Host-bff.desk",
        "staff": "__Host-bff.desk~staff",
        "club": "__Host-bff.desk~club",
    }
    assert found.hosts == {
        "staff": frozenset({"staff.shop.test"}),
        "club": frozenset({"club.shop.test", "staff.shop.test"}),
    }
    assert found.site == Site("https://shop.test/desk", frozenset({"staff.shop.test", "club.shop.test"}))
    assert session_cookies("https://shop.test", {"": ()}).site.hosts == frozenset()


@pytest.mark.parametrize(
    ("host", "read"),
    [
        ("shop.test", [("", "a"), ("", "d")]),
        ("staff.shop.test", [("", "a"), ("", "d"), ("staff", "b"), ("club", "c")]),
        ("club.shop.test", [("", "a"), ("", "d"), ("club", "c")]),
        (None, [("", "a"), ("", "d")]),
    ],
)
def test_a_cookie_counts_at_the_hosts_of_its_provider_alone(
    host: str | None, read: list[tuple[str, str]]
) -> None:
    found = session_cookies("https://shop.test", HOSTS)
    line = "__Host-bff=a; __Host-bff~staff=b; __Host-bff~club=c; other=x; __Host-bff=d; __host-bff=e"
    assert found.of(request(host, line)) == read


def test_a_provider_without_hosts_is_used_at_every_host() -> None:
    found = SessionCookies({"": "__Host-bff"}, Site("https://shop.test"))
    assert found.accepts("", request("any.test")) and found.accepts("", request(None))
    assert found.of(request("any.test", "__Host-bff=a")) == [("", "a")]
    assert found.of(request("any.test", "x=a")) == []
