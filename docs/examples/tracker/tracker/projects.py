"""Projects, their boards, and imports from other trackers."""

from pydantic import BaseModel

from bff import Part, Router, optional, together

from . import upstreams
from .upstreams import Board, Change, ImportStatus, Person, Project, ProjectList, TicketList

router = Router(prefix="/api/projects")

imports = router.saga("import", ImportStatus, restore=upstreams.projects.imports_of)
board = router.value("board/{key}", Board, public=True, load=upstreams.projects.board)


@router.view("", public=True)
async def projects_screen() -> ProjectList:
    """Every project, for people who have not signed in, too."""
    return await upstreams.projects.all()


class ProjectScreen(BaseModel):
    project: Project
    lead: Part[Person]
    open_tickets: Part[TicketList]


@router.view("/{key}")
async def project_screen(key: str) -> ProjectScreen:
    """A project with its lead and its open tickets."""
    project, open_tickets = await together(
        upstreams.projects.project(key),
        optional(upstreams.tickets.matching(project=key, state="open"), within=0.5),
    )
    lead = await optional(upstreams.people.person(project.lead), within=0.3)
    return ProjectScreen(project=project, lead=lead, open_tickets=open_tickets)


class BoardScreen(BaseModel):
    """value: the live value under which a page follows the board."""

    project: Project
    board: Board
    value: str


@router.view("/{key}/board")
async def board_screen(key: str) -> BoardScreen:
    """The board as it is now, and where its changes arrive."""
    project, now = await together(upstreams.projects.project(key), upstreams.projects.board(key))
    return BoardScreen(project=project, board=now, value=f"board/{key}")


class ActivityScreen(BaseModel):
    changes: list[Change]


@router.view("/{key}/activity")
async def activity_screen(key: str) -> ActivityScreen:
    """The last changes in a project, newest first."""
    return ActivityScreen(changes=await upstreams.projects.activity(key))


class ImportScreen(BaseModel):
    project: Project
    status: ImportStatus


@router.view("/{key}/imports/{id}")
async def import_screen(key: str, id: str) -> ImportScreen:
    """How far an import is. Its further steps arrive in the live stream."""
    project, status = await together(upstreams.projects.project(key), upstreams.projects.import_status(id))
    return ImportScreen(project=project, status=status)


class Source(BaseModel):
    """url: of the tracker from which tickets are imported."""

    url: str


@router.command("/{key}/imports", starts=imports, limit="5/minute", invalidates=("tickets", "project/{key}"))
async def start_import(key: str, source: Source) -> ImportStatus:
    """Import the tickets of another tracker. It takes minutes, as a saga."""
    return await upstreams.projects.start_import(key, source.url)
