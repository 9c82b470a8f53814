from __future__ import annotations

import json
import logging
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import DeclarationError
from bff.edge.observe import log_lines, telemetry
from bff.edge.settings import TelemetrySettings


@given(st.text(max_size=60))
def test_a_correlation_id_is_always_a_uuid_and_another_value_is_reported_as_replaced(
    inbound: str,
) -> None:
    id, replaced = telemetry.correlation_id(inbound)
    assert str(uuid.UUID(id)) == id
    assert replaced == (inbound if inbound and id != inbound.lower() else None)


def test_a_callers_uuid_is_used_in_lower_case() -> None:
    mine = str(uuid.uuid4())
    assert telemetry.correlation_id(mine.upper()) == (mine, None)
    assert telemetry.correlation_id(None)[1] is None
    for nearly in (mine.replace("-", ""), "{" + mine + "}", mine + "\n", f"urn:uuid:{mine}"):
        assert telemetry.correlation_id(nearly)[1] == nearly


def test_a_log_line_is_json_with_both_ids_its_fields_and_its_exception() -> None:
    log_lines.bind("correlation", "trace")
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("bff.x", logging.ERROR, "", 0, "said %s", ("so",), sys.exc_info())
    record.fields = {"path": "/ü", "odd": object}
    text = log_lines.JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "bff.x", "said so")
    assert (line["correlation_id"], line["trace_id"], line["path"]) == ("correlation", "trace", "/ü")
    assert "ValueError: why" in line["exception"]
    assert line["at"].endswith("+00:00")


def test_grpc_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "bff.edge.observe.otlp_grpc", raising=False)
    settings = TelemetrySettings(otlp="http://127.0.0.1:1", protocol="grpc")
    with pytest.raises(DeclarationError, match=r"bff-gateway\[otlp-grpc\]"):
        telemetry.processor(settings)


def test_ids_are_uuids_of_version_4() -> None:
    made = {telemetry.correlation_id(None)[0] for _ in range(500)}
    assert len(made) == 500
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 4 for one in made)
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in made)
