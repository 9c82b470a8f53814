"""A screen's answer: the declared model as JSON, whether it is complete, how fresh it is, and what each call took."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from starlette.types import Scope, Send

from ..calls import RequestRecord
from .http.request import header_values

MAX_TIMINGS = 50
NO_STORE = {"cache-control": "no-store"}
PERSONAL = ("Cookie", "Authorization")
"""The headers on which a person's answer depends, for the caches of browsers."""


def screen_headers(
    record: RequestRecord, *, public: bool, personal: bool, vary: Sequence[str] = ()
) -> dict[str, str]:
    """public: the view is declared public; personal: its function takes the principal; vary: the request's headers that
    its function takes."""
    complete = record.missing == 0
    headers = {
        "bff-complete": "true" if complete else "false",
        "cache-control": _cache_control(record, complete, public and not personal),
    }
    # A browser may cache a private answer for the person who asked.
    person = PERSONAL if headers["cache-control"].startswith("private") else ()
    if names := dict.fromkeys((*person, *vary)):
        headers["vary"] = ", ".join(names)
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


def etag_of(body: bytes) -> str:
    """A strong ETag."""
    # SHA-256 takes 60 % of BLAKE2's time where the processor has instructions for it.
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def is_known(scope: Scope, etag: str) -> bool:
    """Whether the client has the answer with this strong ETag already (RFC 9110 section 13.1.2)."""
    given = header_values(scope, b"if-none-match")
    tags = [tag.strip().removeprefix("W/") for value in given for tag in value.decode("latin-1").split(",")]
    return etag in tags or tags == ["*"]


async def send_answer(
    send: Send,
    status: int,
    headers: dict[str, str],
    body: bytes,
    *,
    cookies: Sequence[str] = (),
    head: bool = False,
) -> None:
    """One whole answer. headers: get the Content-Length; cookies: values of Set-Cookie; head: the request is a HEAD, so
    the body is left out."""
    if status not in (204, 304):
        # RFC 9110 section 8.6: a 204 has no Content-Length, and a 304 none that says anything.
        headers["content-length"] = str(len(body))
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    pairs += [(b"set-cookie", cookie.encode("latin-1")) for cookie in cookies]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})
