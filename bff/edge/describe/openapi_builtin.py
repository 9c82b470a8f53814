"""The builtin endpoints in a gateway's OpenAPI document: the stream and its state, sign-in, webhooks, health, documents
and the page. Only endpoints that are served are listed: sign-in where it is set up, webhooks where there is a source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...live.ingest.http_binding import BATCH, MAX_BATCH, STRUCTURED
from ..access.authorization import NO_REQUIREMENTS, Requirements
from ..access.providers import DEFAULT
from ..declared import BROWSER, CHANGES, EVENTS, Declarations
from ..observe.browser import MOST_MUTATIONS, MOST_SCREENS, PHASES, VITALS
from ..settings import Settings
from . import event_schema, explorer
from .components import REF, TEXT, USER, Schema, any_of, problem_responses

_SEGMENT: Schema = {"type": "string", "minLength": 1}
_OBJECT: Schema = {"type": "object"}
# What `safe_return` accepts: a path that every browser reads as one of this site.
_RETURN = r"^/(?!/)(?!(?:[^/?#]*[/?#])*(?:\.|%2[eE]){1,2}(?:[/?#]|$))[^\\\x00-\x20\x7f-\x9f]{0,1023}$"

_CLASSES: Schema = {"type": "string", "pattern": "^[!-~]{1,255}( [!-~]{1,255}){0,9}$", "maxLength": 512}
_HINT: Schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]{1,255}$"}
# What a sign-in may be asked for, by name: schema and meaning (OpenID Connect Core section 3.1.2.1).
_ASKED: tuple[tuple[str, Schema, str], ...] = (
    (
        "max_age",
        {"type": "integer", "minimum": 0, "maximum": 2_592_000},
        "Seconds since the person proved who they are",
    ),
    ("acr_values", _CLASSES, "Classes of authentication, of which one is needed"),
    (
        "prompt",
        {"type": "string", "enum": ["login", "select_account", "consent", "create"]},
        "What to ask for",
    ),
    ("login_hint", _HINT, "Who is expected to sign in"),
)
_SESSION: Schema = {
    "type": "object",
    "required": ["id", "began", "used", "browser", "current"],
    "properties": {
        "id": TEXT,
        "began": {"type": "number", "description": "Unix seconds"},
        "used": {"type": "number", "description": "Unix seconds, to the minute"},
        "browser": TEXT | {"description": "A rough name; may be empty"},
        "current": {"type": "boolean", "description": "The session of this request"},
    },
}
_SESSIONS: Schema = {
    "type": "object",
    "required": ["sessions"],
    "properties": {"sessions": {"type": "array", "maxItems": 100, "items": _SESSION}},
}

PUBLIC: Schema = {"security": []}
"""Nobody has to authenticate."""


def security_of(requirements: Requirements) -> Schema:
    """Bearer token or session, each with the required scopes (OpenAPI 3.1 allows scopes for both), the roles, and how
    recent (`x-fresh`, seconds) and how strong (`x-acr`) the sign-in must be: else 401 `step-up-required`."""
    scopes = sorted(requirements.scopes)
    found: Schema = {"security": [{"bearer": scopes}, {"session": scopes}]}
    if requirements.roles:
        found["x-roles"] = sorted(requirements.roles)
    if requirements.fresh is not None:
        found["x-fresh"] = requirements.fresh
    if requirements.acr:
        found["x-acr"] = list(requirements.acr)
    return found


def builtin_paths(gateway: Declarations, settings: Settings) -> dict[str, Schema]:
    """Path items by path. They refer to the document's components `saga.<name>` and `state`."""
    paths = _state(gateway, settings) | {
        "/livez": _probe("livez", "The process is alive"),
        "/readyz": _probe("readyz", "Ready for requests"),
        "/openapi.json": _document("openapi", "This description", "application/json", _OBJECT),
        "/asyncapi.json": _document("asyncapi", "What the stream carries", "application/json", _OBJECT),
        event_schema.PATH: _document(
            "event_schema", "The events that services may publish", "application/schema+json", _OBJECT
        ),
        "/docs": _document("docs", "This description as a page", "text/html", TEXT),
        "/docs/problems": _document("docs_problems", "The types of problems", "text/html", TEXT),
        "/docs/style.css": _document("docs_style", "The style sheet of these pages", "text/css", TEXT),
    }
    if settings.docs.explorer:
        paths |= {
            file.path: _document(file.id, file.summary, file.media_type.partition(";")[0], TEXT)
            for file in explorer.files(gateway.name)
        }
    if settings.sign_ins:
        paths |= _sign_in(settings)
    if settings.webhooks:
        summary = "A source says that something has changed"
        body = {"application/json": {"schema": _OBJECT}}
        paths[CHANGES] = {"post": _signed("bff_changes", summary, settings.webhooks, body)}
    if settings.events:
        paths[EVENTS] = _events(settings)
    if settings.telemetry.browser:
        paths[BROWSER] = _browser_reports()
    if gateway.page is not None:
        html, file = _answer("HTML", "text/html", {"schema": TEXT}), _answer("The file", "*/*", {})
        for number, path in enumerate(gateway.page.paths):
            paths[path] = _served(f"page_{number}", "The page", html, path)
        for number, prefix in enumerate(gateway.page.folders):
            paths[prefix + "/{file}"] = _served(f"assets_{number}", "A file of the page", file, "{file}")
    return paths


def _operation(
    id: str,
    summary: str,
    responses: Schema,
    *problems: int,
    parameters: Iterable[Schema] = (),
    body: Schema | None = None,
    login: Requirements | None = None,
    description: str = "",
) -> Schema:
    """responses: those that are no problem; problems: statuses beside those that every route has; body: by media type;
    login: None where nobody has to authenticate."""
    if login is not None:
        problems = (*problems, 401, *((403,) if login else ()))
    optional = {
        "description": description,
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": body} if body else None,
    }
    return {
        "operationId": id,
        "tags": ["gateway"],
        "summary": summary,
        "responses": responses | problem_responses(*problems),
        **{name: value for name, value in optional.items() if value},
        **(PUBLIC if login is None else security_of(login)),
    }


def _answer(description: str, media_type: str, content: Schema) -> Schema:
    return {"description": description, "content": {media_type: content}}


def _ok_json(description: str, schema: Schema) -> Schema:
    return {"200": _answer(description, "application/json", {"schema": schema})}


def _parameter(name: str, where: str, schema: Schema, description: str = "") -> Schema:
    found: Schema = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return found | ({"description": description} if description else {})


def _text_in(member: str) -> Schema:
    """An object with one text."""
    return {"type": "object", "required": [member], "properties": {member: TEXT}}


def _one_of(names: Iterable[str]) -> Schema:
    known = sorted(names)
    return {"type": "string", "enum": known} if known else TEXT


def _document(id: str, summary: str, media_type: str, schema: Schema) -> Schema:
    return {"get": _operation(id, summary, {"200": _answer(summary, media_type, {"schema": schema})})}


def _served(id: str, summary: str, answer: Schema, path: str) -> Schema:
    """A page or a file. The parameters in its path are text of any kind."""
    parameters = [_parameter(name, "path", _SEGMENT) for name in re.findall(r"\{(\w+)\}", path)]
    return {"get": _operation(id, summary, {"200": answer}, 404, parameters=parameters)}


def _probe(id: str, summary: str) -> Schema:
    status = _text_in("status")
    operation = _operation(id, summary, _ok_json("Yes", status))
    # Supervisors read the health page itself, which is no problem document.
    operation["responses"]["503"] = _answer("No", "application/json", {"schema": status})
    return {"get": operation}


def _state(gateway: Declarations, settings: Settings) -> dict[str, Schema]:
    values, login = _values(gateway, settings), gateway.requirements
    return {
        "/bff/sagas/{type}/{id}": {
            "get": _operation(
                "bff_saga",
                "The status of one of your sagas",
                _ok_json("The saga", any_of(f"saga.{name}" for name in gateway.sagas)),
                *(404, 429),
                parameters=[
                    _parameter("type", "path", _one_of(gateway.sagas)),
                    _parameter("id", "path", _SEGMENT),
                ],
                login=login,
            )
        },
        "/bff/live": {
            "get": _operation(
                "bff_live",
                "The event stream: all sagas and values that you may see",
                {"200": _answer("Events", "text/event-stream", {"schema": TEXT})},
                *(403, 429),
                parameters=[
                    _parameter("after", "query", TEXT, "The cursor to resume from"),
                    _parameter(
                        "Last-Event-ID",
                        "header",
                        TEXT,
                        "The cursor as a header; takes precedence over `after`",
                    ),
                    values,
                ],
                login=login,
            )
        },
        "/bff/live/snapshot": {
            "get": _operation(
                "bff_snapshot",
                "The current state as one document, for clients that poll",
                _ok_json("The state", {"$ref": REF.format(model="state")}),
                *(403, 429),
                parameters=[values],
                login=login,
            )
        },
    }


def _values(gateway: Declarations, settings: Settings) -> Schema:
    """The parameter that names live values: text between slashes as declared, one segment for each parameter."""
    shapes = [
        "/".join(
            "[A-Za-z0-9._-]+" if part.startswith("{") else re.escape(part) for part in template.split("/")
        )
        for template in sorted(gateway.values)
    ]
    pattern = {"pattern": f"^(?:{'|'.join(shapes)})$"} if shapes else {}
    return _parameter(
        "value",
        "query",
        {
            "type": "array",
            "items": {"type": "string", "maxLength": 200, **pattern},
            "maxItems": settings.live.values if shapes else 0,
        },
        "Live values to follow: " + (", ".join(sorted(gateway.values)) or "none are declared"),
    )


def _sign_in(settings: Settings) -> dict[str, Schema]:
    cookie, location = {"Set-Cookie": {"schema": TEXT}}, {"Location": {"schema": TEXT}}
    signed_in = _answer("Signed in", "text/html", {"schema": TEXT}) | {"headers": cookie}
    user = _operation(
        "bff_user",
        "Who is signed in",
        _ok_json("Claims; null for nobody, with `anonymous`", {"anyOf": [USER, {"type": "null"}]}),
        429,
        parameters=[
            _parameter("anonymous", "query", _one_of(["1"]), "With 1 nobody is 200 `null` instead of 401")
        ],
        login=NO_REQUIREMENTS,
    )
    # With `anonymous`, nobody has to authenticate.
    user["security"].append({})
    login = _operation(
        "bff_login",
        "Sign in",
        {"303": {"description": "To the identity provider", "headers": location | cookie}},
        429,
        parameters=[
            _parameter(
                *("return", "query", TEXT | {"pattern": _RETURN}), "Where to end up; a path of this site"
            ),
            *(_parameter(name, "query", schema, text) for name, schema, text in _ASKED),
        ],
    )
    if len(settings.sign_ins) > 1:
        choice = _answer("A page on which the person chooses a provider", "text/html", {"schema": TEXT})
        login["responses"]["200"] = choice
    callback = _operation(
        "bff_callback",
        "The identity provider's answer",
        {"200": signed_in},
        *(403, 429, 502),
        parameters=[
            _parameter(name, "query", TEXT) for name in ("state", "code", "iss", "error", "error_description")
        ],
    )
    backchannel = _operation(
        "bff_backchannel_logout",
        "The provider's logout",
        {"200": {"description": "Done"}},
        429,
        body={"application/x-www-form-urlencoded": {"schema": _text_in("logout_token")}},
    )
    paths: dict[str, Schema] = {"/bff/login": {"get": login}}
    if settings.oidc is not None:
        paths |= {"/bff/callback": {"get": callback}, "/bff/backchannel-logout": {"post": backchannel}}
    if settings.providers:
        provider = _parameter("provider", "path", _one_of(settings.providers))
        chosen = _parameter("provider", "path", _one_of({name or DEFAULT for name in settings.sign_ins}))
        for path, method, operation, parameter in (
            ("/bff/login", "get", login, chosen),
            ("/bff/callback", "get", callback, provider),
            ("/bff/backchannel-logout", "post", backchannel, provider),
        ):
            paths[path + "/{provider}"] = {
                method: operation
                | {
                    "operationId": f"{operation['operationId']}_at",
                    "parameters": [parameter, *operation.get("parameters", ())],
                    "responses": operation["responses"] | problem_responses(404),
                }
            }
    return paths | {
        "/bff/logout": {
            "post": _operation(
                "bff_logout",
                "Sign out",
                _ok_json(
                    "Signed out here; go there to be signed out at the provider, too", _text_in("redirect")
                ),
                *(403, 429),
                description="With a session cookie it needs the header `X-BFF: 1`; without one there is nothing to do.",
            ),
            "get": _operation(
                "bff_logout_onward",
                "Where `redirect` leads: on to the identity provider",
                {"303": {"description": "To the identity provider, or home", "headers": location}},
                *(403, 429),
                parameters=[
                    _parameter("to", "query", TEXT, "From the answer to the logout; good once, for a minute")
                ],
            ),
        },
        "/bff/user": {"get": user},
        "/bff/sessions": {
            "get": _operation(
                "bff_sessions",
                "Where you are signed in",
                _ok_json("Your sessions", _SESSIONS),
                *(403, 429),
                login=NO_REQUIREMENTS,
            ),
            "delete": _operation(
                "bff_sessions_end",
                "Sign out everywhere",
                {"204": {"description": "Every session of yours has ended"}},
                *(403, 429),
                login=NO_REQUIREMENTS,
            ),
        },
        "/bff/sessions/{id}": {
            "delete": _operation(
                "bff_session_end",
                "Sign out one browser",
                {"204": {"description": "The session has ended"}},
                *(403, 404, 429),
                parameters=[_parameter("id", "path", _SEGMENT)],
                login=NO_REQUIREMENTS,
            )
        },
    }


def _browser_reports() -> dict[str, Schema]:
    duration: Schema = {"type": "number", "minimum": 0, "description": "Milliseconds"}

    def durations(names: Iterable[str]) -> Schema:
        return {"type": "object", "properties": dict.fromkeys(names, duration)}

    mutation: Schema = {
        "type": "object",
        "required": ["id", "method", "path", "age", "phases"],
        "properties": {
            "id": {"type": "string", "format": "uuid", "description": "Its Idempotency-Key"},
            "method": TEXT,
            "path": TEXT,
            "age": duration | {"description": "Milliseconds since the click"},
            "outcome": TEXT,
            "phases": durations(PHASES),
        },
    }
    vitals = durations(VITALS)
    vitals["properties"] |= {"cls": {"type": "number", "minimum": 0}}
    screen: Schema = {
        "type": "object",
        "required": ["path", "vitals"],
        "properties": {"path": TEXT, "vitals": vitals},
    }
    mutations = {"type": "array", "items": mutation, "maxItems": MOST_MUTATIONS}
    screens = {"type": "array", "items": screen, "maxItems": MOST_SCREENS}
    report: Schema = {"type": "object", "properties": {"mutations": mutations, "screens": screens}}
    operation = _operation(
        "bff_browser",
        "When a page's mutations were painted, and web vitals of its screens",
        {"204": {"description": "Taken, or dropped where it cannot be used"}},
        *(403, 429),
        body={"application/json": {"schema": report}},
        login=NO_REQUIREMENTS,
        description="Without a bearer token it needs the header `X-BFF: 1`.",
    )
    # The screens of a visitor are taken, too.
    operation["security"].append({})
    return {"post": operation}


def _signed(id: str, summary: str, sources: Iterable[str], body: Schema, *problems: int) -> Schema:
    """An endpoint for messages signed as Standard Webhooks has it."""
    signature = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return _operation(
        id,
        summary,
        {"204": {"description": "Done"}},
        *(401, 429, *problems),
        parameters=[
            _parameter("source", "path", _one_of(sources)),
            *(_parameter(name, "header", TEXT) | {"required": True} for name in signature),
        ],
        body=body,
    )


def _events(settings: Settings) -> Schema:
    event: Schema = {"type": "object", "required": ["specversion", "id", "source", "type"]}
    body = {
        STRUCTURED: {"schema": event},
        BATCH: {"schema": {"type": "array", "items": event, "maxItems": MAX_BATCH}},
    }
    granted = {"description": "What the headers WebHook-Allowed-Origin and -Rate grant; nothing without them"}
    return {
        "post": _signed("bff_events", "CloudEvents of a source", settings.events, body, 415),
        "options": _operation(
            "bff_events_consent",
            "May a sender send? (Web Hooks for CloudEvents)",
            {"204": granted},
            429,
            parameters=[_parameter("source", "path", _SEGMENT)],
        ),
    }
