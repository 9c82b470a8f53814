"""Which requests are accepted as a frontend server's, and what that changes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.types import Message

from bff.calls import Principal
from bff.edge.http.frontends import Frontends
from bff.edge.problem import Problem
from bff.edge.settings import SettingsError, load
from bff.edge.settings.http import FrontendSettings, HttpSettings
from bff.edge.state import state_of

OLD, NEW, OTHER = (letter * 32 for letter in "abc")
WEB = FrontendSettings.model_validate({"secrets": [OLD, NEW], "networks": ["10.1.0.0/16"]})
APP = FrontendSettings.model_validate({"secrets": [OTHER], "networks": ["2001:db8::/32"]})
FRONTENDS = Frontends({"web": WEB, "app": APP})


def scope_of(*headers: tuple[str, str], address: str = "10.1.2.3") -> dict[str, Any]:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "method": "GET", "headers": raw, "client": (address, 4711)}


@pytest.mark.parametrize(
    ("secret", "address", "name"),
    [(OLD, "10.1.2.3", "web"), (NEW, "::ffff:10.1.2.3", "web"), (OTHER, "2001:db8::1", "app")],
)
def test_a_server_with_a_current_secret_from_its_network_is_known_by_its_name(
    secret: str, address: str, name: str
) -> None:
    scope = scope_of(("bff-frontend", secret), ("cookie", "a=b"), address=address)
    assert FRONTENDS.identify(scope)
    assert state_of(scope).frontend == name
    assert scope["headers"] == [(b"cookie", b"a=b")], "nothing inside sees the secret"
    assert scope["client"] == (address, 4711)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([("bff-frontend", "")], "10.1.2.3"),
        ([("bff-frontend", OLD[:-1])], "10.1.2.3"),
        ([("bff-frontend", OLD + "a")], "10.1.2.3"),
        ([("bff-frontend", OLD.upper())], "10.1.2.3"),
        ([("bff-frontend", "web")], "10.1.2.3"),
        ([("bff-frontend", f"{OLD}, {NEW}")], "10.1.2.3"),
        ([("bff-frontend", OLD), ("bff-frontend", OLD)], "10.1.2.3"),
        ([("bff-frontend", "ü" * 32)], "10.1.2.3"),
        # Each secret counts in its own networks alone.
        ([("bff-frontend", OLD)], "10.2.0.1"),
        ([("bff-frontend", OLD)], "2001:db8::1"),
        ([("bff-frontend", OTHER)], "10.1.2.3"),
        ([("bff-frontend", OLD)], "testclient"),
    ],
)
def test_a_secret_that_is_wrong_repeated_or_sent_from_elsewhere_is_refused(
    headers: list[tuple[str, str]], address: str
) -> None:
    scope = scope_of(*headers, ("bff-client-address", "192.0.2.7"), address=address)
    with pytest.raises(Problem) as refused:
        FRONTENDS.identify(scope)
    assert (refused.value.status, refused.value.code) == (403, "invalid-frontend")
    assert OLD not in str(refused.value) + repr(refused.value)
    assert state_of(scope).frontend is None and scope["client"] == (address, 4711)


def test_a_gateway_without_frontends_refuses_every_secret() -> None:
    with pytest.raises(Problem, match="BFF_HTTP__FRONTENDS"):
        Frontends({}).identify(scope_of(("bff-frontend", OLD)))


def test_a_server_whose_address_is_not_known_is_refused() -> None:
    with pytest.raises(Problem):
        FRONTENDS.identify(scope_of(("bff-frontend", OLD)) | {"client": None})


def test_a_request_without_the_header_is_another_clients_and_says_no_address() -> None:
    scope = scope_of(("bff-client-address", "192.0.2.7"))
    assert not FRONTENDS.identify(scope)
    assert state_of(scope).frontend is None and scope["client"] == ("10.1.2.3", 4711)


def test_a_browsers_request_with_the_secret_is_refused_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    scope = scope_of(("bff-frontend", OLD), ("sec-fetch-dest", "empty"))
    with caplog.at_level(logging.ERROR), pytest.raises(Problem, match="Sec-Fetch-Dest"):
        FRONTENDS.identify(scope)
    assert state_of(scope).frontend is None
    assert "frontend web" in caplog.text and OLD not in caplog.text


@pytest.mark.parametrize(
    ("given", "client"),
    [("192.0.2.7", "192.0.2.7"), ("192.0.2.7:4711", "192.0.2.7"), ("[2001:db9::1]:1", "2001:db9::1")],
)
def test_the_persons_address_is_what_the_server_says(given: str, client: str) -> None:
    scope = scope_of(("bff-frontend", OLD), ("bff-client-address", given))
    assert FRONTENDS.identify(scope)
    assert scope["client"] == (client, 0)


@pytest.mark.parametrize("given", [[""], ["unknown"], ["192.0.2.7, 192.0.2.8"], ["192.0.2.7", "192.0.2.8"]])
def test_a_persons_address_that_cannot_be_read_is_refused(given: list[str]) -> None:
    headers = [("bff-client-address", one) for one in given]
    with pytest.raises(Problem, match="BFF-Client-Address"):
        FRONTENDS.identify(scope_of(("bff-frontend", OLD), *headers))


@pytest.mark.parametrize(
    ("person", "given", "sent"),
    [
        (True, b"private, no-cache", b"no-store"),
        (True, None, b"no-store"),
        (True, b"no-store, no-transform", b"no-store, no-transform"),
        (False, b"public, max-age=30", b"public, max-age=30"),
    ],
)
async def test_what_is_about_a_person_may_not_be_stored(
    person: bool, given: bytes | None, sent: bytes
) -> None:
    scope, messages = scope_of(), list[Message]()

    async def send(message: Message) -> None:
        messages.append(message)

    if person:
        state_of(scope).principal = Principal("https://issuer", "ada", "token", 0.0)
    sending = FRONTENDS.personal(scope, send)
    headers = [(b"vary", b"Cookie"), *([(b"cache-control", given)] if given else [])]
    await sending({"type": "http.response.start", "status": 200, "headers": headers})
    await sending({"type": "http.response.body", "body": b"x"})
    assert messages[0]["headers"] == [(b"vary", b"Cookie"), (b"cache-control", sent)]
    assert messages[1] == {"type": "http.response.body", "body": b"x"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SECRETS": f'["{OLD[:-1]}"]', "NETWORKS": '["10.0.0.0/8"]'}, "openssl rand"),
        ({"SECRETS": f'["{OLD} {OLD}"]', "NETWORKS": '["10.0.0.0/8"]'}, "visible ASCII"),
        ({"SECRETS": "[]", "NETWORKS": '["10.0.0.0/8"]'}, "SECRETS"),
        ({"SECRETS": f'["{OLD}","{NEW}","{OTHER}"]', "NETWORKS": '["10.0.0.0/8"]'}, "SECRETS"),
        ({"SECRETS": f'["{OLD}"]'}, "NETWORKS"),
        ({"SECRETS": f'["{OLD}"]', "NETWORKS": "[]"}, "NETWORKS"),
        ({"SECRETS": f'["{OLD}"]', "NETWORKS": '["10.1.2.3/8"]'}, "NETWORKS"),
    ],
)
def test_an_incomplete_or_weak_frontend_stops_the_start(variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        load({f"BFF_HTTP__FRONTENDS__WEB__{name}": value for name, value in variables.items()})
    assert OLD[:-1] not in str(refused.value)


@pytest.mark.parametrize("name", ["BFF-Frontend", "bff-client-address"])
def test_other_sites_are_never_allowed_to_send_the_headers(name: str) -> None:
    with pytest.raises(ValueError, match="frontend servers alone"):
        HttpSettings.model_validate({"cors_headers": [name]})
