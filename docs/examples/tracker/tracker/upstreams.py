"""The services that the gateway calls: who owns each, its calls, and what is read of their answers.

What a service answers beyond the fields of a model goes no further than here.
"""

from typing import Literal

from pydantic import BaseModel

from bff import Call, SagaStatus, Upstream

State = Literal["open", "doing", "done"]


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
    id: str
    project: str
    title: str
    state: State
    assignee: str | None


class TicketList(BaseModel):
    tickets: list[Ticket]


class Comment(BaseModel):
    by: str
    text: str


class Person(BaseModel):
    name: str
    full_name: str
    team: str


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
        return self.post("/projects/{key}/imports", ImportStatus, {"source": source}, key=key)

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

    def ticket(self, id: str) -> Call[Ticket]:
        return self.get("/tickets/{id}", Ticket, id=id).fresh(5).tagged(f"ticket/{id}")

    def comments(self, id: str) -> Call[list[Comment]]:
        return self.get("/tickets/{id}/comments", list[Comment], id=id).fresh(5).tagged(f"comments/{id}")

    def history(self, id: str) -> Call[list[Change]]:
        return self.get("/tickets/{id}/history", list[Change], id=id)

    def create(self, project: str, title: str) -> Call[Ticket]:
        return self.post("/tickets", Ticket, {"project": project, "title": title})

    def move(self, id: str, state: State) -> Call[Ticket]:
        return self.post("/tickets/{id}/state", Ticket, {"state": state}, id=id)

    def assign(self, id: str, name: str | None) -> Call[Ticket]:
        return self.post("/tickets/{id}/assignee", Ticket, {"name": name}, id=id)

    def comment(self, id: str, text: str) -> Call[Comment]:
        return self.post("/tickets/{id}/comments", Comment, {"text": text}, id=id)


class People(Upstream, team="Accounts", contact="#accounts"):
    def all(self) -> Call[list[Person]]:
        return self.get("/people", list[Person]).fresh(60).tagged("people")

    def person(self, name: str) -> Call[Person]:
        return self.get("/people/{name}", Person, name=name).fresh(60).tagged(f"person/{name}")


class Search(Upstream, team="Discovery", contact="#discovery"):
    def hits(self, text: str, kind: str) -> Call[list[Hit]]:
        return self.get("/search", list[Hit], text=text, kind=kind)


projects, tickets, people, search = Projects(), Tickets(), People(), Search()
