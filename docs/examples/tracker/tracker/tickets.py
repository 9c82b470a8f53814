"""Tickets and their comments."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from bff import Depends, Part, Principal, Redirect, Reply, Router, optional, together

from . import upstreams
from .language import Preferred
from .upstreams import Change, Comment, Person, State, Ticket

router = Router(prefix="/api/tickets", limit="120/minute")

Title = Annotated[str, Field(min_length=1, max_length=200)]
Labels = Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]], Field(max_length=10)]


class TicketFilter(BaseModel):
    """The query of the list: `?state=open&state=doing&assignee=me&per-page=50`."""

    project: str | None = None
    state: list[State] = []
    assignee: Literal["me"] | str | None = None
    page: int = Field(1, ge=1, le=1_000)
    per_page: int = Field(20, ge=1, le=100, alias="per-page")

    def at(self, page: int) -> str:
        """The query of another page."""
        changed = self.model_copy(update={"page": page})
        return urlencode(changed.model_dump(by_alias=True, exclude_defaults=True), doseq=True)


class TicketRow(BaseModel):
    """assignee: None where nobody has the ticket."""

    ticket: Ticket
    assignee: Part[Person] | None


class TicketsScreen(BaseModel):
    """total: tickets on all pages; states: their names in the language of the person."""

    rows: list[TicketRow]
    total: int
    states: Part[dict[State, str]]


@router.view("")
async def tickets_screen(filter: TicketFilter, language: Preferred, who: Principal) -> Reply[TicketsScreen]:
    """One page of tickets with the people who have them, and the address of the next page in `Link`."""
    page, states = await together(
        upstreams.tickets.page(
            filter.page,
            filter.per_page,
            project=filter.project,
            states=filter.state,
            assignee=who.subject if filter.assignee == "me" else filter.assignee,
        ),
        optional(upstreams.tickets.state_names(language), within=1),
    )
    tickets = page.value.tickets
    # One call to the service of people, however many tickets are on the page.
    rows = await together([_row(ticket) for ticket in tickets])
    total = page.headers.get("x-total-count", str(len(tickets)))
    headers = {"X-Total-Count": total}
    if 'rel="next"' in page.headers.get("link", ""):
        headers["Link"] = f'</api/tickets?{filter.at(filter.page + 1)}>; rel="next"'
    return Reply(TicketsScreen(rows=rows, total=int(total), states=states), headers=headers)


async def _row(ticket: Ticket) -> TicketRow:
    if ticket.assignee is None:
        return TicketRow(ticket=ticket, assignee=None)
    return TicketRow(ticket=ticket, assignee=await optional(upstreams.people.assignee(ticket.assignee)))


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


OLD_TRACKER = "https://old.example.org"


@router.view("/{id}/origin", redirects=(OLD_TRACKER,))
async def origin(id: str) -> Redirect:
    """Where a ticket was written: in the tracker from which it was imported, or on this site."""
    ticket = await upstreams.tickets.ticket(id)
    if ticket.origin is not None and ticket.origin.startswith(f"{OLD_TRACKER}/"):
        return Redirect(ticket.origin)
    return Redirect(f"/#ticket-{id}")


class NewTicket(BaseModel):
    project: str
    title: Title


@router.command("", invalidates=("tickets",))
async def create_ticket(new: NewTicket) -> Reply[Ticket]:
    """Create a ticket; `Location` is the address of its screen."""
    ticket = await upstreams.tickets.create(new.project, new.title)
    return Reply(ticket, status=201, headers={"Location": f"/api/tickets/{ticket.id}"})


class Move(BaseModel):
    state: State


class MoveOf(Move):
    id: str


@router.command("", method="PATCH", invalidates=("tickets",), deadline=5)
async def move_tickets(
    moves: Annotated[list[MoveOf], Field(min_length=1, max_length=50)],
) -> list[Part[Ticket]]:
    """Move several tickets. The body is a list; each ticket is moved or says why not."""
    return await together([optional(upstreams.tickets.move(one.id, one.state)) for one in moves])


class TicketChange(BaseModel):
    """What is left out stays as it is."""

    title: Title | None = None
    labels: Labels | None = None


@router.command("/{id}", method="PATCH", invalidates=("tickets", "ticket/{id}"))
async def change_ticket(id: str, change: TicketChange) -> Ticket:
    """Change the title or the labels."""
    return await upstreams.tickets.change(id, change.title, change.labels)


@router.command("/{id}", method="DELETE", invalidates=("tickets", "ticket/{id}"))
async def remove_ticket(id: str) -> None:
    """Remove a ticket. The answer is 204."""
    await upstreams.tickets.remove(id)


@router.command("/{id}/state", invalidates=("tickets", "ticket/{id}"))
async def move_ticket(id: str, move: Move) -> Ticket:
    """Move a ticket to another column of the board."""
    return await upstreams.tickets.move(id, move.state)


async def viewer(who: Principal) -> Person:
    """The person who asks, as the service of people knows them. It is asked once for each request."""
    return await upstreams.people.person(who.subject)


@router.command("/{id}/take", invalidates=("tickets", "ticket/{id}"))
async def take_ticket(id: str, who: Annotated[Person, Depends(viewer)]) -> Ticket:
    """Assign a ticket to the person who asks."""
    return await upstreams.tickets.assign(id, who.name)


class Assignment(BaseModel):
    name: str


@router.command("/{id}/assignee", method="PUT", invalidates=("tickets", "ticket/{id}"))
async def assign_ticket(id: str, to: Assignment) -> Ticket:
    """Assign a ticket to somebody."""
    return await upstreams.tickets.assign(id, to.name)


@router.command("/{id}/assignee", method="DELETE", invalidates=("tickets", "ticket/{id}"))
async def release_ticket(id: str) -> None:
    """Nobody has the ticket any more."""
    await upstreams.tickets.release(id)


class NewComment(BaseModel):
    text: str = Field(min_length=1, max_length=10_000)


@router.command("/{id}/comments", invalidates=("comments/{id}",))
async def add_comment(id: str, comment: NewComment) -> Comment:
    """Comment on a ticket."""
    return await upstreams.tickets.comment(id, comment.text)


@router.command("/{id}/comments/{comment}", method="DELETE", invalidates=("comments/{id}",))
async def remove_comment(id: str, comment: str) -> None:
    """Remove a comment."""
    await upstreams.tickets.remove_comment(id, comment)
