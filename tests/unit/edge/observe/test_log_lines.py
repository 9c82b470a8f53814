from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.edge.observe import log_lines
from bff.edge.observe.log_lines import AccessLog, JsonLines, JsonStream

LOG = logging.getLogger("bff.access")
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@contextmanager
def stream_of_root() -> Iterator[tuple[JsonStream, io.StringIO]]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    out = io.StringIO()
    stream = JsonStream(out)
    root.handlers[:] = [stream]
    root.setLevel(logging.INFO)
    try:
        yield stream, out
    finally:
        root.handlers[:] = before
        root.setLevel(level)


@given(st.text(), st.text(), st.dictionaries(st.sampled_from(["route", "status", "ms", "who"]), VALUES))
def test_a_batched_line_has_the_text_of_its_record(method: str, path: str, fields: dict[str, object]) -> None:
    at = 1_790_000_000.25
    with stream_of_root() as (stream, out):
        log_lines.bind("correlation", "trace")

        async def write() -> None:
            AccessLog(lambda: at).write(method, path, 200, fields)

        asyncio.run(write())
        stream.flush()
    record = LOG.makeRecord(
        LOG.name, logging.INFO, "", 0, "%s %s %s", (method, path, 200), None, extra={"fields": fields}
    )
    for each in LOG.filters:
        each.filter(record)  # type: ignore[union-attr]  # ours is a Filter
    record.created = at
    assert json.loads(out.getvalue()) == json.loads(JsonLines().format(record))
    assert out.getvalue().endswith("}\n") and out.getvalue()[:-1].isprintable()


async def test_a_record_is_written_after_the_access_lines_before_it() -> None:
    with stream_of_root() as (_, out):
        access = AccessLog()
        access.write("GET", "/first", 200, {})
        logging.getLogger("bff.edge").warning("second")
        access.write("GET", "/third", 200, {})
        assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == [
            "GET /first 200",
            "second",
        ]
        async with asyncio.timeout(30):
            while "third" not in out.getvalue():
                await asyncio.sleep(log_lines.WAIT / 5)


async def test_many_lines_are_written_without_waiting() -> None:
    with stream_of_root() as (_, out):
        access = AccessLog()
        for number in range(log_lines.MOST + 1):
            access.write("GET", f"/{number}", 200, {})
        assert len(out.getvalue().splitlines()) == log_lines.MOST + 1


async def test_an_application_with_its_own_handlers_gets_records(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bff.access"):
        AccessLog().write("GET", "/x", 200, {"route": "/x"})
    assert [record.getMessage() for record in caplog.records] == ["GET /x 200"]


async def test_a_stream_that_cannot_be_written_ends_nothing() -> None:
    with stream_of_root() as (stream, out):
        AccessLog().write("GET", "/x", 200, {})
        out.close()
        raising, logging.raiseExceptions = logging.raiseExceptions, False
        try:
            stream._write_waiting()
        finally:
            logging.raiseExceptions = raising
            stream.stream = io.StringIO()
