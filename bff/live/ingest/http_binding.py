"""CloudEvents over HTTP (HTTP protocol binding 1.0.2) in structured, batch and binary mode.

In every mode the result is structured JSON, which `events.py` interprets. Pure.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ...calls import BffError

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MAX_BATCH = 100
"""Events in one batch."""

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,50}")
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")


class BadMessage(BffError):
    """A request that contains no valid events. status: 400, 413 or 415."""

    code = "invalid-request"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def signed_part(headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes that a signature must cover: the body. In binary mode the attributes precede it: `name:value` and a
    newline for each `ce-*` header and the content type, sorted by name."""
    if not is_binary(headers):
        return body
    names = sorted(name for name in headers if name.startswith("ce-") or name == "content-type")
    return "".join(f"{name}:{headers[name]}\n" for name in names).encode("latin-1") + body


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the event is in binary mode: its attributes are in headers."""
    return "ce-specversion" in headers and not _media(headers).startswith("application/cloudevents")


def events_of(headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """Every event of a message, as structured JSON. headers: with lower-case names. Raises BadMessage."""
    media = _media(headers)
    if media == STRUCTURED:
        return [body]
    if media == BATCH:
        return _batch(body)
    if is_binary(headers):
        return [_binary(headers, media, body)]
    raise BadMessage(415, f"Send {STRUCTURED}, {BATCH}, or one event with its attributes in `ce-*` headers.")


def _media(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _batch(body: bytes) -> list[bytes]:
    found = _json(body)
    if not isinstance(found, list):
        raise BadMessage(400, "A batch is a JSON array of events.")
    if len(found) > MAX_BATCH:
        raise BadMessage(413, f"A batch has at most {MAX_BATCH} events.")
    return [_compact(event) for event in found]


def _binary(headers: Mapping[str, str], media: str, body: bytes) -> bytes:
    event: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attribute = name[3:]
            if not _ATTRIBUTE.fullmatch(attribute) or attribute in ("data", "database64"):
                raise BadMessage(400, f"{name}: an attribute's name has only lower-case letters and digits.")
            # Section 3.1.3.2: values are percent-encoded UTF-8.
            event[attribute] = unquote(value, errors="replace")
    if "traceparent" in headers:
        event.setdefault("traceparent", headers["traceparent"])
    if _JSON.fullmatch(media):
        event["data"] = _json(body) if body else None
    elif body:
        event["datacontenttype"] = media or "application/octet-stream"
        event["data_base64"] = base64.b64encode(body).decode()
    return _compact(event)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadMessage(400, "The body is not JSON.") from None


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
