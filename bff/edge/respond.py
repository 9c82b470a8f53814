"""A screen's answer: the declared model as JSON, whether it is complete, how fresh it is, and what each call took."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from starlette.types import Send

from ..calls import RequestRecord
from ..calls.codec import codec_of

MAX_TIMINGS = 50
PERSONAL = "Cookie, Authorization"
"""What tells one person's answer from another's, for the caches of browsers."""
NOTHING: Mapping[str, str] = MappingProxyType({})


def to_json(model: Any, result: Any) -> bytes:
    """The declared fields, their values untouched. Raises when the result is not what was declared: written out as
    it happens to be, it could show what nobody meant to."""
    return codec_of(model).encode(result)


def screen_headers(record: RequestRecord, *, public: bool, personal: bool) -> dict[str, str]:
    """public: the view is declared so; personal: its function was handed a principal."""
    complete = record.missing == 0
    headers = {
        "bff-complete": "true" if complete else "false",
        "cache-control": _cache_control(record, complete, public and not personal),
    }
    if headers["cache-control"].startswith("private"):
        # A browser may keep it, for the one who asked.
        headers["vary"] = PERSONAL
    if record.timings:
        headers["server-timing"] = ", ".join(
            f"{timing.name};dur={timing.milliseconds:.1f};start={timing.start:.1f}"
            + ("" if timing.outcome == "ok" else f';desc="{timing.outcome}"')
            for timing in record.timings[:MAX_TIMINGS]
        )
    return headers


def _cache_control(record: RequestRecord, complete: bool, public: bool) -> str:
    if not complete:
        return "no-store"
    if not public or record.private:
        return "private, no-cache"
    return f"public, max-age={int(record.max_age or 0)}"


async def send_json(
    send: Send, status: int, body: bytes, headers: dict[str, str], *, head: bool = False
) -> None:
    """One JSON answer; without its body for HEAD."""
    pairs = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    pairs += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})


async def send_empty(send: Send, headers: Mapping[str, str] = NOTHING) -> None:
    """204, kept by nobody."""
    pairs = [(b"cache-control", b"no-store")]
    pairs += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 204, "headers": pairs})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
