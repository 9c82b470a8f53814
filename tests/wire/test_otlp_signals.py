"""Metrics and the log are sent to a collector where one is configured: the numbers of the page, the members of the
line, and no secret."""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ..waiting import GUARD, until
from .gateway import running
from .served import served
from .test_gateway_otlp import PARENT, TRACE
from .test_metrics import page_of, value


class Collector:
    """metrics: the last batch by name; logs: all records. It refuses the first `refused` batches."""

    def __init__(self, refused: int = 0) -> None:
        self.metrics: dict[str, Any] = {}
        self.logs: list[Any] = []
        self.instances: set[str] = set()
        self.keys: set[bytes] = set()
        self.asked = 0
        self._refused = refused

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more, headers = b"", True, dict(scope["headers"])
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if headers.get(b"content-encoding") == b"gzip":
            body = gzip.decompress(body)
        self.asked += 1
        self.keys.add(headers.get(b"x-key", b""))
        status = 200
        if self.asked <= self._refused:
            status = 400
        elif scope["path"] == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.instances |= {
                    one.value.string_value
                    for one in resource.resource.attributes
                    if one.key == "service.instance.id"
                }
                self.metrics = {one.name: one for inner in resource.scope_metrics for one in inner.metrics}
        elif scope["path"] == "/v1/logs":
            for sent in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs += [record for inner in sent.scope_logs for record in inner.log_records]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def plain(one: AnyValue) -> Any:
    """The value in Python's types."""
    kind = one.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in one.array_value.values]
    if kind == "kvlist_value":
        return members(one.kvlist_value.values)
    return None if kind is None else getattr(one, kind)


def members(pairs: Any) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


async def test_metrics_are_sent_with_the_numbers_of_the_page(redis_url: str) -> None:
    collector = Collector(refused=1)
    async with served(collector) as address:
        telemetry = {"otlp_metrics": address, "metrics_interval": 0.1, "headers": {"x-key": "secret"}}
        async with running(redis_url, telemetry=telemetry) as world, page_of(world) as admin:
            for how in ("ok", "ok", "broken"):
                await world.get(f"/api/optional/{how}")
            page = (await admin.get("/metrics")).text
            # The first batch is refused: the next one has to be there before the last.
            await until(lambda: collector.asked > 1)
        # The gateway has ended, and has sent its last numbers before.
    assert collector.keys == {b"secret"} and len(collector.instances) == 1
    requests = collector.metrics["http.server.request.duration"]
    assert requests.unit == "s" and requests.histogram.aggregation_temporality == 2
    point = next(
        one
        for one in requests.histogram.data_points
        if members(one.attributes).get("http.route") == "/api/optional/{how}"
    )
    assert members(point.attributes) == {
        "http.request.method": "GET",
        "http.route": "/api/optional/{how}",
        "http.response.status_code": 200,
        "bff.kind": "screen",
    }
    where = {"http_route": "/api/optional/{how}"}
    assert point.count == sum(point.bucket_counts) == 3
    assert value(page, "http_server_request_duration_seconds_count", **where) == 3
    assert point.sum == value(page, "http_server_request_duration_seconds_sum", **where)
    assert not point.HasField("min") and not point.HasField("max")
    answers = collector.metrics["bff.screen.answers"].sum
    assert answers.is_monotonic
    assert {members(one.attributes)["bff.complete"]: one.as_double for one in answers.data_points} == {
        True: 2.0,
        False: 1.0,
    }
    assert collector.metrics["bff.bulkhead.limit"].gauge.data_points[0].as_double > 0


async def test_the_log_is_sent_with_its_members_and_its_trace_and_without_secrets(redis_url: str) -> None:
    collector = Collector()
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    try:
        async with served(collector) as address:
            async with running(redis_url, telemetry={"otlp_logs": address}) as world:
                await world.get("/api/optional/broken?q=secret-of-the-query", **PARENT)
            assert not any("Otlp" in type(one).__name__ for one in logging.getLogger().handlers)
            async with asyncio.timeout(GUARD):
                while not collector.logs:
                    await asyncio.sleep(0.05)
    finally:
        logging.getLogger().setLevel(level)
    found = next(
        one for one in collector.logs if one.body.string_value.startswith("GET /api/optional/broken")
    )
    said = members(found.attributes)
    assert found.trace_id.hex() == TRACE and found.severity_text == "INFO"
    assert (said["logger"], said["route"], said["kind"]) == ("bff.access", "/api/optional/{how}", "screen")
    assert {one["name"] for one in said["calls"]} == {"Shelf.thing"}
    assert said["missing"] == [{"service": "shelf", "call": "Shelf.thing", "reason": "failed"}]
    ours = [str(one) for one in collector.logs if members(one.attributes)["logger"].startswith("bff")]
    assert ours and not any("secret-of-the-query" in text for text in ours)
    assert not any(members(one.attributes)["logger"].startswith("urllib3") for one in collector.logs)
