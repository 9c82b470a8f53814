"""The refusals of every address as the gateway's description lists them: each once, as a component."""

from __future__ import annotations

from ...calls import OUTCOMES
from ..problem import MEDIA_TYPE
from .schemas import Schema

_WORDS = {
    400: "The request cannot be read, a command has no Idempotency-Key, or the service cannot use what was sent",
    401: "Nobody is signed in, or the token cannot be accepted",
    402: "The service asks for a payment first",
    403: "Not allowed, by this gateway or by the service",
    404: "There is no such thing, or it is somebody else's",
    408: "The request did not arrive in time",
    409: "In flight (then with Retry-After), its outcome unknown, or refused by the service",
    410: "It is gone; or it was carried out, and its answer was too large to be kept for a repeat",
    412: "It has changed in the meantime",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body is of another media type",
    421: "This server does not answer for that host",
    422: "The input does not fit, or the key was used for another request",
    423: "It is locked at the moment; the same key may try again",
    428: "The service wants to be told which version is meant",
    429: "Too many requests",
    431: "The headers are too many or too large",
    451: "The service may not show this, for legal reasons",
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


def passed_on(*, command: bool, identified: bool) -> list[int]:
    """The statuses of a service that a screen, or a command, passes on. identified: its calls may say who asks."""
    return [
        status for status, outcome in OUTCOMES.rows if outcome.passed(command=command, identified=identified)
    ]


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
