from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, ValidationError

from bff import Call, Missing, Part, Principal, Ready, Upstream, UpstreamError, optional, together
from bff.calls import CircuitOpen, NoRequestContext, Refused
from bff.testing import NoAnswer, fails, request_context


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, id: str) -> Call[Thing]:
        return self.get("/things/{id}", Thing, id=id).fresh(5).public()

    def other(self) -> Call[Thing]:
        return self.get("/other", Thing)

    def put_away(self, thing: Thing) -> Call[None]:
        return self.post("/things", None, thing)


shelf = Shelf()
ADA = Principal("https://issuer", "ada", "token", 0.0)


async def test_a_call_is_answered_by_its_name_and_by_its_value_which_wins() -> None:
    with request_context({"Shelf.thing": Thing(name="any"), shelf.thing("7"): Thing(name="seven")}) as kit:
        assert (await shelf.thing("1")).name == "any"
        assert (await shelf.thing("7")).name == "seven"
    assert [call.path for call in kit.calls] == ["/things/1", "/things/7"]


async def test_an_answer_may_be_what_the_service_would_send_and_must_fit_the_model() -> None:
    with request_context({"Shelf.thing": {"name": "raw", "extra": 1}, "Shelf.other": {"title": "x"}}):
        assert await shelf.thing("1") == Thing(name="raw")
        with pytest.raises(ValidationError):
            await shelf.other()


async def test_an_answer_may_be_made_of_the_call_async_or_not() -> None:
    async def slowly(call: Call[Thing]) -> Thing:
        await asyncio.sleep(0)
        return Thing(name=call.path)

    with request_context({"Shelf.thing": slowly, "Shelf.other": lambda call: fails("timeout")}):
        assert (await shelf.thing("3")).name == "/things/3"
        assert isinstance(await optional(shelf.other()), Missing)


async def test_failures_are_the_contracts_and_name_the_owner() -> None:
    with request_context(
        {"Shelf.thing": fails("refused", status=409), "Shelf.other": RuntimeError("a bug")}
    ) as kit:
        with pytest.raises(Refused) as raised:
            await shelf.thing("1")
        assert (raised.value.status, raised.value.owner.team) == (409, "Shelf")
        with pytest.raises(RuntimeError):
            await optional(shelf.other())
        assert kit.context.record.missing == 0


@pytest.mark.parametrize(
    "reason", ["timeout", "circuit-open", "overloaded", "unreachable", "failed", "refused", "invalid"]
)
async def test_every_reason_can_be_played(reason: str) -> None:
    with request_context({"Shelf.other": fails(reason)}) as kit:  # type: ignore[arg-type]  # the parametrised word
        part = await optional(shelf.other())
    assert isinstance(part, Missing) and part.reason == reason
    assert kit.context.record.missing == 1


async def test_a_retry_after_is_handed_on() -> None:
    with (
        request_context({"Shelf.other": fails("circuit-open", retry_after=3)}),
        pytest.raises(CircuitOpen) as raised,
    ):
        await shelf.other()
    assert raised.value.retry_after == 3
    assert isinstance(raised.value, UpstreamError)


async def test_a_call_without_an_answer_is_named_even_where_it_is_optional() -> None:
    with (
        request_context({"Shelf.thing": Thing(name="x")}),
        pytest.raises(NoAnswer, match=r"Shelf\.other.*Shelf\.thing"),
    ):
        await optional(shelf.other())


async def test_calls_that_run_side_by_side_are_one_wave_however_deep_they_are_nested() -> None:
    async def chain() -> Thing:
        await shelf.thing("1")
        return await shelf.other()

    async def nested() -> tuple[Thing, Thing]:
        return await together(shelf.thing("2"), optional_thing())

    async def optional_thing() -> Thing:
        part = await optional(shelf.thing("3"))
        assert isinstance(part, Ready)
        return part.data

    with request_context({"Shelf.thing": Thing(name="x"), "Shelf.other": Thing(name="y")}) as kit:
        await together(chain(), nested(), shelf.thing("4"))
    assert [sorted(wave) for wave in kit.waves] == [["Shelf.thing"] * 4, ["Shelf.other"]]


async def test_a_needless_sequence_shows_as_two_waves() -> None:
    with request_context({"Shelf.thing": Thing(name="x"), "Shelf.other": Thing(name="y")}) as kit:
        await shelf.thing("1")
        await shelf.other()
    assert kit.waves == [["Shelf.thing"], ["Shelf.other"]]


async def test_the_scope_has_the_principal_and_the_mutation_and_ends_with_the_block() -> None:
    with request_context({"Shelf.put_away": None}, principal=ADA, mutation="click") as kit:
        await shelf.put_away(Thing(name="x"))
        assert (kit.context.principal, kit.context.mutation) == (ADA, "click")
    assert kit.calls[0].body == b'{"name":"x"}'
    with pytest.raises(NoRequestContext):
        await shelf.other()


async def test_a_screen_is_called_like_the_function_it_is() -> None:
    class Screen(BaseModel):
        thing: Thing
        other: Part[Thing]

    async def screen(id: str) -> Screen:
        thing, other = await together(shelf.thing(id), optional(shelf.other()))
        return Screen(thing=thing, other=other)

    with request_context({"Shelf.thing": {"name": "x"}, "Shelf.other": fails("timeout")}) as kit:
        shown = await screen("1")
    assert isinstance(shown.other, Missing)
    assert kit.waves == [["Shelf.thing", "Shelf.other"]]


async def test_a_refusal_lets_through_what_a_real_call_does() -> None:
    said = {
        "code": "taken",
        "detail": "<b>no</b>",
        "trace": "inside",
        "errors": [{"field": "a[0]", "msg": "no"}],
    }
    told = request_context({"Shelf.other": fails("refused", status=403, problem=said)}, principal=ADA)
    with told, pytest.raises(Refused) as raised:
        await shelf.other()
    assert (raised.value.status, raised.value.identified) == (403, True)
    assert raised.value.problem == {"code": "taken", "errors": [{"pointer": "/a/0", "detail": "no"}]}
    with request_context({"Shelf.other": fails("refused", status=403)}), pytest.raises(Refused) as raised:
        await shelf.other()
    assert not raised.value.identified
    for status in (200, 302, 429, 500):
        with (
            request_context({"Shelf.other": fails("refused", status=status)}),
            pytest.raises(ValueError, match="400 to 499"),
        ):
            await shelf.other()
