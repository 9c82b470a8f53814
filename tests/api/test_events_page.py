"""docs/events.md: its statements about an event are true of the gateway.

`python -m tests.api.test_events_page` writes docs/events.schema.json again.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bff import Gateway
from bff.calls.saga import ENDED, MAX_MUTATIONS, STATUSES, SagaStatus
from bff.cli.event_check import EventChecker
from bff.edge.describe import event_schema
from bff.edge.settings import Settings, load
from bff.live import restore
from bff.live.ingest import dispatcher, http_binding
from bff.live.ingest.dispatcher import EventDispatcher
from bff.live.ingest.events import (
    MAX_BODY,
    WRONG,
    BadEvent,
    ChangedEvent,
    Registry,
    SagaEvent,
    Undeclared,
    ValueEvent,
)
from bff.stores import dead_letters, processes
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Entry, Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values

from ..conftest import ROOT

FILE = ROOT / "docs" / "events.md"
PAGE = FILE.read_text(encoding="utf-8")
SCHEMA = ROOT / "docs" / "events.schema.json"


def block(language: str, mark: str = "") -> str:
    """A block of code, the one behind a comment or the first."""
    head = rf"<!-- {mark} -->\n" if mark else ""
    found = re.search(rf"^{head}```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def desk(language: str = "python", mark: str = "") -> Gateway:
    page: dict[str, Any] = {"__name__": "desk"}
    exec(compile(block(language, mark), "docs/events.md", "exec", dont_inherit=True), page)
    gateway = page["desk"]
    assert isinstance(gateway, Gateway)
    return gateway


DESK = desk()
REGISTRY = Registry(
    {saga.name: saga.model for saga in DESK.sagas.values()},
    {value.kind: value.model for value in DESK.values.values()},
)
STATUS: dict[str, Any] = json.loads(block("json", "status"))
VALUE: dict[str, Any] = json.loads(block("json", "value"))
CHANGED: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/services/content",
    "type": "site.article.changed",
    "subject": "7",
    "data": {"owner": STATUS["data"]["owner"]},
}
KINDS = {"status": STATUS, "value": VALUE, "changed": CHANGED}


def meaning(event: Any) -> Any:
    return REGISTRY.meaning(json.dumps(event).encode(), now_ms=0)


def with_data(event: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The event with other fields of `data`; `...` leaves one out."""
    data = {name: value for name, value in (event["data"] | changes).items() if value is not ...}
    return event | {"data": data}


def is_used(event: Any) -> bool:
    try:
        return not isinstance(meaning(event), Undeclared)
    except BadEvent:
        return False


# ---- bytes -------------------------------------------------------------------------------------------------------


def test_the_examples_are_used() -> None:
    saga, value, change = map(meaning, KINDS.values())
    assert isinstance(saga, SagaEvent) and isinstance(value, ValueEvent) and isinstance(change, ChangedEvent)
    assert value.name == "stock/mug-01" and value.mutations == tuple(VALUE["data"]["mutations"])
    assert change.tags == ("article", "article/7")
    assert json.loads(saga.entry.body)["traceparent"] == STATUS["traceparent"]


@pytest.mark.parametrize("row", rows("Attributes"), ids=lambda row: row[0])
def test_an_attribute_is_required_optional_or_ignored_as_the_table_says(row: list[str]) -> None:
    name = row[0].strip("`")
    for need, event in zip(row[1:4], KINDS.values(), strict=True):
        without = {each: value for each, value in event.items() if each != name}
        assert is_used(without) == (need != "required")
        assert is_used(event | {name: 7}) == (need == "ignored")


@pytest.mark.parametrize(
    ("event", "used"),
    [
        (STATUS | {"specversion": "1.1"}, False),
        (STATUS | {"id": ""}, False),
        (STATUS | {"source": ""}, False),
        (STATUS | {"type": "order.status"}, False),
        (STATUS | {"type": "a.b.order.status"}, True),
        (STATUS | {"type": "shop.Order.status"}, False),
        (STATUS | {"subject": ""}, False),
        (STATUS | {"subject": "x" * 128}, True),
        (STATUS | {"subject": "x" * 129}, False),
        (CHANGED | {"subject": "x" * 200}, True),
        (CHANGED | {"subject": "x" * 201}, False),
        (VALUE | {"subject": "aZ0._/-" + "x" * (200 - len("stock/aZ0._/-"))}, True),
        (VALUE | {"subject": "aZ0._/-" + "x" * (201 - len("stock/aZ0._/-"))}, False),
        (VALUE | {"subject": "a b"}, False),
        (STATUS | {"sequence": "0"}, False),
        (STATUS | {"sequence": "01"}, False),
        (STATUS | {"sequence": "9" * 15}, True),
        (STATUS | {"sequence": "9" * 16}, False),
        (with_data(VALUE, version=0) | {"sequence": "0"}, True),
        (with_data(VALUE, version=8), False),
        (with_data(VALUE, version=2**53) | {"sequence": str(2**53)}, False),
        (STATUS | {"time": 7, "datacontenttype": 7, "dataschema": 7, "mine": 7}, True),
        ({name: one for name, one in STATUS.items() if name != "data"} | {"data_base64": "e30="}, False),
        (with_data(STATUS, owner="x" * 512), True),
        (with_data(STATUS, owner="x" * 513), False),
        (with_data(STATUS, mutations=["x" * 255] * 32), True),
        (with_data(STATUS, mutations=["x" * 256]), False),
        (with_data(STATUS, mutations=["x"] * 33), False),
        (with_data(STATUS, at="yesterday"), True),
        (with_data(STATUS, attempt="1"), False),
        (with_data(STATUS, data={"total_cents": "1990"}), False),
        (with_data(STATUS, id=7, type=7, version="x", more=7), True),
        (with_data(VALUE, at="x" * 64), True),
        (with_data(VALUE, at="x" * 65), False),
        (with_data(VALUE, mutations=["x"] * 32), True),
        (with_data(VALUE, mutations=["x"] * 33), False),
        (with_data(VALUE, mutations=None), True),
        (with_data(VALUE, data={}), False),
        (CHANGED | {"type": "any.tag-1.changed"}, True),
        (CHANGED | {"data": {}}, True),
        (CHANGED | {"data": {"owner": ""}}, False),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else str(value),
)
def test_the_bounds_are_those_of_the_tables(event: dict[str, Any], used: bool) -> None:
    assert is_used(event) == used


@pytest.mark.parametrize("kind", ["status", "value"])
def test_the_tables_of_data_have_every_field_and_which_are_required(kind: str) -> None:
    event, title = KINDS[kind], f"The data of a {kind} event"
    table = {row[0].strip("`"): row[1] for row in rows(title)}
    expected = {"version", "at", "data", "mutations"}
    if event is STATUS:
        expected = set(SagaStatus.model_fields) - {"id", "type", "version"} | {"owner"}
    assert set(table) == expected
    for name, required in table.items():
        assert is_used(with_data(event, **{name: ...})) == (required == "no")


def test_the_statuses_and_those_that_end_a_saga_are_named() -> None:
    (row,) = [row for row in rows("The data of a status event") if row[0] == "`status`"]
    assert tuple(re.findall(r"[A-Z_]{3,}", row[2])) == STATUSES
    assert set(re.findall(r"[A-Z_]{3,}", row[3])) == ENDED


def test_the_size_and_the_reading_of_json() -> None:
    body = json.dumps(STATUS).encode()
    assert f"{MAX_BODY:,} bytes" in section("Attributes")
    assert isinstance(REGISTRY.meaning(body + b" " * (MAX_BODY - len(body)), now_ms=0), SagaEvent)
    with pytest.raises(BadEvent):
        REGISTRY.meaning(body + b" " * (MAX_BODY - len(body) + 1), now_ms=0)
    assert isinstance(REGISTRY.meaning(b"\xef\xbb\xbf" + body, now_ms=0), SagaEvent)
    twice = REGISTRY.meaning(body[:-1] + b',"subject":"o2"}', now_ms=0)
    assert isinstance(twice, SagaEvent) and twice.entry.saga == "order/o2"
    half = REGISTRY.meaning(body.replace(b'"charge"', b'"\\ud800"'), now_ms=0)
    assert isinstance(half, SagaEvent) and json.loads(half.entry.body)["step"] == "\ufffd"
    big = REGISTRY.meaning(body.replace(b"1990", b"1" * 40), now_ms=0)
    assert isinstance(big, SagaEvent) and b"1" * 40 in big.entry.body
    with pytest.raises(BadEvent):
        REGISTRY.meaning(body.replace(b"1990", b"NaN"), now_ms=0)


def test_details_of_the_fields() -> None:
    invalid = meaning(STATUS | {"traceparent": "00-0-0-0"})
    assert json.loads(invalid.entry.body)["traceparent"] is None
    for at in ("yesterday", "2999-01-01T00:00:00Z"):
        ended = REGISTRY.meaning(
            json.dumps(with_data(STATUS, at=at, status="COMPLETED")).encode(), now_ms=1_000
        )
        assert isinstance(ended, SagaEvent) and ended.entry.ended_ms == 1_000
    assert meaning(with_data(VALUE, mutations=["k1", *VALUE["data"]["mutations"]])).mutations == tuple(
        VALUE["data"]["mutations"]
    )
    assert meaning(with_data(VALUE, mutations=...)).mutations is None
    assert meaning(CHANGED | {"data": None}).owner is None


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    settings = Settings()
    facts = [
        f"at most {MAX_MUTATIONS} texts of at most 255 characters",
        f"a batch of at most {http_binding.MAX_BATCH}",
        f"`live.partitions` − 1 ({settings.live.partitions - 1})",
        f"a process stores {dispatcher.MAX_UNDECLARED}",
        f"It logs {dispatcher.MAX_KINDS} kinds",
        f"about {dead_letters._LENGTH:,} of them, for {dead_letters._TTL // 86_400} days",
        f"at most {restore.AT_ONCE} people at a time",
        f"after at most {restore.RETRY_MOST:g} s (after twenty failures in a row, after at most {restore.LONGEST:g} s)",
        f"Redis knows it: {processes.RECONNECT:g} s",
        f"the rest of the lease: {settings.idempotency.lease:g} s",
    ]
    for fact in facts:
        assert fact in PAGE
    assert settings.idempotency.keep == settings.live.keep == 86_400
    assert restore._FAILURES_BEFORE_BACKOFF == 20


# ---- order, repeats, gaps ------------------------------------------------------------------------------------------


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


OWNER: str = STATUS["data"]["owner"]


def entry(version: int, id: str = "o1", **data: Any) -> Entry:
    event = with_data(STATUS, **data) | {
        "subject": id,
        "sequence": str(version),
        "id": f"any-{version}-{data}",
    }
    found = REGISTRY.meaning(json.dumps(event).encode(), now_ms=0)
    assert isinstance(found, SagaEvent)
    return found.entry


async def versions(journal: Journal) -> list[int]:
    opened = await journal.open(OWNER, None)
    return [json.loads(body)["version"] for body in opened.entries]


async def test_a_repeat_is_recognised_by_saga_and_sequence_alone(redis: RedisClient) -> None:
    journal = Journal(redis)
    assert await journal.append(OWNER, entry(1)) == "appended"
    assert await journal.append(OWNER, entry(1, status="COMPLETED")) == "repeat"
    assert await journal.append(OWNER, entry(1, id="o2")) == "appended"
    saga = await journal.saga(OWNER, "order", "o1")
    assert saga is not None and json.loads(saga)["status"] == "RUNNING", "a correction is a new version"


async def test_a_gap_is_held_for_two_seconds_and_its_event_is_dropped_afterwards(redis: RedisClient) -> None:
    clock = Clock()
    journal = Journal(redis, clock=clock)
    assert journal.gap == 2.0 and "A gap is held for 2 seconds" in PAGE
    await journal.append(OWNER, entry(1))
    assert await journal.append(OWNER, entry(3)) == "held"
    clock.now += 1.9
    assert await journal.release_overdue(OWNER) == 1
    assert await versions(journal) == [1]
    clock.now += 0.2
    assert await journal.release_overdue(OWNER) == 0
    assert await versions(journal) == [3]
    assert await journal.append(OWNER, entry(2)) == "repeat"


async def test_the_event_before_it_ends_the_wait(redis: RedisClient) -> None:
    journal = Journal(redis)
    assert [await journal.append(OWNER, entry(version)) for version in (2, 1)] == ["held", "appended"]
    assert await versions(journal) == [2]


@pytest.mark.parametrize("through", ["the next event", "the next stream", "the comparison"])
async def test_what_a_dead_gateway_held_is_released_by(redis: RedisClient, through: str) -> None:
    clock = Clock()
    await Journal(redis, clock=clock).append(OWNER, entry(2))
    clock.now += 3
    other = Journal(redis, clock=clock)
    if through == "the next event":
        await other.append(OWNER, entry(1, id="o2"))
    elif through == "the comparison":
        await other.heads([OWNER])
    saga = await other.saga(OWNER, "order", "o1")
    assert (saga is None) == (through == "the next stream")
    assert 2 in await versions(other)


async def test_at_most_256_events_of_an_owner_wait(redis: RedisClient) -> None:
    clock = Clock()
    journal = Journal(redis, clock=clock)
    for number in range(257):
        clock.now += 0.002
        await journal.append(OWNER, entry(2, id=f"o{number}"))
    assert len(await versions(journal)) == 1
    assert await journal.release_overdue(OWNER) == 256


async def test_of_a_value_the_highest_version_counts_and_further_commands_are_added(
    redis: RedisClient,
) -> None:
    values = Values(redis)
    one, two = VALUE["data"]["mutations"][0], "0d9b0c67-0c43-4f0e-8b0a-0a4dd3f5d0aa"
    assert await values.put("stock/mug-01", 7, {"available": 3}, "now", [one])
    assert not await values.put("stock/mug-01", 6, {"available": 9}, "now", [two])
    stored = (await values.get(["stock/mug-01"]))["stock/mug-01"]
    found = json.loads(stored.payload)
    assert (found["version"], found["data"]) == (7, {"available": 3})
    assert found["mutations"] == [one, two]
    assert await values.put("stock/mug-01", 9, {"available": 1}, "now")


async def test_an_unusable_event_leaves_a_gap_and_blocks_nothing(redis: RedisClient) -> None:
    clock = Clock()
    journal = Journal(redis, clock=clock)
    events = EventDispatcher(journal, Values(redis), REGISTRY, DeadLetters(redis))
    for version, status in ((1, "RUNNING"), (2, "WRONG"), (3, "COMPENSATING")):
        event = with_data(STATUS, status=status) | {"sequence": str(version)}
        await events.dispatch(
            BrokerEvent("events:orders:0", str(version), json.dumps(event).encode(), "redis")
        )
    assert await versions(journal) == [1]
    clock.now += 2.1
    assert await versions(journal) == [3]


# ---- the rest ------------------------------------------------------------------------------------------------------


def test_a_restore_is_declared_as_on_the_page() -> None:
    gateway = desk(mark="restore")
    gateway.check()
    saga = gateway.sagas["order"]
    assert saga.restore is not None
    call = saga.restore(OWNER)
    assert (call.method, call.path) == ("GET", "/orders")
    status = saga.model.model_validate(
        {"id": "o1", "status": "RUNNING", "type": "order", "version": 1, "at": "now"}
    )
    assert saga.listed([status]) == saga.listed(SimpleNamespace(page=1, orders=[status])) == [status]
    with pytest.raises(TypeError):
        saga.listed(SimpleNamespace(orders=[status], others=[]))


def test_every_reason_is_explained() -> None:
    assert tuple(row[0].strip("`") for row in rows("What cannot be used")) == WRONG


def test_what_check_prints_is_on_the_page() -> None:
    checker = EventChecker(DESK)
    lines = block("text").splitlines()
    assert lines[0] == f"line 1: {checker.check(json.dumps(STATUS).encode()).text}"
    wrong = checker.check(json.dumps(with_data(STATUS, owner=...)).encode())
    assert lines[1] == f"line 2: not used: {wrong.text}" and not wrong.used


def test_the_settings_on_the_page_exist() -> None:
    lines = re.findall(r"^(BFF_\w+)=(.*)$", PAGE, re.MULTILINE)
    settings = load({name: value.strip("'") for name, value in lines})
    assert settings.live.stream_keys == ("events:orders:{p}",)
    registry = Registry({}, {}, settings.live.ignore_types)
    assert (
        registry.meaning(json.dumps(STATUS | {"type": "billing.invoice.status"}).encode(), now_ms=0) is None
    )


def test_the_schema_beside_the_page_is_that_of_its_gateway() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema == event_schema.document(DESK), "python -m tests.api.test_events_page writes it again"
    for event in KINDS.values():
        assert Draft202012Validator(schema).is_valid(event)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "explanation").glob("*.md")), ids=lambda page: page.stem
)
def test_the_python_of_an_explanation_runs(page: Path) -> None:
    written: dict[str, Any] = {"__name__": page.stem}
    for code in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        exec(compile(code, str(page), "exec", dont_inherit=True), written)
    for gateway in written.values():
        if isinstance(gateway, Gateway):
            gateway.check()


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(event_schema.document(DESK), indent=2, ensure_ascii=False) + "\n")
