"""What the headers of a forwarded exchange become."""

from __future__ import annotations

import pytest

from bff.edge.http.forwarded_headers import Addresses, answer_pairs, request_pairs
from bff.edge.problem import Problem


def cache_control(*given: str, public: bool) -> str:
    pairs = answer_pairs(
        [("cache-control", one) for one in given],
        status=200,
        more=(),
        inline=(),
        public=public,
        address=lambda address: None,
    )
    (found,) = [value for name, value in pairs if name == "cache-control"]
    return found


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([], "private, no-cache"),
        (["public, max-age=600"], "private, no-cache"),
        (["max-age=600"], "private, no-cache"),
        (["private, max-age=600"], "private, max-age=600"),
        (["no-store"], "no-store"),
        # Of one field only: shared caches may store all the rest (RFC 9111 section 5.2.2.7).
        (['public, max-age=600, private="set-cookie"'], "private, no-cache"),
        (["private, s-maxage=600"], "private, no-cache"),
        (["private, public"], "private, no-cache"),
        (["no-store, public"], "no-store"),
        # Several lines are one list (RFC 9110 section 5.3).
        (["no-store", "max-age=600"], "no-store, max-age=600"),
        (["private", "max-age=600"], "private, max-age=600"),
        (["private", "s-maxage=600"], "private, no-cache"),
    ],
)
def test_a_private_answer_is_stored_by_no_shared_cache_whatever_the_service_says(
    given: list[str], sent: str
) -> None:
    assert cache_control(*given, public=False) == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [([], "no-cache"), (["max-age=60"], "max-age=60"), (["private", "max-age=60"], "private, max-age=60")],
)
def test_a_public_answer_is_cached_as_the_service_says(given: list[str], sent: str) -> None:
    assert cache_control(*given, public=True) == sent


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("/v1/a/b", "/a/b"),
        ("http://svc.test/v1/a?x=1", "/a?x=1"),
        ("b", "/a/b"),
        ("/v1//evil.test/x", None),
        ("http://svc.test/v1//evil.test", None),
        ("//evil.test/v1/a", None),
        ("https://svc.test/v1/a", None),
        ("/v1/%2Fevil.test", None),
        ("/v1/a//b", None),
        ("javascript:alert(1)", None),
        ("http://[broken", None),
    ],
)
def test_an_address_of_the_service_becomes_one_here_and_never_one_of_another_site(
    address: str, here: str | None
) -> None:
    addresses = Addresses("/{path:path}", "/v1/{path:path}", ["http://svc.test"], "")
    assert addresses.here(address, "/v1/a/c") == here


def test_a_header_of_a_client_passes_as_its_text_and_one_that_is_no_text_is_refused() -> None:
    name = "報告".encode()
    pairs = request_pairs([(b"content-disposition", name), (b"x-other", b"\xfc")], (), {"accept": "*/*"})
    assert pairs == [("accept", "*/*"), ("content-disposition", "報告")]
    with pytest.raises(Problem, match="content-disposition is not UTF-8"):
        request_pairs([(b"content-disposition", b"\xfc")], (), {})


FILES = Addresses("/api/files/{path:path}", "/v1/files/{path}", ["http://files:80/base"], "/desk")


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("/v1/files/a/b", "/desk/api/files/a/b"),
        ("b?x=1&y=%2F", "/desk/api/files/b?x=1&y=%2F"),
        ("http://files:80/base/v1/files/a", "/desk/api/files/a"),
        ("/v1/files/a%20b~%C3%A9", "/desk/api/files/a%20b~%C3%A9"),
        # As a service writes them that does not escape: one character is one byte here.
        ("/v1/files/\xc3\xa9 x", "/desk/api/files/%C3%A9%20x"),
        ("/v1/files/a?q=\xc3\xa9", "/desk/api/files/a?q=%C3%A9"),
        # They have no form here.
        ("/v1/files/\xa9", None),
        ("/v1/files/%FF", None),
        ("/v1/files/%00", None),
        ("/v1/files/%2e%2e/x", None),
        ("/v1/files/a%2Fb", None),
        ("/v1/files/a%5Cb", None),
        ("/v1/files/a//b", None),
        # They are elsewhere.
        ("/v1/other", None),
        ("http://evil.test/v1/files/a", None),
        ("//evil.test/v1/files/a", None),
        ("http://[", None),
    ],
)
def test_an_address_is_rewritten_or_dropped(address: str, here: str | None) -> None:
    assert FILES.here(address, "/v1/files/x") == here
