"""Addresses of several Redis nodes, one of them an IPv6 address in brackets.

Input: `redis+cluster://app:secret@a:1,b,[::1]:7`, on a Python with the fix of CVE-2025-0938 (3.11.12, 3.12.9, 3.13.2
and Debian's 3.11.2): its `urlsplit` refuses text before a bracket, because a URL has one host (RFC 3986, section
3.2.2). The gateway did not start: "Invalid IPv6 URL".
Right: the list of nodes is our own syntax, not RFC 3986's. It is split before a host of it is parsed, on every Python.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import pytest

from bff.stores.redis import address
from bff.stores.redis.client import RedisClient
from bff.stores.redis.cluster import parse_cluster_address
from bff.stores.redis.sentinel import parse_sentinel_address


def strict(url: str) -> SplitResult:
    """`urlsplit` with that fix, also on a Python without it."""
    parts = urlsplit(url)
    before, bracket, rest = parts.netloc.rpartition("@")[2].partition("[")
    if bracket and (before or rest.partition("]")[2][:1] not in ("", ":")):
        raise ValueError("Invalid IPv6 URL")
    return parts


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "urlsplit", strict)


@pytest.mark.parametrize(
    ("named", "places"),
    [
        ("a:1,b,[::1]:7", [("a", 1), ("b", 6379), ("::1", 7)]),
        ("[::1]:7,[2001:db8::2]", [("::1", 7), ("2001:db8::2", 6379)]),
        ("app:s3%2Fcret@a,[::1]", [("a", 6379), ("::1", 6379)]),
        ("app:a,b@[::1],a:2", [("::1", 6379), ("a", 2)]),
    ],
)
def test_each_of_several_nodes_is_parsed_by_itself(named: str, places: list[tuple[str, int]]) -> None:
    assert parse_cluster_address(f"redis+cluster://{named}")[0] == places


def test_only_the_first_node_has_the_user_path_and_query() -> None:
    _, first = parse_cluster_address("rediss+cluster://app:s@a:1,[::1]:7/0?ssl_check_hostname=no")
    assert first == "rediss://app:s@a:1?ssl_check_hostname=no"
    places, alone = address.split_nodes("redis+sentinel://[::1],a/main/2?x=1", 26379)
    assert places == [("::1", 26379), ("a", 26379)]
    assert (alone.netloc, alone.path, alone.query) == ("[::1]", "/main/2", "x=1")
    watched = parse_sentinel_address("redis+sentinel://a,[::1]:5/main")
    assert [(one.host, one.port) for one in watched.sentinels] == [("a", 26379), ("::1", 5)]


async def test_a_connection_to_such_a_cluster_can_be_made() -> None:
    link = RedisClient("redis+cluster://a:1,b,[::1]:7")
    assert link.cluster and link.topology["kind"] == "cluster"
    await link.close()
