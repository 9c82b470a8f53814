"""The gateway's HTTP requests to an identity provider: discovery, keys, codes and refresh tokens.

Guarantees an answer within a time and a size (`Fetcher`), or FetchFailed. Follows no redirect, keeps no cookie, and
uses no proxy of the environment: an answer comes from the address that was configured or discovered, or not at all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from ...calls import BffError
from ...transport.httpx_wire import HttpxWire
from ...transport.wire import WireError, WireRequest

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


class Fetcher:
    """timeout: seconds for the whole answer (default 2); max_body: bytes of it (default 65,536); connections: open at
    most (default 16)."""

    def __init__(self, *, timeout: float = 2.0, max_body: int = 65_536, connections: int = 16) -> None:
        self._timeout = timeout
        self._wire = HttpxWire("", connections=connections, max_body=max_body)

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        request = WireRequest(method, url, {"accept": "application/json", **(headers or {})}, body or None)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._wire.send(request)
        except TimeoutError:
            raise FetchFailed(f"{url} did not answer within {self._timeout} s") from None
        except (WireError, httpx.InvalidURL, ValueError) as error:
            raise FetchFailed(f"{url}: {type(error).__name__}: {error}") from error
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body

    async def close(self) -> None:
        await self._wire.close()


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
