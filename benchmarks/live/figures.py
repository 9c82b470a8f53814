"""What is measured, and the results: one `Run` a pass, a `Row` of them for the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..fanout.run import Spread
from .contenders import Contender


@dataclass(frozen=True)
class Plan:
    """The size of each measurement. Seconds and counts are of one pass.

    streams     open at once, each number a table
    passes      of all contenders with the first number of streams, each beginning with another one;  fewer  with more
                streams, which take longer
    deliveries  of broadcasts in all;  events  to single users, as many again through a bus where there is one
    idle        seconds in which only heartbeats are sent, in the first `idles` passes
    rate        events a second for the latencies;  seconds  at each rate
    rates       tried in order where `rate` is not held
    """

    streams: tuple[int, ...] = (2000, 10_000)
    passes: int = 5
    fewer: int = 2
    deliveries: int = 60_000
    events: int = 10_000
    idle: float = 15.0
    idles: int = 1
    rate: float = 5000.0
    seconds: float = 3.0
    rates: tuple[float, ...] = (4000.0, 3000.0, 2000.0, 1000.0, 500.0)

    def passes_with(self, streams: int) -> int:
        """Passes with so many streams."""
        return self.passes if streams == self.streams[0] else min(self.fewer, self.passes)


@dataclass(frozen=True)
class Pace:
    """A requested rate, events a second; the rate that was reached; CPU µs per event, heartbeats included; milliseconds
    from publishing to the client; held: the publisher kept up, and the last events arrived soon after they were
    sent."""

    rate: float
    reached: float
    cpu: float
    p50: float
    p99: float
    held: bool


@dataclass(frozen=True)
class Run:
    """None: not available, or not in this pass.

    broadcast, unicast  CPU µs per delivered event
    connect, again      CPU µs of a person's first stream and of a later one
    memory              kB per stream;  tasks  per stream
    idle                CPU seconds an hour per 1,000 streams
    stored              CPU µs of the store's program per event to a single user
    bus                 as unicast, read from a bus by the contender itself
    paces               at the requested rate, and where that was not held at lower ones, down to one that was
    """

    broadcast: float
    unicast: float
    connect: float
    again: float
    memory: float
    tasks: float | None
    idle: float | None
    stored: float | None
    bus: float | None
    paces: tuple[Pace, ...]

    @property
    def asked(self) -> Pace:
        return self.paces[0]


@dataclass
class Row:
    """One contender's runs with this number of streams. failure: why there is one too few."""

    contender: Contender
    streams: int
    runs: list[Run] = field(default_factory=list)
    failure: str | None = None

    def spread(self, figure: Callable[[Run], float | None]) -> Spread | None:
        """None where no run has it."""
        values = [value for run in self.runs if (value := figure(run)) is not None]
        return Spread.of(values) if values else None

    def against(self, base: Row, figure: Callable[[Run], float]) -> Spread | None:
        """How many times as much as the other took in the same pass."""
        pairs = list(zip(self.runs, base.runs, strict=False))
        return Spread.of([figure(mine) / figure(other) for mine, other in pairs]) if pairs else None
