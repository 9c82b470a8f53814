"""All four services in one process, with a few entries in memory: `python -m services.standin 9101`."""

import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

NOW = "2026-01-05T09:00:00Z"
PROJECTS = {"apollo": {"key": "apollo", "name": "Apollo", "lead": "ada", "budget": 70_000}}
PEOPLE = {
    "ada": {"name": "ada", "full_name": "Ada Lovelace", "team": "Engines"},
    "bo": {"name": "bo", "full_name": "Bo Diddley", "team": "Sound"},
}
TICKETS: dict[str, dict[str, Any]] = {
    "1": {"id": "1", "project": "apollo", "title": "It hums", "state": "open", "assignee": "ada"},
    "2": {"id": "2", "project": "apollo", "title": "It is silent", "state": "done", "assignee": None},
}
COMMENTS: dict[str, list[dict[str, str]]] = {"1": [{"by": "bo", "text": "In B flat."}]}
IMPORTS: dict[str, dict[str, Any]] = {}


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


async def start_import(request: Request) -> JSONResponse:
    id = f"import-{len(IMPORTS) + 1}"
    IMPORTS[id] = {"id": id, "type": "import", "status": "PENDING", "version": 1, "at": NOW}
    return JSONResponse(IMPORTS[id])


async def import_status(request: Request) -> JSONResponse:
    return JSONResponse(entry(IMPORTS, request.path_params["id"]))


async def imports(request: Request) -> JSONResponse:
    return JSONResponse(list(IMPORTS.values()))


async def tickets(request: Request) -> JSONResponse:
    if request.method == "POST":
        id = str(len(TICKETS) + 1)
        TICKETS[id] = {"id": id, "state": "open", "assignee": None, **await request.json()}
        return JSONResponse(TICKETS[id])
    asked = request.query_params.items()
    found = [one for one in TICKETS.values() if all(one[name] == value for name, value in asked)]
    return JSONResponse({"tickets": found})


async def ticket(request: Request) -> JSONResponse:
    return JSONResponse(entry(TICKETS, request.path_params["id"]))


async def state(request: Request) -> JSONResponse:
    found = entry(TICKETS, request.path_params["id"])
    found["state"] = (await request.json())["state"]
    return JSONResponse(found)


async def assignee(request: Request) -> JSONResponse:
    found = entry(TICKETS, request.path_params["id"])
    found["assignee"] = (await request.json())["name"]
    return JSONResponse(found)


async def comments(request: Request) -> JSONResponse:
    of_ticket = COMMENTS.setdefault(request.path_params["id"], [])
    if request.method == "POST":
        of_ticket.append({"by": "ada", **await request.json()})
        return JSONResponse(of_ticket[-1])
    return JSONResponse(of_ticket)


async def people(request: Request) -> JSONResponse:
    return JSONResponse(list(PEOPLE.values()))


async def person(request: Request) -> JSONResponse:
    return JSONResponse(entry(PEOPLE, request.path_params["name"]))


async def search(request: Request) -> JSONResponse:
    text, kind = request.query_params["text"].lower(), request.query_params["kind"]
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
        Route("/tickets/{id}", ticket),
        Route("/tickets/{id}/state", state, methods=["POST"]),
        Route("/tickets/{id}/assignee", assignee, methods=["POST"]),
        Route("/tickets/{id}/comments", comments, methods=["GET", "POST"]),
        Route("/tickets/{id}/history", changes),
        Route("/people", people),
        Route("/people/{name}", person),
        Route("/search", search),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
