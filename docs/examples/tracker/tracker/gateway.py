"""The gateway: the services it calls, the routers it serves, its page, and the search across all of them."""

from pathlib import Path

from pydantic import BaseModel

from bff import Gateway, Part, optional, together

from . import exports, files, people, preferences, projects, tickets, upstreams
from .upstreams import Hit

PAGE = Path(__file__).parents[1] / "page"

app = Gateway(
    "tracker",
    deadline=1.5,
    scopes=("tracker",),
    upstreams=(
        upstreams.projects,
        upstreams.tickets,
        upstreams.people,
        upstreams.search,
        upstreams.files,
    ),
    routers=(
        projects.router,
        tickets.router,
        files.router,
        people.router,
        exports.router,
        preferences.router,
    ),
    lifespan=exports.opened,
)
app.site(PAGE / "index.html", folders={"/page": PAGE})


class SearchScreen(BaseModel):
    """Each kind is a part of its own: one that fails or is slow does not hide the others."""

    projects: Part[list[Hit]]
    tickets: Part[list[Hit]]
    people: Part[list[Hit]]


@app.view("/api/search", limit="30/minute")
async def search_screen(text: str) -> SearchScreen:
    """Projects, tickets and people that match a text."""
    found = await together(
        optional(upstreams.search.hits(text, "project"), within=0.8),
        optional(upstreams.search.hits(text, "ticket"), within=0.8),
        optional(upstreams.search.hits(text, "person"), within=0.8),
    )
    return SearchScreen(projects=found[0], tickets=found[1], people=found[2])
