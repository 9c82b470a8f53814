"""The services that the gateway calls: who owns each, its calls, and what is read of their answers.

What a service answers beyond the fields of a model goes no further than here.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from bff import BYTES, JSON_LINES, Answer, Call, Form, SagaStatus, Upstream

State = Literal["open", "doing", "done"]
Language = Literal["en", "de"]


class Project(BaseModel):
    key: str
    name: str
    lead: str


class ProjectList(BaseModel):
    projects: list[Project]


class Column(BaseModel):
    state: State
    tickets: list[str]


class Board(BaseModel):
    """version: counts the changes of this board, from 1."""

    version: int
    columns: list[Column]


class Change(BaseModel):
    """at: RFC 3339."""

    at: str
    by: str
    text: str


class ImportCount(BaseModel):
    read: int
    created: int


class ImportStatus(SagaStatus):
    step: Literal["read", "create", "notify"] | str | None = None
    data: ImportCount | None = None


class Ticket(BaseModel):
    """origin: its address in the tracker from which it was imported."""

    id: str
    project: str
    title: str
    state: State
    assignee: str | None
    labels: list[str] = []
    origin: str | None = None


class TicketList(BaseModel):
    tickets: list[Ticket]


class Comment(BaseModel):
    id: str = ""
    by: str
    text: str


class Person(BaseModel):
    name: str
    full_name: str
    team: str


class StoredFile(BaseModel):
    """size: bytes; type: as the uploader said."""

    name: str
    size: int
    type: str


class Hit(BaseModel):
    kind: Literal["project", "ticket", "person"]
    id: str
    title: str


class Projects(Upstream, team="Planning", contact="#planning", docs="https://planning.example.org"):
    def all(self) -> Call[ProjectList]:
        return self.get("/projects", ProjectList).fresh(60).public().tagged("projects")

    def project(self, key: str) -> Call[Project]:
        return self.get("/projects/{key}", Project, key=key).fresh(60).tagged(f"project/{key}")

    def board(self, key: str) -> Call[Board]:
        return self.get("/projects/{key}/board", Board, key=key)

    def activity(self, key: str) -> Call[list[Change]]:
        return self.get("/projects/{key}/activity", list[Change], key=key)

    def start_import(self, key: str, source: str) -> Call[ImportStatus]:
        """An old endpoint, which takes a form."""
        return self.post("/projects/{key}/imports", ImportStatus, Form(source=source), key=key)

    def import_status(self, id: str) -> Call[ImportStatus]:
        return self.get("/imports/{id}", ImportStatus, id=id)

    def imports_of(self, owner: str) -> Call[list[ImportStatus]]:
        """Every import of one person, to restore what Redis has lost."""
        return self.get("/imports", list[ImportStatus], owner=owner)


class Tickets(Upstream, team="Tracking", contact="#tracking", docs="https://tracking.example.org"):
    def matching(
        self, project: str | None = None, state: State | None = None, assignee: str | None = None
    ) -> Call[TicketList]:
        call = self.get("/tickets", TicketList, project=project, state=state, assignee=assignee)
        return call.fresh(5).tagged("tickets")

    def page(
        self,
        number: int,
        size: int,
        *,
        project: str | None = None,
        states: Sequence[State] = (),
        assignee: str | None = None,
    ) -> Call[Answer[TicketList]]:
        """One page. How many tickets there are, and whether another page follows, is in headers of the answer."""
        call = self.get(
            "/tickets",
            TicketList,
            project=project,
            state=list(states),
            assignee=assignee,
            page=number,
            per_page=size,
        )
        return call.fresh(5).tagged("tickets").with_headers("Link", "X-Total-Count")

    def state_names(self, language: Language) -> Call[dict[State, str]]:
        """What people read for each state. The language is part of the key under which the answer is cached."""
        call = self.get("/states", dict[State, str]).header("Accept-Language", language)
        return call.fresh(300).public()

    def ticket(self, id: str) -> Call[Ticket]:
        return self.get("/tickets/{id}", Ticket, id=id).fresh(5).tagged(f"ticket/{id}")

    def comments(self, id: str) -> Call[list[Comment]]:
        return self.get("/tickets/{id}/comments", list[Comment], id=id).fresh(5).tagged(f"comments/{id}")

    def history(self, id: str) -> Call[list[Change]]:
        """The service writes one JSON value a line."""
        return self.get("/tickets/{id}/history", list[Change], id=id).answered(JSON_LINES)

    def create(self, project: str, title: str) -> Call[Ticket]:
        return self.post("/tickets", Ticket, {"project": project, "title": title})

    def move(self, id: str, state: State) -> Call[Ticket]:
        return self.post("/tickets/{id}/state", Ticket, {"state": state}, id=id)

    def change(self, id: str, title: str | None, labels: list[str] | None) -> Call[Ticket]:
        """What is None stays as it is."""
        changes = {"title": title, "labels": labels}
        given = {name: value for name, value in changes.items() if value is not None}
        return self.patch("/tickets/{id}", Ticket, given, id=id)

    def remove(self, id: str) -> Call[None]:
        return self.delete("/tickets/{id}", None, id=id)

    def assign(self, id: str, name: str) -> Call[Ticket]:
        return self.put("/tickets/{id}/assignee", Ticket, {"name": name}, id=id)

    def release(self, id: str) -> Call[Ticket]:
        return self.delete("/tickets/{id}/assignee", Ticket, id=id)

    def comment(self, id: str, text: str) -> Call[Comment]:
        return self.post("/tickets/{id}/comments", Comment, {"text": text}, id=id)

    def remove_comment(self, id: str, comment: str) -> Call[None]:
        return self.delete("/tickets/{id}/comments/{comment}", None, id=id, comment=comment)


class People(Upstream, team="Accounts", contact="#accounts"):
    def all(self) -> Call[list[Person]]:
        return self.get("/people", list[Person]).fresh(60).tagged("people")

    def person(self, name: str) -> Call[Person]:
        return self.get("/people/{name}", Person, name=name).fresh(60).tagged(f"person/{name}")

    @Upstream.batch(by=lambda person: person.name)
    def assignee(self, names: list[str]) -> Call[list[Person]]:
        """Called with one name: what one request asks for at a time is one call."""
        return self.get("/people", list[Person], name=names).fresh(60).tagged("people")


class Search(Upstream, team="Discovery", contact="#discovery", headers={"X-Api-Version": "2"}):
    """A bought service. Its key is a secret, so it is in the settings: BFF_UPSTREAMS__SEARCH__HEADERS."""

    def hits(self, text: str, kind: str) -> Call[list[Hit]]:
        """A search by POST changes nothing, so it may be cached and tried again."""
        return self.post("/search", list[Hit], {"text": text, "kind": kind}).as_read().fresh(5)


class Files(Upstream, team="Storage", contact="#storage"):
    def of_ticket(self, id: str) -> Call[list[StoredFile]]:
        """The newest first."""
        return self.get("/v1/tickets/{id}/files", list[StoredFile], id=id)

    def content(self, id: str, name: str) -> Call[bytes]:
        return self.get("/v1/tickets/{id}/files/{name}", bytes, id=id, name=name).answered(BYTES)


projects, tickets, people, search, files = Projects(), Tickets(), People(), Search(), Files()
