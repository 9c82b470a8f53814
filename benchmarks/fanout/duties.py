"""Whether a contender does what it is measured with, seen from outside: what its services, Redis, its metrics and its
log show for single requests.

`found` returns a line for each duty that is not carried out; the benchmark's own gateway and the dutiful Fastify have
none.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import bodies
from .place import Place
from .process import Program

FAULTS = 100
"""Requests after which a breaker must have stopped calling a service that always fails."""
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True)
class Served:
    """A contender that serves `path` with a limit of `limit` requests a minute for each person.

    metrics   the address of its metrics
    requests, calls  the names of the counters there
    sampled   every trace is recorded and exported
    patience  seconds in which lines and spans must have been written
    """

    place: Place
    program: Program
    port: int
    path: str
    limit: int
    metrics: str
    requests: str
    calls: str
    sampled: bool = False
    patience: float = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any  # whatever JSON it answers


class Person:
    """Requests with one person's token; anonymous where there is none."""

    def __init__(self, served: Served, token: str | None) -> None:
        self._served = served
        self._token = token

    def ask(self, sku: str, **headers: str) -> Answer:
        served = self._served
        request = urllib.request.Request(f"http://127.0.0.1:{served.port}{served.path.replace('{sku}', sku)}")
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, given, body = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, given, body = error.code, error.headers, error.read()
        return Answer(status, {name.lower(): value for name, value in given.items()}, json.loads(body))


def found(served: Served) -> list[str]:
    """What is missing, in words; the limit must be more than FAULTS + 10."""
    tokens = iter(served.place.issuer.tokens)
    missing: list[str] = []
    if Person(served, None).ask(bodies.sku(1)).status != 401:
        missing.append("login: a request without a token is served")
    if Person(served, f"{next(tokens)}x").ask(bodies.sku(1)).status != 401:
        missing.append("login: a token with another signature is accepted")
    person = Person(served, next(tokens))
    missing += _ids(served, person)
    missing += _counts(served, person)
    # Before many good answers, as breakers look at the share of failures.
    missing += _breaker(Person(served, next(tokens)))
    missing += _limit(served, Person(served, next(tokens)))
    return missing


def _ids(served: Served, person: Person) -> list[str]:
    correlation, missing = str(uuid.uuid4()), []
    traced = f"00-{_TRACE}-00f067aa0ba902b7-{'01' if served.sampled else '00'}"
    spans = served.place.counted().spans
    answer = person.ask(bodies.sku(2), x_correlation_id=correlation, traceparent=traced)
    if answer.headers.get("x-correlation-id") != correlation:
        missing.append("ids: the answer has no correlation id of the request")
    for kind in bodies.KINDS:
        head = served.place.last_head(kind)
        if head.get("x-correlation-id") != correlation:
            missing.append(f"ids: {kind} does not get the correlation id")
        parts = head.get("traceparent", "").split("-")
        if len(parts) != 4 or parts[1] != _TRACE or parts[2] == "00f067aa0ba902b7" or parts[3] != traced[-2:]:
            missing.append(f"trace: {kind} does not get the trace in a span of its own, {parts}")
        if not head.get("authorization", "").startswith("Bearer "):
            missing.append(f"login: {kind} does not get the token")
        if not 0 < int(head.get("bff-deadline-ms", "0")) <= 30_000:
            missing.append(f"deadline: {kind} is not told what is left of it")
    if not _within(served.patience, lambda: any(correlation in line for line in _lines(served))):
        missing.append("access log: the request has no line")
    if served.sampled and not _within(served.patience, lambda: served.place.counted().spans >= spans + 4):
        missing.append("trace: its spans are not exported")
    fresh = person.ask(bodies.sku(3))
    told = served.place.last_head("stock").get("traceparent", "")
    if (
        not re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", told)
        or (int(told[-2:], 16) & 1) != served.sampled
    ):
        missing.append(f"trace: no decision for a request that begins one, {told!r}")
    if not fresh.headers.get("x-correlation-id"):
        missing.append("ids: a request without a correlation id gets none")
    return missing


def _lines(served: Served) -> list[str]:
    return served.program.log.read_text(errors="replace").splitlines()


def _counts(served: Served, person: Person) -> list[str]:
    try:
        before = _metrics(served)
        for number in range(3):
            person.ask(bodies.sku(10 + number))
        after = _metrics(served)
    except OSError as error:
        return [f"metrics: {error}"]
    return [
        f"metrics: {name} grew by {after[name] - before[name]:g}, not {wanted}"
        for name, wanted in ((served.requests, 3), (served.calls, 9))
        if after[name] - before[name] != wanted
    ]


def _metrics(served: Served) -> dict[str, float]:
    """The sum of each counter over all its labels."""
    with urllib.request.urlopen(served.metrics, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))
        for name in (served.requests, served.calls)
    }


def _limit(served: Served, person: Person) -> list[str]:
    stored = served.place.stored()
    # A limit that refills evenly serves some more while it is spent.
    served_at_all, status = 0, 200
    while status == 200 and served_at_all < 2 * served.limit:
        status = person.ask(bodies.sku(served_at_all)).status
        served_at_all += status == 200
    missing = []
    if status != 429 or served_at_all < served.limit:
        missing.append(f"limit: {served_at_all} were served under a limit of {served.limit}, then {status}")
    if served.place.stored() - stored < served.limit:
        missing.append("limit: Redis was not asked each time")
    return missing


def _breaker(person: Person) -> list[str]:
    reasons = []
    for number in range(FAULTS):
        reasons.append(person.ask(bodies.faulty(number)).body.get("stock", {}).get("reason"))
        if reasons[-1] == "circuit-open":
            return [] if "overloaded" in reasons else ["breaker: it was open before the service failed"]
    return [f"breaker: {FAULTS} failures of a service did not open it: {set(reasons)}"]


def _within(seconds: float, happens: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
