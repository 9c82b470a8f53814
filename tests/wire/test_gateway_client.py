"""bff.testing.gateway_client: the whole gateway with an embedded Valkey, and services that fail as the test says."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Part, Principal, SagaStatus, Upstream, optional
from bff.testing import fails, gateway_client


class Ticket(BaseModel):
    id: str
    customer: str


class Customer(BaseModel):
    name: str


class Desk(Upstream, team="Support", contact="#support"):
    def ticket(self, id: str) -> Call[Ticket]:
        return self.get("/tickets/{id}", Ticket, id=id)

    def found(self, text: str) -> Call[list[Ticket]]:
        return self.get("/tickets", list[Ticket], text=text, state="open")

    def close(self, id: str) -> Call[Ticket]:
        return self.post("/tickets/{id}/close", Ticket, {}, id=id)


class People(Upstream, team="Accounts", contact="#accounts"):
    def customer(self, name: str) -> Call[Customer]:
        return self.get("/customers/{name}", Customer, name=name)


class Screen(BaseModel):
    ticket: Ticket
    customer: Part[Customer]


desk, people = Desk(), People()
TICKET = {"id": "7", "customer": "kim"}
ADA = Principal(
    "https://login.example.org", "ada", "", 0, scopes=frozenset({"desk"}), roles=frozenset({"agent"})
)


def made() -> Gateway:
    gateway = Gateway("desk", upstreams=(desk, people))
    gateway.saga("import", SagaStatus)

    @gateway.view("/tickets/{id}", public=True)
    async def ticket(id: str) -> Screen:
        found = await desk.ticket(id)
        return Screen(ticket=found, customer=await optional(people.customer(found.customer), within=0.2))

    @gateway.view("/found", scopes=("desk",))
    async def search(text: str) -> list[Ticket]:
        return await desk.found(text)

    @gateway.command("/tickets/{id}/close", roles=("agent",), limit="2/minute")
    async def close(id: str) -> Ticket:
        return await desk.close(id)

    return gateway


@pytest.mark.parametrize("reason", ["timeout", "unreachable", "failed", "overloaded", "refused", "invalid"])
async def test_a_part_is_missing_for_the_reason_that_the_test_says(reason: str) -> None:
    answers = {desk.ticket("7"): TICKET, people: fails(reason)}  # type: ignore[arg-type]  # one of the reasons
    async with gateway_client(made(), answers) as client:
        answer = await client.get("/tickets/7")
    assert (answer.status_code, answer.headers["bff-complete"]) == (200, "false")
    assert (answer.json()["customer"]["state"], answer.json()["customer"]["reason"]) == ("missing", reason)
    assert answer.json()["customer"]["owner"]["team"] == "Accounts"


async def test_a_breaker_opens_by_itself_after_failures() -> None:
    settings = {"upstreams": {"people": {"breaker": {"failures": 2}, "retry": {"attempts": 1}}}}
    answers = {desk.ticket("7"): Ticket(**TICKET), people: fails("failed")}
    async with gateway_client(made(), answers, settings=settings) as client:
        reasons = [(await client.get("/tickets/7")).json()["customer"]["reason"] for _ in range(4)]
    assert reasons[0] == "failed" and reasons[-1] == "circuit-open"


async def test_the_principal_has_its_scopes_and_roles_and_a_call_is_found_by_its_query() -> None:
    answers = {desk.found("hum"): [TICKET], desk.close("7"): TICKET}
    async with gateway_client(made(), answers, principal=ADA) as client:
        assert (await client.get("/found", params={"text": "hum"})).json() == [TICKET]
        assert (await client.get("/found", params={"text": "ho"})).status_code == 404
        assert (await client.post("/tickets/7/close")).json() == TICKET
    async with gateway_client(made(), answers) as client:
        assert (await client.get("/found", params={"text": "hum"})).status_code == 401


async def test_a_command_is_replayed_and_its_limit_counts() -> None:
    async with gateway_client(made(), {desk.close("7"): TICKET}, principal=ADA) as client:
        keyed = {"idempotency-key": "one"}
        first = await client.post("/tickets/7/close", headers=keyed)
        again = await client.post("/tickets/7/close", headers=keyed)
        assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
        assert [(await client.post("/tickets/7/close")).status_code for _ in range(2)] == [200, 429]


async def test_the_stream_is_open_and_each_block_begins_with_an_empty_store() -> None:
    async with (
        gateway_client(made(), principal=ADA) as client,
        client.stream("GET", "/bff/live") as stream,
    ):
        lines = stream.aiter_lines()
        while not (line := await anext(lines)).startswith("data: "):
            pass
        assert json.loads(line.removeprefix("data: "))["sagas"] == []


async def test_a_block_ends_while_a_call_is_held_and_leaves_no_task() -> None:
    before = len(asyncio.all_tasks())
    gateway = made()
    async with gateway_client(gateway, {desk: fails("timeout")}) as client:
        assert (await client.get("/tickets/7")).status_code == 504
        with pytest.raises(Exception, match="runs already"):
            async with gateway_client(gateway):
                pass
    assert gateway.runtime is None
    assert len(asyncio.all_tasks()) == before


async def test_answers_that_cannot_be_given_are_mistakes_of_the_test() -> None:
    for answers, said in (
        ({people: fails("circuit-open")}, "opens by itself"),
        ({people: {"name": "Kim"}}, "only fails"),
        ({"People.customer": {"name": "Kim"}}, "go by a Call"),
    ):
        with pytest.raises(ValueError, match=said):
            async with gateway_client(made(), answers):  # type: ignore[arg-type]  # the mistake that is tested
                pass
