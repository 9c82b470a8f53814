"""The services of projects, tickets, people and search in one process, with a few entries in memory:
`python -m services.standin 9101`."""

import itertools
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NOW = "2026-01-05T09:00:00Z"
PROJECTS = {
    "apollo": {"key": "apollo", "name": "Apollo", "lead": "ada", "budget": 70_000},
    "hermes": {"key": "hermes", "name": "Hermes", "lead": "bo", "budget": 9_000},
}
PEOPLE = {
    "ada": {"name": "ada", "full_name": "Ada Lovelace", "team": "Engines"},
    "bo": {"name": "bo", "full_name": "Bo Diddley", "team": "Sound"},
    "cy": {"name": "cy", "full_name": "Cy Twombly", "team": "Paint"},
    "di": {"name": "di", "full_name": "Di Hodgkin", "team": "Engines"},
    "ed": {"name": "ed", "full_name": "Ed Lorenz", "team": "Weather"},
}
# Of Hermes, which was imported whole: sixty tickets of five people.
TICKETS: dict[str, dict[str, Any]] = {
    f"h{number}": {
        "id": f"h{number}",
        "project": "hermes",
        "title": f"Parcel {number}",
        "state": "doing",
        "assignee": list(PEOPLE)[number % 5],
        "labels": [],
    }
    for number in range(60)
}
TICKETS |= {
    "1": {
        "id": "1",
        "project": "apollo",
        "title": "It hums",
        "state": "open",
        "assignee": "ada",
        "labels": [],
    },
    "2": {
        "id": "2",
        "project": "apollo",
        "title": "It is silent",
        "state": "done",
        "assignee": None,
        "labels": ["sound"],
        "origin": "https://old.example.org/tickets/77",
    },
}
IDS = itertools.count(3)
COMMENTS: dict[str, list[dict[str, str]]] = {"1": [{"id": "c1", "by": "bo", "text": "In B flat."}]}
IMPORTS: dict[str, dict[str, Any]] = {}
STATES = {
    "en": {"open": "Open", "doing": "In progress", "done": "Done"},
    "de": {"open": "Offen", "doing": "In Arbeit", "done": "Erledigt"},
}
# Search is bought. Its customers prove who they are with a key.
SEARCH_KEY = "only-for-development"


def entry(entries: dict[str, Any], name: str) -> Any:
    """One of the entries; 404 where there is none."""
    if name not in entries:
        raise HTTPException(404, "There is no such entry.")
    return entries[name]


async def projects(request: Request) -> JSONResponse:
    return JSONResponse({"projects": list(PROJECTS.values())})


async def project(request: Request) -> JSONResponse:
    return JSONResponse(entry(PROJECTS, request.path_params["key"]))


async def board(request: Request) -> JSONResponse:
    key = request.path_params["key"]
    entry(PROJECTS, key)
    columns = [
        {"state": state, "tickets": [one["id"] for one in TICKETS.values() if one["state"] == state]}
        for state in ("open", "doing", "done")
    ]
    return JSONResponse({"version": 1, "columns": columns})


async def changes(request: Request) -> JSONResponse:
    return JSONResponse([{"at": NOW, "by": "ada", "text": "Created."}])


async def history(request: Request) -> Response:
    """One JSON value a line."""
    entry(TICKETS, request.path_params["id"])
    lines = [{"at": NOW, "by": "ada", "text": "Created."}, {"at": NOW, "by": "bo", "text": "Opened."}]
    return Response("".join(json.dumps(line) + "\n" for line in lines), media_type="application/x-ndjson")


async def states(request: Request) -> JSONResponse:
    """The names of the states in the language that is asked for."""
    language = "de" if request.headers.get("accept-language", "").startswith("de") else "en"
    return JSONResponse(STATES[language], headers={"vary": "Accept-Language", "content-language": language})


async def start_import(request: Request) -> JSONResponse:
    """An old endpoint, which takes a form."""
    if not parse_qs((await request.body()).decode()).get("source"):
        raise HTTPException(422, "Say where to import from.")
    id = f"import-{len(IMPORTS) + 1}"
    IMPORTS[id] = {"id": id, "type": "import", "status": "PENDING", "version": 1, "at": NOW}
    return JSONResponse(IMPORTS[id])


async def import_status(request: Request) -> JSONResponse:
    return JSONResponse(entry(IMPORTS, request.path_params["id"]))


async def imports(request: Request) -> JSONResponse:
    return JSONResponse(list(IMPORTS.values()))


async def tickets(request: Request) -> JSONResponse:
    if request.method == "POST":
        id = str(next(IDS))
        TICKETS[id] = {"id": id, "state": "open", "assignee": None, "labels": [], **await request.json()}
        return JSONResponse(TICKETS[id], 201, {"location": f"/tickets/{id}"})
    asked = request.query_params
    wanted = {name: asked.getlist(name) for name in ("project", "state", "assignee") if name in asked}
    found = [
        one
        for one in reversed(TICKETS.values())
        if all(one[name] in values for name, values in wanted.items())
    ]
    page, size = int(asked.get("page", 1)), int(asked.get("per_page", 100))
    headers = {"x-total-count": str(len(found))}
    if page * size < len(found):
        query = urlencode([pair for pair in asked.multi_items() if pair[0] != "page"] + [("page", page + 1)])
        headers["link"] = f'</tickets?{query}>; rel="next"'
    return JSONResponse({"tickets": found[(page - 1) * size : page * size]}, headers=headers)


async def ticket(request: Request) -> Response:
    found = entry(TICKETS, request.path_params["id"])
    if request.method == "DELETE":
        del TICKETS[found["id"]]
        return Response(status_code=204)
    if request.method == "PATCH":
        found |= await request.json()
    return JSONResponse(found)


async def state(request: Request) -> JSONResponse:
    found = entry(TICKETS, request.path_params["id"])
    found["state"] = (await request.json())["state"]
    return JSONResponse(found)


async def assignee(request: Request) -> JSONResponse:
    found = entry(TICKETS, request.path_params["id"])
    name = None if request.method == "DELETE" else (await request.json())["name"]
    if name is not None and name not in PEOPLE:
        raise HTTPException(409, "There is no such person.")
    found["assignee"] = name
    return JSONResponse(found)


async def comments(request: Request) -> JSONResponse:
    of_ticket = COMMENTS.setdefault(request.path_params["id"], [])
    if request.method == "POST":
        of_ticket.append({"id": f"c{len(of_ticket) + 1}", "by": "ada", **await request.json()})
        return JSONResponse(of_ticket[-1])
    return JSONResponse(of_ticket)


async def comment(request: Request) -> Response:
    of_ticket = COMMENTS.get(request.path_params["id"], [])
    entry({one["id"]: one for one in of_ticket}, request.path_params["comment"])
    of_ticket[:] = [one for one in of_ticket if one["id"] != request.path_params["comment"]]
    return Response(status_code=204)


async def people(request: Request) -> JSONResponse:
    """Everybody, or those with the names that are asked for."""
    names = request.query_params.getlist("name") or list(PEOPLE)
    return JSONResponse([PEOPLE[name] for name in names if name in PEOPLE])


async def person(request: Request) -> JSONResponse:
    return JSONResponse(entry(PEOPLE, request.path_params["name"]))


async def search(request: Request) -> JSONResponse:
    """A search by POST, because queries may be long."""
    if request.headers.get("x-api-key") != SEARCH_KEY or request.headers.get("x-api-version") != "2":
        raise HTTPException(401, "Send your key, and the version of the interface.")
    asked = await request.json()
    text, kind = asked["text"].lower(), asked["kind"]
    names = {
        "project": {key: str(one["name"]) for key, one in PROJECTS.items()},
        "ticket": {id: one["title"] for id, one in TICKETS.items()},
        "person": {name: one["full_name"] for name, one in PEOPLE.items()},
    }[kind]
    hits = [{"kind": kind, "id": id, "title": name} for id, name in names.items() if text in name.lower()]
    return JSONResponse(hits)


app = Starlette(
    routes=[
        Route("/projects", projects),
        Route("/projects/{key}", project),
        Route("/projects/{key}/board", board),
        Route("/projects/{key}/activity", changes),
        Route("/projects/{key}/imports", start_import, methods=["POST"]),
        Route("/imports", imports),
        Route("/imports/{id}", import_status),
        Route("/tickets", tickets, methods=["GET", "POST"]),
        Route("/states", states),
        Route("/tickets/{id}", ticket, methods=["GET", "PATCH", "DELETE"]),
        Route("/tickets/{id}/state", state, methods=["POST"]),
        Route("/tickets/{id}/assignee", assignee, methods=["PUT", "DELETE"]),
        Route("/tickets/{id}/comments", comments, methods=["GET", "POST"]),
        Route("/tickets/{id}/comments/{comment}", comment, methods=["DELETE"]),
        Route("/tickets/{id}/history", history),
        Route("/people", people),
        Route("/people/{name}", person),
        Route("/search", search, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
