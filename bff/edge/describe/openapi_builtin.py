"""The gateway's own addresses in its description: the stream and its state, sign-in, webhooks, health, documents, the
page. What is not served is not listed: sign-in only where it is set up, webhooks only where a source is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...live.ingest.http_binding import BATCH, MAX_BATCH, STRUCTURED
from ..access.authorization import NO_REQUIREMENTS, Requirements
from ..declared import CHANGES, EVENTS, Declarations
from ..settings import Settings
from .components import USER, Schema, problem_responses
from .live_schemas import REF, any_of

_TEXT: Schema = {"schema": {"type": "string"}}
# As `safe_return` has it: a path of this site, whatever a browser makes of it.
_RETURN = r"^/(?!/)(?!(?:[^/?#]*[/?#])*(?:\.|%2[eE]){1,2}(?:[/?#]|$))[^\\\x00-\x20\x7f-\x9f]{0,1023}$"


PUBLIC: Schema = {"security": []}
"""Nobody has to say who they are."""


def security_of(requirements: Requirements) -> Schema:
    """Who may: the scopes stand with both ways of saying who one is (OpenAPI 3.1 allows it for either)."""
    scopes = sorted(requirements.scopes)
    found: Schema = {"security": [{"bearer": scopes}, {"session": scopes}]}
    if requirements.roles:
        found["x-roles"] = sorted(requirements.roles)
    return found


def builtin_paths(gateway: Declarations, settings: Settings) -> dict[str, Schema]:
    """What the document's components call `saga.<name>` and `state` is referred to."""
    paths = _state(gateway, settings) | _health() | _documents()
    if settings.oidc is not None:
        paths |= _sign_in()
    if settings.webhooks:
        paths |= {
            CHANGES: {
                "post": _signed("bff_changes", "A source says that something has changed", settings.webhooks)
            }
        }
    if settings.events:
        paths |= {EVENTS: _events(settings)}
    if gateway.page is not None:
        page = gateway.page
        for number, path in enumerate(page.paths):
            one = _operation(f"page_{number}", "The page", _answer("HTML", "text/html", _TEXT), 404)
            paths.setdefault(path, {})["get"] = one | _named(path)
        for number, prefix in enumerate(page.folders):
            one = _operation(f"assets_{number}", "A file of the page", _answer("The file", "*/*", {}), 404)
            path = prefix + "/{file}"
            paths[path] = {"get": one | _named(path)}
    return paths


def _operation(
    id: str, summary: str, done: Schema, *statuses: int, login: Requirements | None = None
) -> Schema:
    operation: Schema = {
        "operationId": id,
        "tags": ["gateway"],
        "summary": summary,
        "responses": {
            "200": done,
            **problem_responses(
                *statuses, *((401,) if login is not None else ()), *((403,) if login else ())
            ),
        },
    }
    return operation | (PUBLIC if login is None else security_of(login))


def _answer(description: str, media_type: str, content: Schema) -> Schema:
    return {"description": description, "content": {media_type: content}}


def _json(description: str, schema: Schema) -> Schema:
    return _answer(description, "application/json", {"schema": schema})


def _parameter(name: str, where: str, schema: Schema, says: str = "") -> Schema:
    found: Schema = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return found | ({"description": says} if says else {})


def _named(path: str) -> Schema:
    """The parameters of a path, text of any kind."""
    names = re.findall(r"\{(\w+)\}", path)
    schema: Schema = {"type": "string", "minLength": 1}
    return {"parameters": [_parameter(name, "path", schema) for name in names]} if names else {}


def _one_of(names: Iterable[str]) -> Schema:
    known = sorted(names)
    return {"type": "string", "enum": known} if known else {"type": "string"}


def _state(gateway: Declarations, settings: Settings) -> dict[str, Schema]:
    values = _values(gateway, settings)
    where = [
        _parameter("type", "path", _one_of(gateway.sagas)),
        _parameter("id", "path", {"type": "string", "minLength": 1}),
    ]
    saga = _json("The saga", any_of(f"saga.{name}" for name in gateway.sagas))
    after = _parameter("after", "query", {"type": "string"}, "A cursor to go on from")
    resume = _parameter("Last-Event-ID", "header", {"type": "string"}, "The same, and wins")
    events = _answer("Events", "text/event-stream", _TEXT)
    return {
        "/bff/sagas/{type}/{id}": {
            "get": _operation(
                "bff_saga", "Where one of your sagas stands", saga, 404, 429, login=gateway.requirements
            )
            | {"parameters": where}
        },
        "/bff/live": {
            "get": _operation(
                "bff_live",
                "Everything you may see, as it happens (an event stream)",
                events,
                403,
                429,
                login=gateway.requirements,
            )
            | {"parameters": [after, resume, values]}
        },
        "/bff/live/snapshot": {
            "get": _operation(
                "bff_snapshot",
                "The same state once, for those who poll",
                _json("The state", {"$ref": REF.format(model="state")}),
                403,
                429,
                login=gateway.requirements,
            )
            | {"parameters": [values]}
        },
    }


def _values(gateway: Declarations, settings: Settings) -> Schema:
    """The values there are: text between slashes as declared, one segment for each parameter."""
    shapes = [
        "/".join(
            "[A-Za-z0-9._-]+" if part.startswith("{") else re.escape(part) for part in template.split("/")
        )
        for template in sorted(gateway.values)
    ]
    item: Schema = {"type": "string", "maxLength": 200}
    if shapes:
        item["pattern"] = f"^(?:{'|'.join(shapes)})$"
    most = settings.live.values if shapes else 0
    return _parameter(
        "value",
        "query",
        {"type": "array", "items": item, "maxItems": most},
        "Live values to follow: " + (", ".join(sorted(gateway.values)) or "none are declared"),
    )


def _sign_in() -> dict[str, Schema]:
    text: Schema = {"type": "string"}
    cookie = {"Set-Cookie": {"schema": text}}
    away = {"description": "To the identity provider", "headers": {"Location": {"schema": text}} | cookie}
    login = _operation("bff_login", "Sign in", {}, 429)
    login["responses"] = {"303": away, **problem_responses(429)}
    login["parameters"] = [
        _parameter(
            "return", "query", {"type": "string", "pattern": _RETURN}, "Where to end up; a path of this site"
        )
    ]
    callback = _operation(
        "bff_callback",
        "The identity provider's answer",
        _answer("Signed in", "text/html", _TEXT) | {"headers": cookie},
        403,
        429,
        502,
    )
    callback["parameters"] = [
        _parameter(name, "query", text) for name in ("state", "code", "iss", "error", "error_description")
    ]
    leave = _json(
        "Signed out here; go there to be signed out at the provider, too",
        {"type": "object", "required": ["redirect"], "properties": {"redirect": text}},
    )
    logout = _operation("bff_logout", "Sign out", leave, 403, 429)
    logout["description"] = (
        "With a session cookie it needs the header `X-BFF: 1`; without one there is nothing to do."
    )
    onward = _operation(
        "bff_logout_onward", "Where `redirect` leads: on to the identity provider", {}, 403, 429
    )
    onward["responses"] = {
        "303": {
            "description": "To the identity provider, or home",
            "headers": {"Location": {"schema": text}},
        },
        **problem_responses(403, 429),
    }
    onward["parameters"] = [
        _parameter("to", "query", text, "From the answer to the logout; good once, for a minute")
    ]
    told = _operation("bff_backchannel_logout", "The provider's logout", {"description": "Done"}, 429)
    form: Schema = {"type": "object", "required": ["logout_token"], "properties": {"logout_token": text}}
    told["requestBody"] = {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": form}},
    }
    claims = _json("Claims; null for nobody, with `anonymous`", {"anyOf": [USER, {"type": "null"}]})
    user = _operation("bff_user", "Who is signed in", claims, 429, login=NO_REQUIREMENTS)
    # With `anonymous` nobody is an answer, too.
    user["security"] = [*user["security"], {}]
    user["parameters"] = [
        _parameter("anonymous", "query", _one_of(["1"]), "With 1 nobody is 200 `null` instead of 401")
    ]
    return {
        "/bff/login": {"get": login},
        "/bff/callback": {"get": callback},
        "/bff/logout": {"post": logout, "get": onward},
        "/bff/backchannel-logout": {"post": told},
        "/bff/user": {"get": user},
    }


def _signed(id: str, summary: str, sources: Iterable[str], *statuses: int) -> Schema:
    operation = _operation(id, summary, {})
    operation["responses"] = {"204": {"description": "Done"}, **problem_responses(401, 429, *statuses)}
    headers = ("webhook-id", "webhook-timestamp", "webhook-signature")
    operation["parameters"] = [
        _parameter("source", "path", _one_of(sources)),
        *(_parameter(name, "header", {"type": "string"}) | {"required": True} for name in headers),
    ]
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return operation


def _events(settings: Settings) -> dict[str, Schema]:
    take = _signed("bff_events", "CloudEvents of a source", settings.events, 415)
    event: Schema = {"type": "object", "required": ["specversion", "id", "source", "type"]}
    take["requestBody"]["content"] = {
        STRUCTURED: {"schema": event},
        BATCH: {"schema": {"type": "array", "items": event, "maxItems": MAX_BATCH}},
    }
    ask = _operation("bff_events_consent", "May a sender send? (Web Hooks for CloudEvents)", {})
    ask["responses"] = {
        "204": {
            "description": "What the headers WebHook-Allowed-Origin and -Rate grant; nothing without them"
        },
        **problem_responses(429),
    }
    ask["parameters"] = [_parameter("source", "path", {"type": "string", "minLength": 1})]
    return {"post": take, "options": ask}


def _health() -> dict[str, Schema]:
    status: Mapping[str, Any] = {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string"}},
    }
    found = {}
    for path, says in (("/livez", "The process is alive"), ("/readyz", "It may be sent requests")):
        one = _operation(path[1:], says, _json("Yes", dict(status)))
        # In the health pages' own words, which supervisors read, not a problem.
        one["responses"]["503"] = _json("No", dict(status))
        found[path] = {"get": one}
    return found


def _documents() -> dict[str, Schema]:
    return {
        path: {"get": _operation(id, says, _answer(says, media, schema))}
        for path, id, says, media, schema in (
            (
                "/openapi.json",
                "openapi",
                "This description",
                "application/json",
                {"schema": {"type": "object"}},
            ),
            (
                "/asyncapi.json",
                "asyncapi",
                "What the stream carries",
                "application/json",
                {"schema": {"type": "object"}},
            ),
            ("/docs", "docs", "This description to read", "text/html", _TEXT),
            ("/docs/problems", "docs_problems", "What can go wrong", "text/html", _TEXT),
            ("/docs/style.css", "docs_style", "How the two look", "text/css", _TEXT),
        )
    }
