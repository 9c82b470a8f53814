"""The comparison: all contenders are started, checked and warmed up, then measured in turn, pass after pass, each pass
beginning with another one.

The CPU for a request is the contender's user and system time from before the load until it is idle again, divided by
the answers. The services count their calls: a run in which they were asked too seldom is wrong, because its screens
were not made from what they show.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from . import bodies, load, place, start
from .contenders import Ask, Contender
from .issuer import PEOPLE
from .load import Load, Loaded
from .place import Place
from .process import CONTENDER, Program, free_port

_UNSENT = 1_000
"""Spans that may still wait to be exported when a run ends: a batch of 512, and what a thread is about to send."""
_SPARE = 1.5
"""A contender is measured at a constant rate where it reaches this many times as much."""


@dataclass(frozen=True)
class Plan:
    """connections: the number of open ones, each with its own table; seconds: of one run; warm_up: requests of each
    contender, so that each compiler at run time has done its work, 0 for none; warm_for: at most so many seconds;
    rounds: passes; rate: requests a second of the run at a constant rate, which takes as long; starts: passes of what
    the start of a program costs; people: with tokens."""

    connections: tuple[int, ...] = (64,)
    seconds: float = 1.2
    warm_up: int = 10_000
    warm_for: float = 6.0
    rounds: int = 5
    rate: float = 500.0
    starts: int = 5
    people: int = PEOPLE


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of several runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Run:
    """One run's figures. cpu: microseconds a request; p50, p99, p999: milliseconds; stored: Redis commands a request,
    including those in scripts; calls: of services a request; wrong: incorrect answers; paced: at the constant rate."""

    cpu: float
    rate: float
    p50: float
    p99: float
    p999: float
    stored: float
    calls: float
    wrong: int
    paced: Loaded | None = None


@dataclass
class Result:
    """One contender's runs with this number of connections, in the order of the passes. memory: resident megabytes
    after the last run, of one process; why: what was wrong besides answers."""

    contender: Contender
    connections: int
    runs: list[Run] = field(default_factory=list)
    memory: float = 0.0
    why: list[str] = field(default_factory=list)

    def spread(self, figure: str) -> Spread:
        return Spread.of([getattr(run, figure) for run in self.runs])

    def paced(self, figure: str) -> Spread | None:
        """None where the constant rate is too much for it."""
        values = [getattr(run.paced, figure) for run in self.runs if run.paced is not None]
        return Spread.of(values) if values else None

    def against(self, base: Result, figure: str = "cpu") -> Spread:
        """How many times as much as the other took in the same pass."""
        pairs = zip(self.runs, base.runs, strict=True)
        return Spread.of([getattr(mine, figure) / max(1e-9, getattr(other, figure)) for mine, other in pairs])

    @property
    def wrong(self) -> int:
        return sum(run.wrong + (run.paced.wrong if run.paced else 0) for run in self.runs) + len(self.why)


@dataclass
class Comparison:
    """rows: by connections, then contender; starts: what starting costs, None where it was not measured; took:
    seconds; busy: the load average before."""

    rows: list[Result]
    starts: start.Starts | None
    took: float
    busy: float


class Entry:
    """A contender that is running; contenders that share a process have one program. length: bytes of its checked
    answer."""

    def __init__(self, where: Place, contender: Contender, program: Program, port: int) -> None:
        self.contender = contender
        self.ask: Ask = contender.ask
        self.program = program
        self.port = port
        self.tokens = where.issuer.tokens[: self.ask.people]
        self.length = 0
        self.why: list[str] = []
        self._etags: tuple[str, ...] = ()
        self._where = where
        self._asked = 0

    def check(self) -> None:
        """Wait until it serves, and compare its answer key by key. Raises ValueError, RuntimeError."""
        self.program.ready(self.port, 120)
        try:
            status, headers, body = self._one(0)
            if self.ask.body:
                same, wanted = json.loads(body), json.loads(bodies.reserved(bodies.sku(0)))
                if same != wanted:
                    raise ValueError(f"{same} instead of {wanted}")
                _, headers, _ = self._one(0)
                if headers.get("idempotency-replayed") != "true":
                    raise ValueError("the same key was carried out twice")
            else:
                bodies.check(bodies.sku(0), json.loads(body))
            if self.ask.etag:
                etags = [self._one(number)[1].get("etag", "") for number in range(self.ask.products)]
                self._etags = tuple(etags)
                status, _, body = self._one(0, etags[0])
            if status != self.ask.status:
                raise ValueError(f"status {status} instead of {self.ask.status}")
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.contender.name}: {error}; {self.program.last_words()}") from error
        self.length = len(body)
        self.program.pin(CONTENDER)

    def _one(self, number: int, etag: str = "") -> tuple[int, dict[str, str], bytes]:
        path = self.ask.path.replace("{sku}", bodies.sku(number)).replace("{route}", "0")
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if self.tokens:
            request.add_header("Authorization", f"Bearer {self.tokens[number % len(self.tokens)]}")
        if self.ask.body:
            request.data = self.ask.body.encode()
            request.add_header("Content-Type", "application/json")
            request.add_header("Idempotency-Key", f"k{number:09d}")
        if etag:
            request.add_header("If-None-Match", etag)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, given, body = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, given, body = error.code, error.headers, error.read()
        return status, {name.lower(): value for name, value in given.items()}, body

    def prepare(self) -> None:
        """Verify each token, and ask for each product, where the row says so; not measured."""
        ask = self.ask
        if not ask.remembered and not ask.products:
            return
        # Another connection number of skus than the run's; those of a fixed number of products come again.
        once = replace(
            self._load(64, 0.0), count=max(len(self.tokens) if ask.remembered else 0, ask.products)
        )
        load.apply(once, self._where.folder)

    def warm_up(self, plan: Plan) -> None:
        """Not measured."""
        self.prepare()
        some = replace(self._load(plan.connections[-1], plan.warm_for), count=plan.warm_up)
        load.apply(some, self._where.folder)

    def run(self, connections: int, seconds: float, rate: float = 0.0) -> Run:
        """One run of the load, then one at a constant rate; 0: none."""
        self.prepare()
        self.program.idle()
        stored, seen = self._where.stored(), self._where.counted()
        before = self.program.cpu()
        found = load.apply(self._load(connections, seconds), self._where.folder)
        self.program.idle()
        answers = max(1, found.answers)
        cpu = (self.program.cpu() - before) / answers * 1e6
        commands = (self._where.stored() - stored) / answers
        now = self._where.counted()
        calls, spans = now.answered - seen.answered, now.spans - seen.spans
        self.why += too_little(self.ask, found.answers, calls, spans)
        paced = None
        if rate and found.rate > rate * _SPARE:
            paced = load.apply(self._load(connections, seconds, rate), self._where.folder)
        return Run(
            cpu,
            found.rate,
            found.p50,
            found.p99,
            found.p999,
            commands,
            calls / answers,
            found.wrong + (not found.answers),
            paced,
        )

    def _load(self, connections: int, seconds: float, rate: float = 0.0) -> Load:
        self._asked += 1
        ask = self.ask
        return Load(
            self.port,
            ask.head,
            self._asked * 1_000_000,
            connections,
            seconds,
            self.length,
            ask.status,
            ask.body,
            rate,
            0,
            ask.products,
            ask.routes,
            self.tokens,
            self._etags,
        )


def too_little(ask: Ask, answers: int, calls: int, spans: int) -> list[str]:
    """What a run did not do for its answers, in words: calls of services, spans that were exported."""
    wrong, wanted = [], answers * ask.calls
    if calls < wanted or (calls and not wanted):
        wrong.append(f"{calls:,} calls of services for {answers:,} answers, not {wanted:,}")
    if spans < answers * ask.spans - _UNSENT:
        wrong.append(f"{spans:,} spans were exported for {answers:,} answers")
    return wrong


def entered(where: Place, contenders: Sequence[Contender]) -> list[Entry]:
    """All contenders, started and checked. Raises ValueError, RuntimeError."""
    running: dict[str, tuple[Program, int]] = {}
    entries = []
    for contender in contenders:
        if contender.shared not in running:
            port = free_port()
            command, env = contender.start(where, port)
            running[contender.shared] = where.start(contender.shared, command, env), port
        entries.append(Entry(where, contender, *running[contender.shared]))
    for entry in entries:
        entry.check()
    return entries


def compare(contenders: Sequence[Contender], plan: Plan) -> Comparison:
    """Measure all contenders and report progress on standard error. Raises ValueError when one answers wrongly."""
    began, busy = time.monotonic(), os.getloadavg()[0]
    with place.opened(plan.people) as where:
        starts = start.measure(where, plan.starts) if plan.starts else None
        _tell(began, "starts are measured" if starts else "without starts")
        entries = entered(where, contenders)
        _tell(began, "every contender is checked")
        for entry in entries if plan.warm_up else []:
            entry.warm_up(plan)
        results: list[Result] = []
        for connections in plan.connections:
            some = [Result(entry.contender, connections, why=entry.why) for entry in entries]
            for number in range(plan.rounds):
                turn = number % len(entries)
                pairs = list(zip(entries, some, strict=True))
                for entry, result in pairs[turn:] + pairs[:turn]:
                    result.runs.append(entry.run(connections, plan.seconds, plan.rate))
                _tell(began, f"pass {number + 1} of {plan.rounds}, {connections} connections")
            for entry, result in zip(entries, some, strict=True):
                result.memory = entry.program.memory()
            results += some
        return Comparison(results, starts, time.monotonic() - began, busy)


def _tell(began: float, said: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    print(f"{minutes}:{seconds:02d} {said}", file=sys.stderr, flush=True)
