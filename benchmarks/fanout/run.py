"""The comparison: all contenders are started, checked and warmed up, then measured in turn, round after round.

The CPU for a request is the contender's user and system time from before the load until it is idle again, divided by
the screens that the services counted. So it is exact even for a contender that was still working when the load had
ended.
"""

from __future__ import annotations

import json
import statistics
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import bodies, load, place
from .contenders import Contender
from .load import Load
from .place import Place
from .process import CONTENDER, Program, free_port


@dataclass(frozen=True)
class Plan:
    """connections: the number of open ones, each with its own table; seconds: of one run; warm_up: seconds, 0 for none;
    rounds: runs of each contender."""

    connections: tuple[int, ...] = (8, 64)
    seconds: float = 2.0
    warm_up: float = 1.0
    rounds: int = 3


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
    """One run's figures. cpu: microseconds a request; stored: Redis commands a request, including those in scripts."""

    cpu: float
    rate: float
    p50: float
    p99: float
    stored: float
    wrong: int


@dataclass
class Result:
    """One contender's runs with this number of connections. memory: resident megabytes after the last run."""

    contender: Contender
    connections: int
    runs: list[Run] = field(default_factory=list)
    memory: float = 0.0

    def spread(self, figure: str) -> Spread:
        return Spread.of([getattr(run, figure) for run in self.runs])

    @property
    def wrong(self) -> int:
        return sum(run.wrong for run in self.runs)


class Entry:
    """A contender that is running. length: bytes of its checked answer."""

    def __init__(
        self, where: Place, contender: Contender, command: list[str], env: dict[str, str], port: int
    ) -> None:
        self.contender = contender
        self.program: Program = where.start(contender.name, command, env)
        self.port = port
        self.tokens = where.issuer.tokens if contender.token else ()
        self.length = 0
        self._where = where
        self._asked = 0

    def check(self) -> None:
        """Wait until it serves, and compare its answer key by key. Raises ValueError, RuntimeError."""
        self.program.ready(self.port)
        sku = bodies.sku(0)
        address = f"http://127.0.0.1:{self.port}{self.contender.path.replace('{sku}', sku)}"
        request = urllib.request.Request(address)
        if self.tokens:
            request.add_header("Authorization", f"Bearer {self.tokens[0]}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = answer.read()
            bodies.check(sku, json.loads(body))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.contender.name}: {error}; {self.program.last_words()}") from error
        self.length = len(body)
        self.program.pin(CONTENDER)

    def run(self, connections: int, seconds: float) -> Run:
        """One run of the load."""
        self.program.idle()
        stored, seen = self._where.stored(), self._where.answered()
        before = self.program.cpu()
        self._asked += 1
        found = load.apply(
            Load(
                self.port,
                self.contender.path,
                self._asked * 1_000_000,
                connections,
                seconds,
                self.length,
                self.tokens,
            ),
            self._where.folder,
        )
        self.program.idle()
        screens = max(1, (self._where.answered() - seen) / len(bodies.KINDS))
        cpu = (self.program.cpu() - before) / screens * 1e6
        commands = (self._where.stored() - stored) / screens
        return Run(cpu, found.rate, found.p50, found.p99, commands, found.wrong)


def compare(contenders: Sequence[Contender], plan: Plan) -> list[Result]:
    """Measure all contenders. Raises ValueError when one answers wrongly."""
    with place.opened() as where:
        entries = []
        for contender in contenders:
            port = free_port()
            command, env = contender.start(where, port)
            entries.append(Entry(where, contender, command, env, port))
        for entry in entries:
            entry.check()
        for entry in entries if plan.warm_up else []:
            entry.run(plan.connections[-1], plan.warm_up)
        results: list[Result] = []
        for connections in plan.connections:
            some = [Result(contender, connections) for contender in contenders]
            for _ in range(plan.rounds):
                for entry, result in zip(entries, some, strict=True):
                    result.runs.append(entry.run(connections, plan.seconds))
            for entry, result in zip(entries, some, strict=True):
                result.memory = entry.program.memory()
            results += some
        return results
