"""Whose word counts about whether a trace is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bff.calls import Principal
from bff.edge.http.trace_callers import TraceCallers
from bff.edge.internal_tokens import InternalTokens
from bff.edge.signing_keys import SigningKeys, rotate

PROXIES = ["10.0.0.0/8"]


def scope(peer: str | None, *headers: tuple[str, str]) -> Any:
    return {
        "client": None if peer is None else (peer, 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "counts", "with_decision"),
    [
        ("10.1.2.3", None, True, True),
        ("10.1.2.3", "10.9.9.9", True, True),
        ("10.1.2.3", "203.0.113.9", False, True),
        ("10.1.2.3", "10.4.4.4, 203.0.113.9", False, True),
        ("203.0.113.9", None, False, False),
        ("203.0.113.9", "10.1.2.3", False, False),
        (None, None, False, False),
    ],
)
def test_a_caller_inside_the_networks_counts_and_a_browser_behind_a_proxy_does_not(
    peer: str | None, forwarded: str | None, counts: bool, with_decision: bool
) -> None:
    request = scope(peer, *([("x-forwarded-for", forwarded)] if forwarded else []))
    assert TraceCallers(PROXIES)(request) is counts
    assert TraceCallers(PROXIES, proxies_decide=True)(request) is with_decision
    assert TraceCallers([])(request) is False


def principal() -> Principal:
    return Principal(issuer="https://id.test", subject="ada", token="t", scopes=frozenset(), expires_at=9e9)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def tokens(path: Path, clock: Clock) -> InternalTokens:
    rotate(path)
    return InternalTokens(SigningKeys(path), "https://shop.test", clock=clock)


def test_a_service_with_an_internal_token_of_this_gateway_counts(tmp_path: Path) -> None:
    clock = Clock()
    ours, others = tokens(tmp_path / "keys", clock), tokens(tmp_path / "other", clock)
    callers = TraceCallers([], is_ours=ours.is_ours)
    token = ours.for_reads(principal(), "orders")
    assert callers(scope("203.0.113.9", ("authorization", f"Bearer {token}")))
    assert callers(scope("203.0.113.9", ("bff-identity", token)))
    foreign = others.for_reads(principal(), "orders")
    for wrong in (foreign, token[:-4] + "AAAA", "x", "a.b.c", ""):
        assert not callers(scope("203.0.113.9", ("authorization", f"Bearer {wrong}"))), wrong
    assert not callers(scope("203.0.113.9", ("authorization", f"Basic {token}")))
    assert not callers(scope("203.0.113.9", *[("bff-identity", token)] * 3)), "a service sends one"
    rotate(tmp_path / "keys")
    again = InternalTokens(SigningKeys(tmp_path / "keys"), "https://shop.test", clock=clock)
    assert again.is_ours(token), "a key that is still published"
    clock.now += 61
    assert not callers(scope("203.0.113.9", ("bff-identity", token))), "it has expired"
