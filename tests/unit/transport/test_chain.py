from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer
from pydantic import BaseModel

from bff import Call, DeclarationError, Principal, Upstream, UpstreamError
from bff.calls import CircuitOpen, Deadline, Invalid, Scope, Timeout, Unreachable, opened
from bff.policies.bulkhead import BulkheadRule
from bff.policies.facts import Fact
from bff.policies.retry import Budget
from bff.transport.chain import Chain, target
from bff.transport.headers import idempotency_key, outbound
from bff.transport.wire import Answer, Request, WireBroken, WireTimeout, WireTooLarge

from ...lanes import lane


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self) -> Call[Thing]:
        return self.get("/thing", Thing)

    def make(self, id: str = "1") -> Call[Thing]:
        return self.post("/things/{id}", Thing, {"name": "x"}, id=id)

    def find(self, **query: object) -> Call[Thing]:
        return self.get("/find", Thing, **query)


shelf = Shelf()
ADA = Principal("https://issuer", "ada", "her-token", 0.0)
GOOD = Answer(200, {"content-type": "application/json"}, b'{"name":"good"}')
Step = Answer | Exception


class Wire:
    """Answers in turn, the last one for ever; counts what it was sent."""

    def __init__(self, *steps: Step | Callable[[], Step]) -> None:
        self._steps = list(steps)
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Answer:
        self.sent.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        if not isinstance(step, Answer):
            await asyncio.sleep(30)
            raise NotImplementedError
        return step

    async def close(self) -> None:
        pass


def forever() -> Step:
    raise NotImplementedError


class House:
    """One upstream behind a chain with a breaker that opens after two failures."""

    def __init__(
        self,
        *steps: Step | Callable[[], Step],
        failures: int = 2,
        timeout: float = 0.05,
        attempts: int = 1,
        permits: BulkheadRule | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.wire = Wire(*steps)
        self.now = 0.0
        self.facts: list[Fact] = []
        self.lane = lane(
            self.wire,
            failures=failures,
            timeout=timeout,
            attempts=attempts,
            permits=permits,
            budget=budget,
            clock=lambda: self.now,
            observe=self.facts.append,
        )
        self.chain = Chain({"shelf": self.lane}, NoOpTracer(), chance=lambda: 0.0, observe=self.facts.append)
        self.scope = Scope(Deadline.after(1.0), self.chain, "id", ADA)

    async def ask(self, call: Call[Thing], scope: Scope | None = None) -> Thing | UpstreamError:
        with opened(scope or self.scope):
            try:
                return await call
            except UpstreamError as error:
                return error


@pytest.mark.parametrize(
    ("step", "kind", "counts"),
    [
        (Answer(500, {}, b""), UpstreamError, True),
        (Answer(503, {}, b""), UpstreamError, True),
        (WireBroken("reset", dropped=False), Unreachable, True),
        (WireTimeout("slow"), Timeout, True),
        (Answer(404, {}, b""), UpstreamError, False),
        (Answer(429, {}, b""), UpstreamError, False),
        (Answer(200, {}, b"html"), Invalid, False),
        (WireTooLarge("big"), Invalid, False),
    ],
)
async def test_only_an_upstream_that_does_not_do_its_work_opens_its_breaker(
    step: Step, kind: type[UpstreamError], counts: bool
) -> None:
    house = House(step)
    for _ in range(2):
        assert isinstance(await house.ask(shelf.thing()), kind)
    assert house.lane.circuit == ("open" if counts else "closed")


async def test_an_open_breaker_lets_one_probe_through_after_its_time() -> None:
    house = House(Answer(500, {}, b""), Answer(500, {}, b""), GOOD)
    for _ in range(2):
        await house.ask(shelf.thing())
    refused = await house.ask(shelf.thing())
    assert isinstance(refused, CircuitOpen) and refused.retry_after == 10.0
    house.now = 10.0
    assert await house.ask(shelf.thing()) == Thing(name="good")
    assert house.lane.circuit == "closed"
    assert len(house.wire.sent) == 3


async def test_a_probe_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    house = House(Answer(500, {}, b""), forever, GOOD, failures=1)
    await house.ask(shelf.thing())
    house.now = 10.0
    probe = asyncio.create_task(house.ask(shelf.thing()))
    while len(house.wire.sent) < 2:
        await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert house.scope.ledger.timings[-1].outcome == "cancelled"
    assert await house.ask(shelf.thing()) == Thing(name="good")


async def test_an_attempt_ends_at_the_nearest_of_its_limits() -> None:
    house = House(forever, timeout=5.0, failures=1)
    hurried = replace(house.scope, deadline=Deadline.after(0.02))
    assert isinstance(await house.ask(shelf.thing(), hurried), Timeout)
    assert isinstance(await house.ask(shelf.thing().within(0.02)), Timeout)
    assert house.lane.circuit == "closed", "a caller in a hurry is not the upstream's failure"


async def test_nothing_is_sent_after_the_deadline() -> None:
    house = House(GOOD)
    late = replace(house.scope, deadline=Deadline.after(0.0))
    assert isinstance(await house.ask(shelf.thing(), late), Timeout)
    assert house.wire.sent == []


async def test_a_dropped_connection_is_used_once_more_only_where_that_is_safe() -> None:
    dropped = WireBroken("closed", dropped=True)
    read = House(dropped, GOOD)
    assert await read.ask(shelf.thing()) == Thing(name="good")
    keyed = House(dropped, GOOD)
    assert await keyed.ask(shelf.make().keyed("mine")) == Thing(name="good")
    bare = House(dropped, GOOD)
    assert isinstance(await bare.ask(shelf.make()), Unreachable)
    twice = House(dropped)
    assert isinstance(await twice.ask(shelf.thing()), Unreachable)
    assert [len(house.wire.sent) for house in (read, keyed, bare, twice)] == [2, 2, 1, 2]


async def test_each_call_leaves_one_timing_with_its_outcome() -> None:
    house = House(GOOD, Answer(404, {}, b""), WireBroken("reset", dropped=False))
    for _ in range(3):
        await house.ask(shelf.thing())
    assert [(one.name, one.outcome) for one in house.scope.ledger.timings] == [
        ("Shelf.thing", "ok"),
        ("Shelf.thing", "refused"),
        ("Shelf.thing", "unreachable"),
    ]


async def test_an_upstream_without_an_address_is_named_with_its_setting() -> None:
    chain = Chain({}, NoOpTracer())
    named = pytest.raises(DeclarationError, match="BFF_UPSTREAMS__SHELF__URL")
    with opened(Scope(Deadline.after(1), chain, "id")), named:
        await shelf.thing()


def test_the_target_is_path_and_query_with_lists_repeated() -> None:
    assert target(shelf.thing()) == "/thing"
    assert target(shelf.find(sku=["a b", "ü&"], page=1, none=None, on=True)) == (
        "/find?sku=a+b&sku=%C3%BC%26&page=1&on=true"
    )
    assert target(shelf.make("a/../b?c#d")) == "/things/a%2F..%2Fb%3Fc%23d"


def sends(call: Call[Thing], **changes: object) -> dict[str, str]:
    scope = Scope(Deadline.after(1.0), House(GOOD).chain, "id", ADA, mutation="click")
    return outbound(call, replace(scope, **changes), 0.25)  # type: ignore[arg-type]  # a scope's own fields


def test_headers_hold_identity_and_ids_and_only_where_they_belong() -> None:
    read = sends(shelf.thing())
    assert read == {
        "accept": "application/json",
        "user-agent": "bff",
        "x-correlation-id": "id",
        "bff-deadline-ms": "250",
        "authorization": "Bearer her-token",
    }
    assert "authorization" not in sends(shelf.thing().public())
    assert "authorization" not in sends(shelf.thing(), principal=None)
    write = sends(shelf.make())
    assert (write["bff-owner"], write["bff-mutation"]) == ("https://issuer|ada", "click")
    assert write["content-type"] == "application/json"
    outside = sends(shelf.make(), mutation=None)
    assert not {"idempotency-key", "bff-owner", "bff-mutation"} & set(outside)


@given(st.text(max_size=40), st.text(max_size=40))
def test_derived_keys_differ_whenever_the_click_or_the_place_does(one: str, other: str) -> None:
    scope = Scope(Deadline.after(1.0), House(GOOD).chain, "id", ADA, mutation=one)
    key = idempotency_key(shelf.make(), scope)
    assert key is not None and len(key) == 64
    again = idempotency_key(shelf.make(), replace(scope, mutation=other))
    assert (again == key) == (one == other)
    assert idempotency_key(shelf.make("2"), scope) != key
    assert idempotency_key(shelf.thing(), scope) is None
    assert idempotency_key(shelf.make().keyed("mine"), scope) == "mine"
