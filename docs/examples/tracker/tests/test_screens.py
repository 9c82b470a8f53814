"""Screens and commands with answers that the tests give: no service, no Redis and no socket is needed."""

from typing import Any

from tracker import gateway, people, projects, tickets

from bff import Call, Principal
from bff.testing import fails, request_context

Answers = dict[str | Call[Any], Any]
ADA = Principal("https://login.example.org", "ada", token="", expires_at=0, scopes=frozenset({"tracker"}))
APOLLO = {"key": "apollo", "name": "Apollo", "lead": "ada", "budget": 70_000}
PERSON = {"name": "ada", "full_name": "Ada Lovelace", "team": "Engines"}
TICKET = {"id": "1", "project": "apollo", "title": "It hums", "state": "open", "assignee": "ada"}
COMMENTS = [{"by": "bo", "text": "In B flat."}]


async def test_a_ticket_is_shown_in_two_waves_of_calls() -> None:
    answers: Answers = {"Tickets.ticket": TICKET, "Tickets.comments": COMMENTS, "People.person": PERSON}
    with request_context(answers, principal=ADA) as kit:
        screen = await tickets.ticket_screen("1")
    assert screen.ticket.title == "It hums"
    assert screen.comments.state == "ready"
    assert kit.waves == [["Tickets.ticket", "Tickets.comments"], ["People.person"]]


async def test_a_ticket_is_shown_without_the_parts_that_fail() -> None:
    answers: Answers = {
        "Tickets.ticket": TICKET,
        "Tickets.comments": fails("timeout"),
        "People.person": fails("unreachable"),
    }
    with request_context(answers, principal=ADA):
        screen = await tickets.ticket_screen("1")
    assert screen.comments.state == "missing"
    assert screen.comments.owner.team == "Tracking"
    assert screen.assignee is not None
    assert screen.assignee.state == "missing"
    assert screen.assignee.reason == "unreachable"


async def test_nobody_is_asked_about_the_assignee_of_a_ticket_that_has_none() -> None:
    answers: Answers = {"Tickets.ticket": TICKET | {"assignee": None}, "Tickets.comments": []}
    with request_context(answers, principal=ADA) as kit:
        screen = await tickets.ticket_screen("1")
    assert screen.assignee is None
    assert [call.name for call in kit.calls] == ["Tickets.ticket", "Tickets.comments"]


async def test_a_project_does_not_show_what_its_model_leaves_out() -> None:
    answers: Answers = {
        "Projects.project": APOLLO,
        "Tickets.matching": {"tickets": []},
        "People.person": PERSON,
    }
    with request_context(answers, principal=ADA):
        screen = await projects.project_screen("apollo")
    assert "budget" not in screen.model_dump_json()


async def test_a_search_shows_the_kinds_that_answer() -> None:
    hit = {"kind": "ticket", "id": "1", "title": "It hums"}

    with request_context(
        {
            "Search.hits": lambda call: (
                [hit] if ("kind", "ticket") in call.query else fails("overloaded", retry_after=1)
            )
        },
        principal=ADA,
    ) as kit:
        screen = await gateway.search_screen("hum")
    assert screen.tickets.state == "ready"
    assert screen.projects.state == screen.people.state == "missing"
    assert len(kit.waves) == 1


async def test_taking_a_ticket_assigns_it_to_the_person_who_asks() -> None:
    with request_context({"Tickets.assign": TICKET}, principal=ADA, mutation="m") as kit:
        await tickets.take_ticket("1", ADA)
    assert kit.calls[0].body == b'{"name":"ada"}'


async def test_me_is_the_person_who_asks() -> None:
    answers: Answers = {"People.person": PERSON, "Tickets.matching": {"tickets": [TICKET]}}
    with request_context(answers, principal=ADA) as kit:
        screen = await people.me_screen(ADA)
    assert screen.person.full_name == "Ada Lovelace"
    assert kit.calls[0].path == "/people/ada"
