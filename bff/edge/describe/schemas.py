"""The JSON schemas of what every gateway answers: a problem, a command that began a saga, the state, a person."""

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
SAGA_STARTED: Schema = {
    "type": "object",
    "required": ["mutation", "saga", "cursor"],
    "properties": {
        "mutation": {"type": "string", "description": "The Idempotency-Key of this command."},
        "saga": {
            "type": "object",
            "required": ["id", "type", "status", "version"],
            "properties": {
                "id": {"type": "string"},
                "type": {"type": "string"},
                "status": {"type": "string"},
                "version": {"type": "integer"},
            },
        },
        "cursor": {"type": "string", "description": "Journal position of the saga's newest event."},
    },
}
SNAPSHOT: Schema = {
    "type": "object",
    "required": ["cursor", "sagas", "values"],
    "properties": {
        "cursor": {"type": "string"},
        "sagas": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "status", "version", "at"],
                "properties": {
                    "id": {"type": "string"},
                    "type": {"type": "string"},
                    "status": {"type": "string"},
                    "version": {"type": "integer"},
                    "at": {"type": "string"},
                },
            },
        },
        "values": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "version", "data", "at"],
                "properties": {
                    "name": {"type": "string"},
                    "version": {"type": "integer"},
                    "at": {"type": "string"},
                },
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
