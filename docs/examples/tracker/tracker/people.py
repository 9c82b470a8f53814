"""People and what they work on."""

from pydantic import BaseModel

from bff import Part, Principal, Router, optional, together

from . import upstreams
from .upstreams import Person, TicketList

router = Router(prefix="/api/people")


class PeopleScreen(BaseModel):
    people: list[Person]


@router.view("")
async def people_screen() -> PeopleScreen:
    """Everybody who can have a ticket."""
    return PeopleScreen(people=await upstreams.people.all())


class PersonScreen(BaseModel):
    person: Person
    tickets: Part[TicketList]


@router.view("/me")
async def me_screen(who: Principal) -> PersonScreen:
    """The person who asks, with their tickets."""
    return await _screen_of(who.subject)


@router.view("/{name}")
async def person_screen(name: str) -> PersonScreen:
    """A person with their tickets."""
    return await _screen_of(name)


async def _screen_of(name: str) -> PersonScreen:
    person, tickets = await together(
        upstreams.people.person(name), optional(upstreams.tickets.matching(assignee=name), within=0.5)
    )
    return PersonScreen(person=person, tickets=tickets)
