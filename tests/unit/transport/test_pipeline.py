from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from pydantic import BaseModel

from bff import Call, DeclarationError, Principal, Upstream, UpstreamError
from bff.calls import (
    CircuitOpen,
    Deadline,
    Failed,
    Invalid,
    Overloaded,
    Refused,
    RequestContext,
    RequestTimer,
    Timeout,
    Unreachable,
    use_context,
)
from bff.policies.balance import Backend
from bff.policies.bulkhead import BulkheadRule
from bff.policies.events import Attempted, BreakerChanged, BulkheadFull, CallRejected, PolicyEvent, Retried
from bff.policies.retry import RetryBudget
from bff.transport.client import Permits, SingleBackend
from bff.transport.pipeline import CallPipeline
from bff.transport.request import (
    MAX_TOKEN,
    NoCredentials,
    idempotency_key,
    request_headers,
    request_target,
    wire_request,
)
from bff.transport.wire import Wire as WirePort
from bff.transport.wire import (
    WireConnectionError,
    WireRequest,
    WireResponse,
    WireResponseTooLarge,
    WireTimeout,
)

from ...clients import upstream_client


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
GOOD = WireResponse(200, {"content-type": "application/json"}, b'{"name":"good"}')
Step = WireResponse | Exception


class Wire:
    """Returns or raises its steps in order and then repeats the last one; records the requests."""

    def __init__(self, *steps: Step | Callable[[], Step]) -> None:
        self._steps = list(steps)
        self.sent: list[WireRequest] = []

    async def send(self, request: WireRequest) -> WireResponse:
        self.sent.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        if not isinstance(step, WireResponse):
            await asyncio.sleep(30)
            raise NotImplementedError
        return step

    async def close(self) -> None:
        pass


def forever() -> Step:
    raise NotImplementedError


class TwoBackends:
    """Picks the first backend unless it is `avoid`; records the reported results."""

    def __init__(self, one: WirePort, two: WirePort) -> None:
        self._all = [Backend("one", one), Backend("two", two)]
        self.reports: list[str] = []

    def pick(self, avoid: Backend[WirePort] | None = None) -> Backend[WirePort]:
        return self._all[1] if avoid is self._all[0] else self._all[0]

    def record_success(self, address: Backend[WirePort]) -> None:
        self.reports.append(f"ok {address.name}")

    def record_failure(self, address: Backend[WirePort]) -> None:
        self.reports.append(f"failed {address.name}")

    def __iter__(self) -> Iterator[Backend[WirePort]]:
        return iter(self._all)

    async def close(self) -> None:
        pass


class OneUpstream:
    """A pipeline to one upstream whose breaker opens after two failures."""

    def __init__(
        self,
        *steps: Step | Callable[[], Step],
        failures: int = 2,
        timeout: float = 0.05,
        attempts: int = 1,
        permits: BulkheadRule | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self.wire = Wire(*steps)
        self.now = 0.0
        self.events: list[PolicyEvent] = []
        self.client = upstream_client(
            self.wire,
            failures=failures,
            timeout=timeout,
            attempts=attempts,
            permits=permits,
            budget=budget,
            clock=lambda: self.now,
            observe=self.events.append,
        )
        self.pipeline = CallPipeline({"shelf": self.client}, chance=lambda: 0.0, observe=self.events.append)
        self.scope = RequestContext(Deadline.after(1.0), self.pipeline, "id", ADA)

    async def ask(self, call: Call[Thing], scope: RequestContext | None = None) -> Thing | UpstreamError:
        with use_context(scope or self.scope):
            try:
                return await call
            except UpstreamError as error:
                return error


@pytest.mark.parametrize(
    ("step", "kind", "counts"),
    [
        (WireResponse(500, {}, b""), UpstreamError, True),
        (WireResponse(503, {}, b""), UpstreamError, True),
        (WireConnectionError("reset", stale=False), Unreachable, True),
        (WireTimeout("slow"), Timeout, True),
        (WireResponse(404, {}, b""), UpstreamError, False),
        (WireResponse(429, {}, b""), UpstreamError, False),
        (WireResponse(200, {}, b"html"), Invalid, False),
        (WireResponseTooLarge("big"), Invalid, False),
    ],
)
async def test_only_failures_of_the_upstream_open_its_breaker(
    step: Step, kind: type[UpstreamError], counts: bool
) -> None:
    upstream = OneUpstream(step)
    for _ in range(2):
        assert isinstance(await upstream.ask(shelf.thing()), kind)
    assert upstream.client.circuit == ("open" if counts else "closed")


async def test_an_open_breaker_lets_one_probe_through_after_its_time() -> None:
    upstream = OneUpstream(WireResponse(500, {}, b""), WireResponse(500, {}, b""), GOOD)
    for _ in range(2):
        await upstream.ask(shelf.thing())
    refused = await upstream.ask(shelf.thing())
    assert isinstance(refused, CircuitOpen) and refused.retry_after == 10.0
    upstream.now = 10.0
    assert await upstream.ask(shelf.thing()) == Thing(name="good")
    assert upstream.client.circuit == "closed"
    assert len(upstream.wire.sent) == 3


async def test_a_cancelled_probe_lets_the_next_call_probe() -> None:
    upstream = OneUpstream(WireResponse(500, {}, b""), forever, GOOD, failures=1)
    await upstream.ask(shelf.thing())
    upstream.now = 10.0
    probe = asyncio.create_task(upstream.ask(shelf.thing()))
    while len(upstream.wire.sent) < 2:
        await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert upstream.scope.record.timings[-1].outcome == "cancelled"
    assert await upstream.ask(shelf.thing()) == Thing(name="good")


async def test_an_attempt_ends_at_the_nearest_of_its_limits() -> None:
    upstream = OneUpstream(forever, timeout=5.0, failures=1)
    short = structs.replace(upstream.scope, deadline=Deadline.after(0.02))
    assert isinstance(await upstream.ask(shelf.thing(), short), Timeout)
    assert isinstance(await upstream.ask(shelf.thing().within(0.02)), Timeout)
    assert upstream.client.circuit == "closed", "a caller's short deadline is not the upstream's failure"


async def test_nothing_is_sent_after_the_deadline() -> None:
    upstream = OneUpstream(GOOD)
    late = structs.replace(upstream.scope, deadline=Deadline.after(0.0))
    assert isinstance(await upstream.ask(shelf.thing(), late), Timeout)
    assert upstream.wire.sent == []


async def test_a_stale_connection_is_replaced_once_only_where_that_is_safe() -> None:
    stale = WireConnectionError("closed", stale=True)
    read = OneUpstream(stale, GOOD)
    assert await read.ask(shelf.thing()) == Thing(name="good")
    keyed = OneUpstream(stale, GOOD)
    assert await keyed.ask(shelf.make().keyed("mine")) == Thing(name="good")
    bare = OneUpstream(stale, GOOD)
    assert isinstance(await bare.ask(shelf.make()), Unreachable)
    twice = OneUpstream(stale)
    assert isinstance(await twice.ask(shelf.thing()), Unreachable)
    assert [len(upstream.wire.sent) for upstream in (read, keyed, bare, twice)] == [2, 2, 1, 2]


async def test_each_call_records_one_timing_with_its_outcome() -> None:
    upstream = OneUpstream(GOOD, WireResponse(404, {}, b""), WireConnectionError("reset", stale=False))
    for _ in range(3):
        await upstream.ask(shelf.thing())
    assert [(one.name, one.outcome) for one in upstream.scope.record.timings] == [
        ("Shelf.thing", "ok"),
        ("Shelf.thing", "refused"),
        ("Shelf.thing", "unreachable"),
    ]


async def test_a_call_to_an_upstream_without_an_address_names_the_setting() -> None:
    pipeline = CallPipeline({})
    named = pytest.raises(DeclarationError, match="BFF_UPSTREAMS__SHELF__URL")
    with use_context(RequestContext(Deadline.after(1), pipeline, "id")), named:
        await shelf.thing()


def test_the_target_is_path_and_query_with_lists_repeated() -> None:
    assert request_target(shelf.thing()) == "/thing"
    assert request_target(shelf.find(sku=["a b", "ü&"], page=1, none=None, on=True)) == (
        "/find?sku=a+b&sku=%C3%BC%26&page=1&on=true"
    )
    assert request_target(shelf.make("a..b?c#d")) == "/things/a..b%3Fc%23d"


def sends(call: Call[Thing], **changes: object) -> dict[str, str]:
    scope = RequestContext(Deadline.after(1.0), OneUpstream(GOOD).pipeline, "id", ADA, mutation="click")
    return request_headers(call, structs.replace(scope, **changes), 0.25)  # type: ignore[arg-type]  # a scope's own fields


def test_request_headers_carry_identity_and_ids_only_where_they_belong() -> None:
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


async def test_an_access_token_that_is_too_long_for_a_header_fails_by_name_and_is_not_sent() -> None:
    longest = replace(ADA, token="t" * MAX_TOKEN)
    assert sends(shelf.thing(), principal=longest)["authorization"] == f"Bearer {longest.token}"
    longer = replace(ADA, token="t" * (MAX_TOKEN + 1))
    with pytest.raises(
        Refused, match=r"16385 characters.*BFF_UPSTREAMS__SHELF__IDENTITY to internal"
    ) as caught:
        sends(shelf.thing(), principal=longer)
    assert caught.value.status == 431
    assert "authorization" not in sends(shelf.thing().public(), principal=longer)
    scope = RequestContext(Deadline.after(1.0), OneUpstream(GOOD).pipeline, "id", longer)
    assert request_headers(shelf.thing(), scope, 0.25, NoCredentials())


def test_a_service_without_credentials_gets_neither_principal_nor_mutation() -> None:
    scope = RequestContext(Deadline.after(1.0), OneUpstream(GOOD).pipeline, "id", ADA, mutation="click")
    write = request_headers(shelf.make(), scope, 0.25, NoCredentials())
    assert set(write) == {
        "accept",
        "user-agent",
        "x-correlation-id",
        "bff-deadline-ms",
        "content-type",
        "idempotency-key",
    }


def test_what_a_call_does_decides_about_keys_and_its_headers_are_sent() -> None:
    search = sends(shelf.make().as_read().header("Accept-Language", "de"))
    assert search["accept-language"] == "de"
    assert not {"idempotency-key", "bff-owner", "bff-mutation"} & set(search)
    assert "idempotency-key" in sends(shelf.thing().as_write())
    scope = RequestContext(Deadline.after(1.0), OneUpstream(GOOD).pipeline, "id")
    constant = {"x-api-key": "secret", "authorization": "Basic eA=="}
    sent = wire_request(shelf.thing(), scope, 0.25, NoCredentials(), constant=constant).headers
    assert sent.items() >= constant.items()


def test_quotes_in_an_idempotency_key_are_escaped() -> None:
    assert sends(shelf.make().keyed('a"; b\\'))["idempotency-key"] == r'"a\"; b\\"'


@given(st.text(max_size=40), st.text(max_size=40))
def test_derived_keys_differ_when_the_mutation_or_the_target_differs(one: str, other: str) -> None:
    scope = RequestContext(Deadline.after(1.0), OneUpstream(GOOD).pipeline, "id", ADA, mutation=one)
    key = idempotency_key(shelf.make(), scope)
    assert key is not None and len(key) == 64
    again = idempotency_key(shelf.make(), structs.replace(scope, mutation=other))
    assert (again == key) == (one == other)
    assert idempotency_key(shelf.make("2"), scope) != key
    assert idempotency_key(shelf.make(), structs.replace(scope, principal=replace(ADA, subject="bea"))) != key
    assert idempotency_key(shelf.thing(), scope) is None
    assert idempotency_key(shelf.make().keyed("mine"), scope) == "mine"


# ---- retries -----------------------------------------------------------------------------------------------------

BROKEN = WireResponse(500, {}, b"")
DOWN = WireConnectionError("refused", stale=False)


async def test_a_failed_read_is_retried_and_only_its_last_response_is_recorded() -> None:
    upstream = OneUpstream(BROKEN, DOWN, GOOD, failures=9, attempts=3)
    assert await upstream.ask(shelf.thing()) == Thing(name="good")
    assert len(upstream.wire.sent) == 3
    assert [(event.attempt, event.why) for event in upstream.events if isinstance(event, Retried)] == [
        (2, "500"),
        (3, "unreachable"),
    ]
    assert [one.outcome for one in upstream.scope.record.timings] == ["ok"], "one timing a call"
    assert (upstream.client.budget.spent, upstream.client.budget.active) == (0, 0)
    assert upstream.client.permits.bulkhead.used == 0


async def test_the_failure_of_the_last_attempt_is_raised() -> None:
    upstream = OneUpstream(BROKEN, BROKEN, WireResponse(502, {}, b""), failures=9, attempts=3)
    failure = await upstream.ask(shelf.thing())
    assert isinstance(failure, Failed) and failure.status == 502


@pytest.mark.parametrize(
    "step",
    [
        WireResponse(404, {}, b""),
        WireResponse(501, {}, b""),
        WireResponse(429, {}, b""),
        WireResponse(302, {}, b""),
        WireResponse(200, {}, b"html"),
        WireResponseTooLarge("big"),
    ],
)
async def test_permanent_failures_are_not_retried(step: Step) -> None:
    upstream = OneUpstream(step, failures=9, attempts=3)
    assert isinstance(await upstream.ask(shelf.thing()), UpstreamError)
    assert len(upstream.wire.sent) == 1


async def test_a_timeout_is_retried_only_where_there_is_another_backend() -> None:
    upstream = OneUpstream(forever, GOOD, attempts=3, failures=9)
    assert isinstance(await upstream.ask(shelf.thing()), Timeout)
    assert len(upstream.wire.sent) == 1
    slow, quick = Wire(forever), Wire(GOOD)
    two = OneUpstream(GOOD, attempts=3, failures=9)
    two.client.backends = TwoBackends(slow, quick)
    assert await two.ask(shelf.thing()) == Thing(name="good")
    assert (len(slow.sent), len(quick.sent)) == (1, 1)


async def test_a_retry_and_an_open_breaker_choose_another_backend() -> None:
    bad, good = Wire(BROKEN), Wire(GOOD)
    upstream = OneUpstream(GOOD, attempts=2, failures=2)
    upstream.client.backends = backends = TwoBackends(bad, good)
    for _ in range(5):
        assert await upstream.ask(shelf.thing()) == Thing(name="good")
    assert (len(bad.sent), len(good.sent)) == (2, 5), "after two failures in a row the bad one rests"
    assert backends.reports == ["failed one", "ok two", "failed one", "ok two", "ok two", "ok two", "ok two"]
    assert all(one.pending == 0 for one in backends)


async def test_a_write_is_repeated_only_under_a_key_its_service_honours() -> None:
    for call, scope_of, sent in [
        (shelf.make(), {}, 1),
        (shelf.make().keyed("mine"), {}, 2),
        (shelf.make(), {"mutation": "click"}, 2),
        (shelf.make(), {"mutation": "click", "safe": False}, 1),
        (shelf.make().keyed("mine"), {"mutation": "click", "safe": False}, 2),
    ]:
        upstream = OneUpstream(BROKEN, attempts=2, failures=9)
        await upstream.ask(call, structs.replace(upstream.scope, **scope_of))  # type: ignore[arg-type]  # a scope's own fields
        assert len(upstream.wire.sent) == sent, (call.key, scope_of)
        keys = {request.headers.get("idempotency-key") for request in upstream.wire.sent}
        assert len(keys) == 1, "the same key each time"


async def test_a_write_that_may_have_been_done_is_not_reported_as_not_accepted() -> None:
    busy = WireResponse(503, {}, b"")
    upstream = OneUpstream(DOWN, busy, failures=9, attempts=2)
    assert isinstance(await upstream.ask(shelf.make().keyed("mine")), Unreachable)
    read = OneUpstream(DOWN, busy, failures=9, attempts=2)
    assert isinstance(await read.ask(shelf.thing()), Overloaded)
    opened_meanwhile = OneUpstream(DOWN, GOOD, failures=1, attempts=2)
    assert isinstance(await opened_meanwhile.ask(shelf.make().keyed("mine")), Unreachable)
    assert len(opened_meanwhile.wire.sent) == 1, "its own failure opened the breaker"


async def test_retry_after_is_honoured_when_the_deadline_allows_it() -> None:
    soon = WireResponse(503, {"retry-after": "0"}, b"")
    upstream = OneUpstream(soon, GOOD, failures=9, attempts=2)
    assert await upstream.ask(shelf.thing()) == Thing(name="good")
    later = OneUpstream(WireResponse(503, {"retry-after": "7"}, b""), failures=9, attempts=2)
    failure = await later.ask(shelf.thing())
    assert isinstance(failure, Overloaded) and failure.retry_after == 7.0
    assert len(later.wire.sent) == 1


async def test_tries_sets_the_number_of_attempts() -> None:
    upstream = OneUpstream(BROKEN, BROKEN, BROKEN, GOOD, attempts=2, failures=9)
    assert await upstream.ask(shelf.thing().tries(4)) == Thing(name="good")
    once = OneUpstream(BROKEN, GOOD, attempts=2, failures=9)
    assert isinstance(await once.ask(shelf.thing().tries(1)), Failed)
    with pytest.raises(DeclarationError, match="1 to 10"):
        shelf.thing().tries(0)


async def test_no_retry_without_retry_budget() -> None:
    upstream = OneUpstream(BROKEN, attempts=3, failures=9, budget=RetryBudget(share=0.0, least=0))
    assert isinstance(await upstream.ask(shelf.thing()), Failed)
    assert len(upstream.wire.sent) == 1
    assert [event.why for event in upstream.events if isinstance(event, CallRejected)] == ["retry-budget"]


async def test_each_attempt_sends_the_time_that_is_left() -> None:
    upstream = OneUpstream(BROKEN, GOOD, attempts=2, failures=9, timeout=5.0)
    await upstream.ask(shelf.thing())
    left = [int(request.headers["bff-deadline-ms"]) for request in upstream.wire.sent]
    assert 0 < left[1] <= left[0] <= 1000


# ---- the bulkhead ------------------------------------------------------------------------------------------------


class Held:
    """A wire whose answers wait to be let out."""

    def __init__(self) -> None:
        self.out = asyncio.Event()
        self.sent = 0

    async def send(self, request: WireRequest) -> WireResponse:
        self.sent += 1
        await self.out.wait()
        return GOOD

    async def close(self) -> None:
        pass


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_call_waits_for_a_permit_and_is_rejected_when_the_queue_is_full() -> None:
    upstream = OneUpstream(GOOD, permits=BulkheadRule(permits=1, queue=1, wait=5.0), timeout=5.0)
    held = Held()
    upstream.client.backends = SingleBackend(held)
    first, second = (asyncio.create_task(upstream.ask(shelf.thing())) for _ in range(2))
    await turns()
    third = await upstream.ask(shelf.thing())
    assert isinstance(third, Overloaded) and third.retry_after is not None
    assert held.sent == 1
    held.out.set()
    assert [await first, await second] == [Thing(name="good")] * 2
    assert (upstream.client.permits.bulkhead.used, upstream.client.permits.bulkhead.waiting) == (
        0,
        0,
    )
    assert upstream.client.circuit == "closed"
    assert [event.waited for event in upstream.events if isinstance(event, BulkheadFull)] == [0.0]


async def test_the_wait_for_a_permit_is_bounded_and_a_rejection_does_not_open_the_breaker() -> None:
    upstream = OneUpstream(GOOD, permits=BulkheadRule(permits=1, queue=9, wait=0.02), failures=1, timeout=5.0)
    held = Held()
    upstream.client.backends = SingleBackend(held)
    first = asyncio.create_task(upstream.ask(shelf.thing()))
    await turns()
    assert isinstance(await upstream.ask(shelf.thing()), Overloaded)
    assert upstream.client.circuit == "closed"
    sides = [(event.outcome, event.side) for event in upstream.events if isinstance(event, Attempted)]
    assert sides == [("overloaded", "local")]
    held.out.set()
    await first
    assert upstream.client.permits.bulkhead.waiting == 0


async def test_no_permit_is_lost_when_callers_are_cancelled_at_random() -> None:
    permits = Permits(BulkheadRule(permits=2, queue=50, wait=1.0))
    dice = random.Random(5)
    inside = 0
    most = 0

    async def visit() -> None:
        nonlocal inside, most
        entry = permits.bulkhead.acquire()
        if entry == "full" or (
            entry == "queued" and not await permits.wait(RequestTimer().limit(dice.random() * 0.003))
        ):
            return
        try:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(dice.random() * 0.001)
        finally:
            inside -= 1
            permits.release()

    for _ in range(30):
        visits = [asyncio.create_task(visit()) for _ in range(40)]
        for _ in range(10):
            await asyncio.sleep(dice.random() * 0.0004)
            for one in dice.sample(visits, 4):
                one.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        assert (permits.bulkhead.used, permits.bulkhead.waiting, len(permits._queue)) == (0, 0, 0)
    assert most == 2


async def test_a_permit_granted_to_a_cancelled_caller_goes_to_the_next() -> None:
    permits = Permits(BulkheadRule(permits=1, queue=9, wait=1.0))
    assert permits.bulkhead.acquire() == "acquired"
    waiting = []
    for _ in range(2):
        assert permits.bulkhead.acquire() == "queued"
        waiting.append(asyncio.create_task(permits.wait(RequestTimer().limit(1.0))))
        await turns(2)
    permits.release()
    waiting[0].cancel()
    assert await waiting[1] is True
    permits.release()
    cancelled_first = asyncio.create_task(permits.wait(RequestTimer().limit(1.0)))
    assert permits.bulkhead.acquire() == "acquired"
    assert permits.bulkhead.acquire() == "queued"
    await turns(2)
    cancelled_first.cancel()
    permits.release()
    with pytest.raises(asyncio.CancelledError):
        await cancelled_first
    assert (permits.bulkhead.used, permits.bulkhead.waiting) == (0, 0)


# ---- sides and groups --------------------------------------------------------------------------------------------


async def test_local_client_and_origin_failures_are_distinguished() -> None:
    upstream = OneUpstream(GOOD, DOWN, forever, failures=1, timeout=5.0)
    await upstream.ask(shelf.thing())
    await upstream.ask(shelf.thing())
    await upstream.ask(shelf.thing())
    upstream.now += 60.0
    await upstream.ask(shelf.thing().within(0.01))
    await upstream.ask(shelf.thing(), structs.replace(upstream.scope, deadline=Deadline.after(0.0)))
    reports = [(event.outcome, event.side) for event in upstream.events if isinstance(event, Attempted)]
    assert reports == [
        ("ok", "origin"),
        ("unreachable", "origin"),
        ("circuit-open", "local"),
        ("timeout", "client"),
        ("timeout", "local"),
    ]


async def test_a_failing_endpoint_does_not_open_the_breakers_of_others() -> None:
    upstream = OneUpstream(BROKEN, GOOD, failures=1)
    await upstream.ask(shelf.thing())
    assert isinstance(await upstream.ask(shelf.thing()), CircuitOpen)
    assert await upstream.ask(shelf.make()) == Thing(name="good")
    moved = [(event.group, event.state) for event in upstream.events if isinstance(event, BreakerChanged)]
    assert moved == [("Shelf.thing", "open")]
