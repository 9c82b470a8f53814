"""The refusals of every address as the gateway's description lists them: each once, as a component."""

from __future__ import annotations

from ..problem import MEDIA_TYPE
from .schemas import Schema

_WORDS = {
    400: "The request cannot be read, or a command has no Idempotency-Key",
    401: "Nobody is signed in, or the token cannot be accepted",
    403: "Not allowed",
    404: "There is no such thing, or it is somebody else's",
    408: "The request did not arrive in time",
    409: "In flight (then with Retry-After), its outcome unknown, or refused by the service",
    410: "It was carried out; its answer was too large to be kept for a repeat",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body is of another media type",
    421: "This server does not answer for that host",
    422: "The input does not fit, or the key was used for another request",
    429: "Too many requests",
    431: "The headers are too many or too large",
    500: "The gateway made a mistake",
    502: "A service failed, could not be reached, or gave an unusable answer",
    503: "A service or the gateway is not available for a moment",
    504: "A service did not answer in time",
}
_RETRY: Schema = {
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
}
EVERYWHERE = (400, 408, 413, 414, 421, 431, 500, 503)
"""What any request may be told, whichever address it is for."""


def refusals(*statuses: int) -> Schema:
    """The problems a route may answer with beside those of every route."""
    return {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in sorted({*statuses, *EVERYWHERE})
    }


def components() -> Schema:
    """For `components.responses`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": words,
            "content": content,
            **({"headers": _RETRY} if status in (409, 429, 503) else {}),
        }
        for status, words in _WORDS.items()
    }
