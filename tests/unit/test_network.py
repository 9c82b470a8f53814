"""Which hosts a proxy is for."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from yarl import URL

from bff.network import Proxy

PROXY = Proxy(
    "http://proxy.corp:3128", ("redis.corp", ".svc.cluster.local", "10.0.0.0/8", "fd00::/8", "Plain")
)


@pytest.mark.parametrize(
    ("host", "proxied"),
    [
        ("api.example.org", True),
        ("redis.corp", False),
        ("REDIS.corp.", False),
        ("my-redis.corp", True),
        ("shelf.shop.svc.cluster.local", False),
        ("svc.cluster.local", True),
        ("evil-svc.cluster.local", True),
        ("10.1.2.3", False),
        ("11.1.2.3", True),
        ("::ffff:10.1.2.3", False),
        ("fd12::1", False),
        ("[fd12::1]", False),
        ("2001:db8::1", True),
        ("plain", False),
        ("localhost", False),
        ("gateway.localhost", False),
        ("127.9.9.9", False),
        ("::1", False),
    ],
)
def test_a_host_is_reached_through_the_proxy_unless_it_is_excepted(host: str, proxied: bool) -> None:
    assert PROXY.applies_to(host) is proxied


def test_the_password_is_in_the_address_and_nowhere_else() -> None:
    proxy = Proxy("http://proxy.corp", (), lambda: ("me", "p@ss/w:rd"))
    parts = urlsplit(proxy.url)
    assert (parts.hostname, parts.username, unquote(parts.password or "")) == (
        "proxy.corp",
        "me",
        "p@ss/w:rd",
    )
    assert (URL(proxy.url).password, proxy.port) == ("p@ss/w:rd", 80)
    assert "p@ss" not in repr(proxy) and proxy.authorization == "Basic bWU6cEBzcy93OnJk"
