"""A screen's answer: the declared model as JSON, whether it is complete, how fresh it is, and what each call took."""

from __future__ import annotations

from starlette.types import Send

from ..calls import RequestRecord

MAX_TIMINGS = 50
NO_STORE = {"cache-control": "no-store"}
PERSONAL = "Cookie, Authorization"
"""The headers on which a person's answer depends, for the caches of browsers."""


def screen_headers(record: RequestRecord, *, public: bool, personal: bool) -> dict[str, str]:
    """public: the view is declared public; personal: its function takes the principal."""
    complete = record.missing == 0
    headers = {
        "content-type": "application/json",
        "bff-complete": "true" if complete else "false",
        "cache-control": _cache_control(record, complete, public and not personal),
    }
    if headers["cache-control"].startswith("private"):
        # A browser may cache it for the person who asked.
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


async def send_answer(
    send: Send, status: int, headers: dict[str, str], body: bytes, *, head: bool = False
) -> None:
    """One whole answer. headers: get the Content-Length; head: the request is a HEAD, so the body is left out."""
    headers["content-length"] = str(len(body))
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})
