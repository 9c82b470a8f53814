"""Exchanges with a service whose bodies are streamed both ways, for forwards.

The framing is always our own: aiohttp makes the request's and reads the response's, consumes interim responses and
drops trailers. Reading is paused while nobody takes the bytes, in both directions. Nothing is decoded, repeated or
stored. A response whose body is cut ends with an error, never as if it were whole.

This is the port; `aiohttp_exchange.py` answers it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """target: path and query as they are sent; headers: lower-case names; body: None for none; length: of the body,
    None where it is not known."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: AsyncIterator[bytes] | None = None
    length: int | None = None


class ExchangeResponse(Protocol):
    """status, headers (lower-case names; each character of a value is one byte as it came), and the body by `chunks`.
    `close` must be called: the connection is used again only when the body was read to its end."""

    status: int
    headers: list[tuple[str, str]]

    def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they arrive. Raises WireError when it is cut."""

    def close(self) -> None: ...
