"""The port for the gateway's HTTP requests to an identity provider: discovery, keys, codes and refresh tokens.

`fetcher.py` answers it over the network. An answer that cannot be used is a FetchFailed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...calls import BffError
from ...network import Network

FetchResponse = tuple[int, Mapping[str, str], bytes]
"""Status, headers (names in lower case), body."""


class FetchFailed(BffError):
    """There is no usable answer: not reached, too slow, too large, not readable. The message names the address and the
    failure."""

    code = "unreachable"


class Fetch(Protocol):
    """The port. Raises FetchFailed; every status code is an answer."""

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse: ...


@dataclass(frozen=True, slots=True)
class FetchTarget:
    """How the addresses of one origin are reached.

    origin   scheme, host and port as the provider's documents name them
    inner    scheme, host and port to which requests go instead; the same where there is no inner address
    network  TLS settings and proxy on the way to `inner`
    """

    origin: str
    inner: str
    network: Network


async def fetch_nothing(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> FetchResponse:
    """The `Fetch` of a gateway that trusts no identity provider."""
    raise FetchFailed(f"{url}: no identity provider is set")


async def fetch_json(fetch: Fetch, url: str) -> object:
    """The JSON document at this address. Raises FetchFailed for an answer other than 200, and for one that is not JSON
    or names a member of an object twice."""
    status, _, body = await fetch(url)
    if status != 200:
        raise FetchFailed(f"{url} answered {status}")
    try:
        document: object = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FetchFailed(f"the answer of {url} is not JSON: {error}") from None
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("it names a member twice")
    return members
