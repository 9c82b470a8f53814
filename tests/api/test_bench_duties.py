"""What the benchmark's gateway, and the dutiful Fastify beside it, are measured with is really done: each duty is seen
from outside, and one that is switched off is reported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.fanout import duties, place
from benchmarks.fanout.contenders import fastify_dutiful, fastify_undici
from benchmarks.fanout.contenders.contender import UNSAMPLED, bff_command, bff_environ
from benchmarks.fanout.duties import FAULTS, Served
from benchmarks.fanout.place import Place
from benchmarks.fanout.process import free_port

pytestmark = pytest.mark.slow
LIMIT = FAULTS + 20


@pytest.fixture
def where() -> Iterator[Place]:
    """With a Valkey of its own, so that no limit is spent already."""
    with place.opened(people=10) as found:
        yield found


def of_bff(where: Place, sampled: bool = False, **env: str) -> Served:
    """The benchmark's gateway with the limit of this test, and one setting changed."""
    port, admin = free_port(), free_port()
    given = bff_environ(where, admin=admin, sample=1.0 if sampled else UNSAMPLED)
    given |= {"BFF_LIMITS__DEFAULT": f"{LIMIT}/minute"} | env
    program = where.start(f"bff-{port}", bff_command(port), given)
    program.ready(port, 120)
    return Served(
        where,
        program,
        port,
        "/own/{sku}",
        LIMIT,
        f"http://127.0.0.1:{admin}/metrics",
        "http_server_request_duration_seconds_count",
        "bff_upstream_attempts_total",
        sampled=sampled,
    )


@pytest.mark.parametrize("sampled", [False, True])
def test_the_measured_gateway_carries_out_every_duty(where: Place, sampled: bool) -> None:
    served = of_bff(where, sampled)
    assert duties.found(served) == [], served.program.last_words()


@pytest.mark.parametrize(
    ("duty", "setting", "value"),
    [
        ("limit", "BFF_LIMITS__DEFAULT", "1000000/minute"),
        ("breaker", "BFF_UPSTREAMS__STOCK__BREAKER", '{"failures": 1000, "minimum": 100000}'),
        ("access log", "BFF_TELEMETRY__LOG_LEVEL", "ERROR"),
    ],
)
def test_a_duty_that_is_switched_off_is_reported(where: Place, duty: str, setting: str, value: str) -> None:
    served = of_bff(where, **{setting: value})
    missing = duties.found(served)
    assert [line.partition(":")[0] for line in missing] == [duty], missing


def test_the_dutiful_fastify_carries_out_every_duty(where: Place) -> None:
    port, admin = free_port(), free_port()
    command, env = fastify_dutiful.dutiful(where, port, admin, limit=LIMIT)
    program = where.start("dutiful", command, env)
    program.ready(port, 60)
    metrics = f"http://127.0.0.1:{admin}/metrics"
    served = Served(where, program, port, "/own/{sku}", LIMIT, metrics, "requests_total", "calls_total")
    assert duties.found(served) == [], program.last_words()


def test_the_bare_fastify_carries_out_none(where: Place) -> None:
    port = free_port()
    program = where.start("bare", *fastify_undici.start(where, port))
    program.ready(port, 60)
    metrics = f"http://127.0.0.1:{free_port()}/metrics"
    served = Served(where, program, port, "/open/{sku}", LIMIT, metrics, "", "", sampled=True, patience=0.5)
    missing = {line.partition(":")[0] for line in duties.found(served)}
    assert missing == {"login", "ids", "trace", "deadline", "access log", "metrics", "limit", "breaker"}
