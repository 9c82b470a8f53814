from __future__ import annotations

import pytest
from pydantic import ValidationError

from bff.edge.http.networks import address_of, is_inside, networks_of
from bff.edge.http.request_checks import client_of
from bff.edge.settings.http import HttpSettings

OURS = networks_of(["10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db9::1]:4711"], "2001:db9::1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [", ".join(["6.6.6.6"] + ["10.0.0.2"] * 40)], "10.0.0.2"),
        ("socket", ["198.51.100.1"], "socket"),
    ],
)
def test_the_client_is_the_last_forwarded_address_that_is_not_a_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_of(peer, [one.encode() for one in forwarded], OURS) == client


def test_an_address_is_only_inside_networks_of_its_ip_version() -> None:
    assert is_inside(address_of("10.1.2.3"), OURS)
    assert is_inside(address_of("::ffff:10.1.2.3"), OURS)
    assert is_inside(address_of("2001:db8:1::"), OURS)
    assert not is_inside(address_of("11.0.0.0"), OURS)
    assert not is_inside(address_of("somewhere"), OURS)
    assert not is_inside(None, OURS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxies": ["10.1.2.3/8"]},
        {"proxies": ["everyone"]},
        {"hosts": ["shop.test:8000"]},
        {"hosts": ["*"]},
        {"hosts": ["*.*.test"]},
        {"origins": ["*"]},
        {"origins": ["null"]},
        {"origins": ["https://desk.test/"]},
        {"head_timeout": 0},
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings.model_validate(wrong)
