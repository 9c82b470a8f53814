"""Several providers side by side: their addresses, and at which host each is used."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bff.edge.access.login_state import LoginStates
from bff.edge.access.provider import Provider
from bff.edge.access.providers import ProviderEntry, Providers
from bff.edge.access.session_cookies import session_cookies

PROVIDER = cast("Provider", object())  # nothing is asked of it


def entry(name: str) -> ProviderEntry:
    return ProviderEntry(name, name.title(), PROVIDER, LoginStates("s"), f"cookie{name}", f"login{name}")


def providers(*names: str) -> Providers:
    hosts = {"": (), "staff": ("staff.test",), "club": ()}
    cookies = session_cookies("https://shop.test", {name: hosts[name] for name in names})
    return Providers(map(entry, names), cookies)


def request(host: str) -> dict[str, Any]:
    return {"type": "http", "headers": [(b"host", host.encode())]}


def test_the_callback_of_each_provider_has_an_address_of_its_own() -> None:
    plain, staff = entry(""), entry("staff")
    assert (plain.path, staff.path) == ("", "/staff")
    assert plain.callback("https://shop.test/desk") == "https://shop.test/desk/bff/callback"
    assert staff.callback("https://shop.test") == "https://shop.test/bff/callback/staff"


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        ([""], ["/bff/callback"]),
        (["staff"], ["/bff/callback/{provider}"]),
        (["", "staff", "club"], ["/bff/callback", "/bff/callback/{provider}"]),
        ([], []),
    ],
)
def test_routes_exist_for_the_providers_there_are(names: list[str], paths: list[str]) -> None:
    assert providers(*names).paths("/bff/callback") == paths


def test_a_provider_is_used_at_its_hosts_alone() -> None:
    found = providers("", "staff", "club")
    assert [one.name for one in found] == ["", "staff", "club"]
    assert [one.name for one in found.at(request("shop.test"))] == ["", "club"]
    assert [one.name for one in found.at(request("staff.test"))] == ["", "staff", "club"]
    for host, named in (("staff.test", "staff"), ("shop.test", None)):
        one = found.named("staff", request(host))
        assert (one and one.name) == named


def test_a_provider_is_found_by_its_name_whatever_the_host() -> None:
    found = providers("", "staff")
    staff = found.find("staff")
    assert staff is not None and staff.title == "Staff"
    assert found.find("nobody") is None and found.named("nobody", request("shop.test")) is None
    assert found.site is found.cookies.site and found.site.public_url == "https://shop.test"
