"""Screens and commands with answers that the tests give: no service, no Redis and no socket is needed."""

from typing import Any

from tracker import exports, gateway, people, preferences, projects, tickets

from bff import Answer, Call, Principal, Redirect
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
                [hit] if b'"ticket"' in (call.body or b"") else fails("overloaded", retry_after=1)
            )
        },
        principal=ADA,
    ) as kit:
        screen = await gateway.search_screen("hum")
    assert screen.tickets.state == "ready"
    assert screen.projects.state == screen.people.state == "missing"
    assert len(kit.waves) == 1


async def test_taking_a_ticket_assigns_it_to_the_person_who_asks() -> None:
    answers: Answers = {"Tickets.assign": TICKET, "People.person": PERSON}
    with request_context(answers, principal=ADA, mutation="m") as kit:
        await tickets.take_ticket("1", await tickets.viewer(ADA))
    assert [call.path for call in kit.calls] == ["/people/ada", "/tickets/1/assignee"]
    assert kit.calls[1].body == b'{"name":"ada"}'


async def test_me_is_the_person_who_asks() -> None:
    answers: Answers = {"People.person": PERSON, "Tickets.matching": {"tickets": [TICKET]}}
    with request_context(answers, principal=ADA) as kit:
        screen = await people.me_screen(ADA)
    assert screen.person.full_name == "Ada Lovelace"
    assert kit.calls[0].path == "/people/ada"


async def test_the_people_of_a_whole_page_are_asked_for_in_one_call() -> None:
    sixty = [TICKET | {"id": f"{n}", "assignee": ("ada", "bo", "cy", "di", "ed")[n % 5]} for n in range(60)]
    answers: Answers = {
        "Tickets.page": Answer({"tickets": sixty}, {"X-Total-Count": "61", "Link": '</x>; rel="next"'}),
        "Tickets.state_names": {"open": "Offen"},
        "People.assignee": lambda call: [PERSON | {"name": name} for _, name in call.query if name != "ed"],
    }
    wanted = tickets.TicketFilter.model_validate({"per-page": 60, "state": ["open"]})
    with request_context(answers, principal=ADA) as kit:
        reply = await tickets.tickets_screen(wanted, "de", ADA)
    assert kit.waves == [["Tickets.page", "Tickets.state_names"], ["People.assignee"]]
    rows = reply.value.rows
    assert [row.assignee.state for row in rows if row.assignee][:5] == ["ready"] * 4 + ["missing"]
    assert (reply.value.total, reply.headers["X-Total-Count"]) == (61, "61")
    assert reply.headers["Link"] == '</api/tickets?state=open&page=2&per-page=60>; rel="next"'


async def test_each_of_several_tickets_is_moved_or_says_why_not() -> None:
    moves = [tickets.MoveOf(id=id, state="done") for id in ("1", "2")]
    moved: Answers = {
        "Tickets.move": lambda call: TICKET if "/1/" in call.path else fails("refused", status=404)
    }
    with request_context(moved, principal=ADA, mutation="m") as kit:
        parts = await tickets.move_tickets(moves)
    assert [part.state for part in parts] == ["ready", "missing"]
    assert len(kit.waves) == 1


async def test_an_imported_ticket_leads_to_the_old_tracker_and_to_nowhere_else() -> None:
    for written, location in (
        ("https://old.example.org/tickets/77", "https://old.example.org/tickets/77"),
        ("https://old.example.org.evil.test/", "/#ticket-1"),
        ("javascript:alert(1)", "/#ticket-1"),
        (None, "/#ticket-1"),
    ):
        ticket: dict[str, str | None] = {**TICKET, "origin": written}
        with request_context({"Tickets.ticket": ticket}, principal=ADA):
            assert await tickets.origin("1") == Redirect(location)


async def test_an_export_reads_page_after_page_and_no_cell_is_a_formula() -> None:
    def page(call: Call[Any]) -> Answer[Any]:
        first = ("page", "1") in call.query
        title = "=HYPERLINK(1)" if first else 'a "b", c'
        headers = {"Link": '</x>; rel="next"'} if first else {}
        return Answer({"tickets": [TICKET | {"title": title}]}, headers)

    with request_context({"Tickets.page": page}, principal=ADA) as kit:
        download = await exports.tickets_file(exports.Exports(1), "apollo")
        assert not isinstance(download.source, Call)
        lines = [piece.decode() async for piece in download.source]
    assert (download.filename, len(kit.calls)) == ("apollo.csv", 2)
    assert lines == [
        "id,project,title,state,assignee\r\n",
        "1,apollo,'=HYPERLINK(1),open,ada\r\n",
        '1,apollo,"a ""b"", c",open,ada\r\n',
    ]


async def test_preferences_are_kept_in_a_cookie() -> None:
    reply = await preferences.set_preferences(preferences.Preferences(theme="dark"))
    (cookie,) = reply.cookies
    assert cookie.header.startswith("tracker-theme=dark; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=")
