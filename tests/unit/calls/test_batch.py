from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable

import pytest
from pydantic import BaseModel

from bff import Call, DeclarationError, Missing, Ready, Refused, Unreachable, Upstream, optional, together
from bff.calls import current_context, use_context, within
from bff.cli.static_analysis import steps
from bff.testing import fails, request_context


class Person(BaseModel):
    id: str
    name: str


class People(Upstream, team="People", contact="#people"):
    @Upstream.batch(by=lambda person: person.id, most=5)
    def person(self, ids: list[str]) -> Call[list[Person]]:
        """One of the people."""
        return self.get("/people", list[Person], id=ids)

    def everyone(self) -> Call[list[Person]]:
        return self.get("/people", list[Person])


people = People()


def answer(call: Call[list[Person]]) -> list[Person]:
    asked = [value for name, value in call.query if name == "id"]
    return [Person(id=id, name=id.title()) for id in reversed(asked) if id != "nobody"]


async def test_items_of_one_turn_are_one_call_and_a_repeated_one_is_asked_for_once() -> None:
    with request_context({"People.person": answer}) as kit:
        asked = [people.person(f"p{number % 5}") for number in range(60)]
        found = await together(asked)
        assert [person.name for person in found] == [f"P{number % 5}" for number in range(60)]
        assert [call.query for call in kit.calls] == [tuple(("id", f"p{number}") for number in range(5))]
        again = await people.person("p0")
        assert (again.name, len(kit.calls)) == ("P0", 2)


async def test_more_items_than_one_call_takes_are_several_calls_at_once() -> None:
    with request_context({"People.person": answer}) as kit:
        await together([people.person(f"p{number}") for number in range(12)])
        assert [len(call.query) for call in kit.calls] == [5, 5, 2]
        assert len(kit.waves) == 1


async def test_an_item_that_the_answer_lacks_is_missing_alone() -> None:
    with request_context({"People.person": answer}) as kit:
        ada, nobody = await together(optional(people.person("ada")), optional(people.person("nobody")))
        assert isinstance(ada, Ready) and ada.data.name == "Ada"
        assert isinstance(nobody, Missing) and nobody.reason == "refused" and nobody.owner.team == "People"
        with pytest.raises(Refused) as raised:
            await people.person("nobody")
        assert (raised.value.status, raised.value.call) == (404, "People.person")
        assert kit.context.record.missing == 1


async def test_the_key_of_each_item_is_read_once_however_many_are_asked_for() -> None:
    read: list[str] = []

    def key(person: Person) -> str:
        read.append(person.id)
        return person.id

    class Crowd(Upstream, team="Crowd", contact="#crowd"):
        @Upstream.batch(by=key, most=1_000)
        def person(self, ids: list[str]) -> Call[list[Person]]:
            return self.get("/crowd", list[Person], id=ids)

    crowd = Crowd()
    with request_context({"Crowd.person": answer}):
        found = await together([crowd.person(f"p{number}") for number in range(1_000)])
    assert [person.id for person in found] == [f"p{number}" for number in range(1_000)]
    assert len(read) == 1_000


async def test_of_items_with_the_same_key_the_first_one_counts() -> None:
    twice = [Person(id="ada", name="first"), Person(id="ada", name="second")]
    with request_context({"People.person": lambda call: twice}):
        assert (await people.person("ada")).name == "first"


async def test_a_failure_of_the_call_is_the_failure_of_all_its_items() -> None:
    with request_context({"People.person": fails("unreachable")}):
        parts = await together([optional(people.person(name)) for name in ("ada", "grace")])
        assert [part.reason for part in parts if isinstance(part, Missing)] == ["unreachable"] * 2
        with pytest.raises(Unreachable):
            await people.person("ada")


async def test_a_caller_waits_until_its_own_deadline_and_the_call_until_the_latest() -> None:
    released = asyncio.Event()

    async def slow(call: Call[list[Person]]) -> list[Person]:
        await released.wait()
        return answer(call)

    with request_context({"People.person": slow}) as kit:

        async def patient() -> Person:
            return await people.person("grace")

        task = asyncio.create_task(patient())
        hurried = await optional(people.person("ada"), within=0.05)
        assert isinstance(hurried, Missing) and (hurried.reason, hurried.owner.team) == ("timeout", "People")
        released.set()
        assert (await task).name == "Grace"
        assert len(kit.calls) == 1


async def test_a_part_on_a_late_loop_names_the_owner_of_the_batch_it_waits_for() -> None:
    async def never(call: Call[list[Person]]) -> list[Person]:
        await asyncio.Event().wait()
        return []

    with request_context({"People.person": never}):
        patient = asyncio.create_task(together(people.person("grace"), people.person("alan")))
        # The loop runs late, so that the limits of the caller and of the part are over at the same turn.
        asyncio.get_running_loop().call_soon(time.sleep, 0.2)
        late = await optional(people.person("ada"), within=0.05)
        patient.cancel()
    assert isinstance(late, Missing) and (late.reason, late.owner.team) == ("timeout", "People")


async def test_the_call_is_cancelled_when_nobody_waits_any_more() -> None:
    cancelled, begun = asyncio.Event(), asyncio.Event()

    async def never(call: Call[list[Person]]) -> list[Person]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return []

    with request_context({"People.person": never}):

        async def ask(name: str) -> None:
            await people.person(name)

        tasks = [asyncio.create_task(ask(name)) for name in ("ada", "grace")]
        await begun.wait()
        tasks[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks[0]
        assert not cancelled.is_set()
        tasks[1].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks[1]
        await cancelled.wait()


async def test_a_bug_of_the_method_is_raised_where_the_item_is_asked_for() -> None:
    class Wrong(Upstream, team="Wrong", contact="#wrong"):
        @Upstream.batch(by=lambda person: person.id)
        def person(self, ids: list[str]) -> Call[list[Person]]:
            raise ZeroDivisionError("a bug")

    with request_context({}), pytest.raises(ZeroDivisionError):
        await Wrong().person("ada")


async def test_two_requests_share_no_call() -> None:
    with request_context({"People.person": answer}) as one, request_context({"People.person": answer}) as two:

        async def ask(kit: object, name: str) -> Person:
            with use_context(kit.context):  # type: ignore[attr-defined]
                return await people.person(name)

        await asyncio.gather(ask(one, "ada"), ask(two, "grace"))
        assert (len(one.calls), len(two.calls)) == (1, 1)


async def test_items_asked_for_in_a_part_with_a_deadline_of_its_own_join_the_others() -> None:
    with request_context({"People.person": answer}) as kit:

        async def part() -> str:
            with within(0.5):
                assert current_context().deadline.left() <= 0.5
                return (await people.person("ada")).name

        names = await together(part(), part())
        assert (names, len(kit.calls)) == (("Ada", "Ada"), 1)


def test_a_batch_has_the_name_and_the_words_of_its_method() -> None:
    async def screen() -> Person:
        return await people.person("ada")

    async def other() -> Awaitable[Person]:
        return people.person("ada")

    assert People.person.__doc__ == "One of the people."
    with pytest.raises(DeclarationError, match="1 to 1,000"):
        Upstream.batch(by=str, most=0)(People.everyone)  # type: ignore[arg-type]
    module_level = [step.name for step in steps(in_module)]
    assert module_level == ["person"] and [step.verb for step in steps(in_module)] == ["GET"]


async def in_module() -> Person:
    return await people.person("ada")
