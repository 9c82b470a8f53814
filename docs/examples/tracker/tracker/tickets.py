"""Tickets and their comments."""

from pydantic import BaseModel, Field

from bff import Part, Principal, Router, optional, together

from . import upstreams
from .upstreams import Change, Comment, Person, State, Ticket, TicketList

router = Router(prefix="/api/tickets", limit="120/minute")


@router.view("")
async def tickets_screen(project: str | None = None, state: State | None = None) -> TicketList:
    """Tickets, of one project or in one state only where the query says so."""
    return await upstreams.tickets.matching(project=project, state=state)


class TicketScreen(BaseModel):
    """assignee: None where nobody has the ticket."""

    ticket: Ticket
    assignee: Part[Person] | None
    comments: Part[list[Comment]]


@router.view("/{id}")
async def ticket_screen(id: str) -> TicketScreen:
    """A ticket; it is shown without its assignee or its comments where these fail."""
    ticket, comments = await together(
        upstreams.tickets.ticket(id), optional(upstreams.tickets.comments(id), within=0.5)
    )
    assignee = None
    if ticket.assignee is not None:
        assignee = await optional(upstreams.people.person(ticket.assignee), within=0.3)
    return TicketScreen(ticket=ticket, assignee=assignee, comments=comments)


class HistoryScreen(BaseModel):
    ticket: Ticket
    changes: list[Change]


@router.view("/{id}/history")
async def history_screen(id: str) -> HistoryScreen:
    """What was done with a ticket, newest first."""
    ticket, changes = await together(upstreams.tickets.ticket(id), upstreams.tickets.history(id))
    return HistoryScreen(ticket=ticket, changes=changes)


class NewTicket(BaseModel):
    project: str
    title: str = Field(min_length=1, max_length=200)


@router.command("", invalidates=("tickets",))
async def create_ticket(new: NewTicket) -> Ticket:
    """Create a ticket."""
    return await upstreams.tickets.create(new.project, new.title)


class Move(BaseModel):
    state: State


@router.command("/{id}/state", invalidates=("tickets", "ticket/{id}"))
async def move_ticket(id: str, move: Move) -> Ticket:
    """Move a ticket to another column of the board."""
    return await upstreams.tickets.move(id, move.state)


@router.command("/{id}/take", invalidates=("tickets", "ticket/{id}"))
async def take_ticket(id: str, who: Principal) -> Ticket:
    """Assign a ticket to the person who asks."""
    return await upstreams.tickets.assign(id, who.subject)


class NewComment(BaseModel):
    text: str = Field(min_length=1, max_length=10_000)


@router.command("/{id}/comments", invalidates=("comments/{id}",))
async def add_comment(id: str, comment: NewComment) -> Comment:
    """Comment on a ticket."""
    return await upstreams.tickets.comment(id, comment.text)
