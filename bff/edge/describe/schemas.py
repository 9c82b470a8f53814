"""The JSON schemas of what every gateway answers whatever it declares: a problem, a person."""

from __future__ import annotations

from typing import Any

from ..problem import TITLES

Schema = dict[str, Any]

PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong and what to do (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "code", "correlation_id", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "examples": sorted(TITLES)},
        "correlation_id": {"type": "string", "format": "uuid"},
        "trace_id": {"type": "string"},
        "retry_after": {"type": "number"},
        "owner": {
            "type": "object",
            "description": "Whose service it is; contact and docs are empty where they are not to be shown.",
            "required": ["service", "team", "contact", "docs"],
            "properties": {name: {"type": "string"} for name in ("service", "team", "contact", "docs")},
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "in", "detail")},
            },
        },
    },
}
USER: Schema = {
    "type": "object",
    "required": ["iss", "sub", "expires_in"],
    "properties": {
        "iss": {"type": "string"},
        "sub": {"type": "string"},
        "expires_in": {"type": "integer", "description": "Seconds until the sign-in has to be renewed."},
    },
}
