from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import Problem
from bff.edge.http.head import is_canonical, read_head

HOST = (b"host", b"shop.test:8000")


def target(raw: bytes, *headers: tuple[bytes, bytes], version: str = "1.1", method: bytes = b"GET") -> bytes:
    return read_head(method, version, raw, list(headers) or [HOST]).target


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a?b=c", b"/a?b=c"),
        (b"http://shop.test:8000/a?b", b"/a?b"),
        (b"HTTPS://SHOP.test:8000", b"/"),
        (b"http://shop.test:8000?b", b"/?b"),
        (b"//evil.test/a", b"//evil.test/a"),
    ],
)
def test_a_target_is_a_path_or_an_absolute_address_with_the_host_of_the_host_header(
    raw: bytes, path: bytes
) -> None:
    assert target(raw) == path


@pytest.mark.parametrize("raw", [b"*", b"a", b"", b"http://evil.test/", b"http://u@shop.test:8000/", b"/a#b"])
def test_a_target_of_another_form_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as raised:
        target(raw)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "host",
    [
        *(b"x", b"x:1", b"127.0.0.1:80", b"[::1]", b"[::1]:443", b"my_service", b"a-b.c"),
        *(b"x:", b"[::1]:", b"127.0.0.1:", b"x:65535", b"x:0080"),
    ],
)
def test_names_and_addresses_are_hosts(host: bytes) -> None:
    assert target(b"/", (b"host", host)) == b"/"


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b"x/", b"x:123456", b"x:65536", b"a@b", b"x y", b"x,y", b"::1", b"x\xff", b"x\n"),
        *(b":", b":80", b"x::", b"x:8 0", b"x:+80", b"x:\xb2", b"x:000000080", b"[::1", b"[]:"),
    ],
)
def test_an_invalid_host_is_refused(host: bytes) -> None:
    with pytest.raises(Problem):
        target(b"/", (b"host", host))


def test_http_1_0_needs_no_host_and_takes_no_chunks() -> None:
    other = (b"accept", b"*/*")
    assert target(b"/", other, version="1.0") == b"/"
    for version, headers in [("1.1", [other]), ("1.0", [(b"transfer-encoding", b"chunked")])]:
        with pytest.raises(Problem):
            target(b"/", *headers, version=version)


def test_a_body_is_announced_by_its_length_or_by_chunks() -> None:
    assert read_head(b"POST", "1.1", b"/", [HOST, (b"content-length", b"12")])[1:] == (12, False)
    assert read_head(b"POST", "1.1", b"/", [HOST, (b"transfer-encoding", b"Chunked")])[1:] == (0, True)


@pytest.mark.parametrize(
    ("absolute", "host"),
    [
        (b"http://x/a", b"x:"),
        (b"http://x:/a", b"x"),
        (b"http://x:80/a", b"X"),
        (b"http://x/a", b"x:0080"),
        (b"https://x/a", b"x:443"),
        (b"http://[::1]/a", b"[::1]:"),
    ],
)
def test_an_empty_port_equals_the_default_port_of_the_scheme(absolute: bytes, host: bytes) -> None:
    assert target(absolute, (b"host", host)) == b"/a"
    with pytest.raises(Problem):
        target(absolute, (b"host", b"x:8080"))


def test_only_options_may_have_an_asterisk_as_its_target() -> None:
    assert target(b"*", method=b"OPTIONS") == b"*"
    assert target(b"http://shop.test:8000", method=b"OPTIONS") == b"*"
    assert target(b"http://shop.test:8000/", method=b"OPTIONS") == b"/"
    for method in (b"GET", b"HEAD", b"POST"):
        with pytest.raises(Problem):
            target(b"*", method=method)
    with pytest.raises(Problem):
        target(b"*/a", method=b"OPTIONS")


@pytest.mark.parametrize(
    "path", [b"/", b"/a", b"/a/b.c", b"/a/.b", b"/%61", b"/a%20b", b"/%C3%A4", b"/a;b=c", b"/...", b"/a/"]
)
def test_these_paths_are_canonical(path: bytes) -> None:
    assert is_canonical(path)


@pytest.mark.parametrize(
    "path",
    [
        *(b"//", b"//a", b"/a//b", b"/a/..", b"/.", b"/..", b"/a/./b", b"/a/..", b"/%2e", b"/.%2E/a"),
        *(b"/a%2fb", b"/a%5Cb", b"/a\\b", b"/%00", b"/%0a", b"/%7f", b"/%", b"/%z1", b"/%e4", b"/%c0%ae"),
        *(b"/%252e", b"/%252F", b"/%2500", b"/a\xc3", b"/a b"),
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_not_canonical(path: bytes) -> None:
    assert not is_canonical(path)


@given(st.lists(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs", "Cc"])), min_size=1))
def test_a_path_of_escaped_segments_is_canonical_unless_a_segment_is_ambiguous(parts: list[str]) -> None:
    from urllib.parse import quote, unquote

    raw = "/" + "/".join(quote(part, safe="") for part in parts)
    odd = any(part in (".", "..") or "/" in part or "\\" in part or "%" in part for part in parts)
    assert odd or is_canonical(raw.encode())
    if is_canonical(raw.encode()):
        assert unquote(raw).split("/")[1:] == parts, "decoding must not move the border of a segment"
