"""Requests to the provider: what is sent, what counts as its answer, and what a message about it may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest

from bff.edge.access.client_authentication import ClientAuthentication
from bff.edge.access.fetch import FetchFailed, FetchResponse
from bff.edge.access.issuer import Discovery
from bff.edge.access.session_record import TokenSet
from bff.edge.access.token_endpoint import TokenEndpoint, described, error_of, readable, tokens_of
from bff.edge.settings import OidcSettings
from bff.policies.tokens import TokenRefused

from .issuing import ISSUER, NOW

DOCUMENT = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/token",
    "pushed_authorization_request_endpoint": f"{ISSUER}/par",
    "revocation_endpoint": f"{ISSUER}/revoke",
}


class Provider:
    """Answers every request but that for its document with `answer`. sent: the requests."""

    def __init__(self, **document: Any) -> None:
        self.document = {name: one for name, one in (DOCUMENT | document).items() if one is not ...}
        self.answer: FetchResponse = (200, {}, b"{}")
        self.sent: list[tuple[str, str, Mapping[str, str], dict[str, list[str]]]] = []

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        if "well-known" in url:
            return 200, {}, json.dumps(self.document).encode()
        form = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
        self.sent.append((url.removeprefix(ISSUER), method, headers or {}, form))
        return self.answer


def endpoint(provider: Provider) -> TokenEndpoint:
    settings = OidcSettings.model_validate(
        {"issuer": ISSUER, "client_id": "c", "client_secret": "the-secret"}
    )
    discovery = Discovery(ISSUER, provider, lambda: NOW)
    return TokenEndpoint(ISSUER, discovery, ClientAuthentication(settings, lambda: NOW), provider)


def answered(body: Any, status: int = 200, kind: str | None = "application/json") -> FetchResponse:
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status, {} if kind is None else {"content-type": kind}, given


async def failure(coroutine: Any) -> str:
    with pytest.raises(FetchFailed) as caught:
        await coroutine
    return str(caught.value)


# ---- requests


async def test_a_form_is_posted_to_the_endpoint_with_the_proof_of_the_client() -> None:
    provider = Provider()
    provider.answer = answered({"access_token": "a"})
    client = endpoint(provider)
    assert await client.request({"code": "1 & 2"}) == (200, {"access_token": "a"})
    await client.request({}, endpoint="pushed_authorization_request_endpoint")
    (path, method, headers, form), (pushed, *_) = provider.sent
    assert (path, method, form) == ("/token", "POST", {"code": ["1 & 2"]})
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["authorization"].startswith("Basic ") and pushed == "/par"


async def test_a_client_whose_secret_belongs_into_the_form_sends_it_there() -> None:
    provider = Provider(token_endpoint_auth_methods_supported=["client_secret_post"])
    await endpoint(provider).request({"code": "1"})
    ((_, _, headers, form),) = provider.sent
    assert form == {"code": ["1"], "client_id": ["c"], "client_secret": ["the-secret"]}
    assert "authorization" not in headers


async def test_another_fetch_is_used_where_one_is_given() -> None:
    provider, other = Provider(), Provider()
    client = endpoint(provider)
    await client.request({}, fetch=other)
    await client.revoke("t", "access_token", fetch=other)
    assert provider.sent == [] and [path for path, *_ in other.sent] == ["/token", "/revoke"]


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 428, 499])
async def test_a_document_with_another_status_than_of_a_failure_is_the_providers_answer(status: int) -> None:
    provider = Provider()
    provider.answer = answered({"error": "invalid_grant"}, status)
    assert await endpoint(provider).request({}) == (status, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answered({"error": "x", "error_description": "busy"}, 500), "500 (x: busy)"),
        (answered({}, 503), "503 (no reason given)"),
        (answered({}, 300), "300 (no reason given)"),
        (answered({"error": "x"}, 399), "399 (x)"),
        (answered({"error": "slow_down"}, 429), "429 (slow_down)"),
        (answered(b"<html>", kind="text/html; charset=utf-8"), "200 (text/html)"),
        (answered(b"<html>", 400, "text/\nhtml;x"), "400 (text/?html)"),
        (answered(b"", kind=None), "200 (no content type)"),
        (answered(b"\xff"), "200 (application/json)"),
        (answered(b"[" * 100_000), "200 (application/json)"),
        (answered([{"access_token": "a"}]), "200 (application/json)"),
    ],
    ids=range(11),
)
async def test_anything_else_is_a_provider_that_does_not_work(answer: FetchResponse, why: str) -> None:
    provider = Provider()
    provider.answer = answer
    assert await failure(endpoint(provider).request({})) == f"{ISSUER} answered its token_endpoint with {why}"


async def test_what_was_sent_is_withheld_where_the_provider_repeats_it() -> None:
    provider = Provider()
    said = "the-secret, code-1 and code-1 again, and Y3RoZS1zZWNyZXQ="
    provider.answer = answered({"error": "x", "error_description": said, "error_uri": "code-1"}, 400)
    _, answer = await endpoint(provider).request({"code": "code-1"})
    assert answer["error_description"] == (
        "[withheld], [withheld] and [withheld] again, and Y3RoZS1zZWNyZXQ="
    )
    provider.answer = answered({"error": "x", "error_description": "of code-1"}, 500)
    why = await failure(endpoint(provider).request({"code": "code-1"}))
    assert why.endswith("500 (x: of [withheld])")
    provider.answer = answered({"error_description": ["code-1"]}, 400)
    assert (await endpoint(provider).request({}))[1] == {"error_description": ["code-1"]}


# ---- revocations


async def test_a_token_is_revoked_where_the_provider_can() -> None:
    provider = Provider()
    provider.answer = answered(b"")
    await endpoint(provider).revoke("t 1", "refresh_token")
    ((path, method, headers, form),) = provider.sent
    assert (path, method) == ("/revoke", "POST") and headers["authorization"].startswith("Basic ")
    assert form == {"token": ["t 1"], "token_type_hint": ["refresh_token"]}
    unable = Provider(revocation_endpoint=...)
    await endpoint(unable).revoke("t", "refresh_token")
    assert unable.sent == []


async def test_a_revocation_that_is_refused_is_a_failure_except_for_the_type_of_the_token() -> None:
    provider = Provider()
    provider.answer = answered({"error": "unsupported_token_type"}, 400)
    await endpoint(provider).revoke("t", "access_token")
    for answer in (answered({"error": "invalid_client"}, 401), answered(b"", 201), answered(b"", 503)):
        provider.answer = answer
        assert await failure(endpoint(provider).revoke("t", "access_token")) == (
            f"{ISSUER} answered a revocation with {answer[0]}"
        )


# ---- tokens


def answer(**changes: Any) -> dict[str, Any]:
    """A token answer; a change to `...` leaves a member out."""
    good = {
        "access_token": "a",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "openid  desk",
        "refresh_token": "r",
        "id_token": "i",
    }
    return {name: one for name, one in (good | changes).items() if one is not ...}


def refusal(**changes: Any) -> str:
    with pytest.raises(TokenRefused) as caught:
        tokens_of(answer(**changes), NOW)
    return str(caught.value)


def test_the_tokens_of_an_answer_are_read_with_their_times() -> None:
    assert tokens_of(answer(), NOW) == TokenSet("a", NOW, NOW + 60, frozenset({"openid", "desk"}), "r", "i")
    few = answer(scope=..., refresh_token=..., id_token=..., expires_in=...)
    assert tokens_of(few, NOW) == TokenSet("a", NOW, NOW + 300, None, None, None)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_token_is_a_missing_one(empty: str | None) -> None:
    found = tokens_of(answer(refresh_token=empty, id_token=empty), NOW)
    assert (found.refresh_token, found.id_token) == (None, None)
    assert refusal(access_token=empty) == "there is no bearer token in it"


@pytest.mark.parametrize("kind", ["bearer", "BEARER"])
def test_the_type_of_a_token_is_bearer_in_any_case(kind: str) -> None:
    assert tokens_of(answer(token_type=kind), NOW).access_token == "a"


@pytest.mark.parametrize("kind", ["DPoP", "", None, ...])
def test_a_token_of_another_type_is_refused(kind: Any) -> None:
    assert refusal(token_type=kind) == "there is no bearer token in it"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (7, "cannot be read"),
        (["a"], "cannot be read"),
        ("é", "cannot be read"),
        ("a" * 65_537, "is longer than 64 KB"),
        ("a b", "holds characters no token has"),
        ("a\r\nb", "holds characters no token has"),
        ("a\x7f", "holds characters no token has"),
    ],
    ids=["number", "list", "letters", "long", "blank", "line", "control"],
)
@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
def test_a_token_that_cannot_be_sent_in_a_header_is_refused_by_its_name(
    name: str, value: Any, why: str
) -> None:
    assert refusal(**{name: value}) == f"its {name} {why}"
    assert tokens_of(answer(**{name: "a" * 65_536}), NOW)


@pytest.mark.parametrize(
    ("said", "lasts"),
    [
        (1, 1.0),
        (0.5, 0.5),
        ("3600", 3600.0),
        ("999999999", 999999999.0),
        (999_999_999, 999999999.0),
        (None, 300.0),
    ],
)
def test_a_lifetime_is_a_number_or_a_text_of_digits(said: Any, lasts: float) -> None:
    found = tokens_of(answer(expires_in=said), 0.0)
    assert found.expires_at == lasts and isinstance(found.expires_at, float)


@pytest.mark.parametrize(
    "said",
    [
        0,
        "0",
        -1,
        "-1",
        1e9,
        1_000_000_000,
        "1000000000",
        "0000000060",
        True,
        "",
        "1e3",
        "٣",
        "²",
        [60],
        {},
        "1_0",
        float("nan"),
    ],
)
def test_a_lifetime_that_cannot_be_read_is_refused(said: Any) -> None:
    assert refusal(expires_in=said) == "its expiry cannot be read"


# ---- messages


def test_a_text_from_outside_is_a_log_line_without_line_breaks_and_with_an_end() -> None:
    assert readable("plain text (1)") == "plain text (1)"
    assert readable("a\nb\x1bc\u202ed é") == "a?b?c?d ?"
    assert readable("x" * 200) == "x" * 200
    assert readable("x" * 201) == "x" * 200 + "…"
    assert readable("xyz", 2) == "xy…"


@pytest.mark.parametrize(
    ("given", "ends"), [("busy", ": busy"), ("a\nb", ": a?b"), ("", ""), (None, ""), (7, ""), (["x"], "")]
)
def test_a_description_is_shown_where_there_is_a_text(given: Any, ends: str) -> None:
    assert described({"error_description": given}) == ends
    assert described({}) == ""


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("invalid_grant", "invalid_grant"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("", None),
        ("_", None),
        ("a b", None),
        ("a\nb", None),
        ("é", None),
        (7, None),
        (None, None),
        ("x", "x"),
    ],
)
def test_the_code_of_an_error_is_letters_digits_and_underscores(given: Any, code: str | None) -> None:
    assert error_of({"error": given}) == (code or "no reason given")
    assert error_of({}) == "no reason given"
