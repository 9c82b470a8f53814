"""The goals of the gateway's speed, and whether a run meets them. Ratios are of the same pass, their medians count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .contenders import bff, fastapi_aiohttp, fastify_dutiful, fastify_undici
from .contenders.contender import Contender
from .earlier import BASE
from .run import Comparison, Result, Spread
from .start import Figures


@dataclass(frozen=True)
class Goal:
    """what: is measured against what; limit: at most; stretch: a harder one, None: there is none; found: None where a
    row of it is missing; unit: after the figures."""

    what: str
    limit: float
    stretch: float | None
    found: Spread | None
    unit: str = "×"

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        if self.stretch is not None and self.found.median <= self.stretch:
            return "stretch"
        return "met" if self.found.median <= self.limit else "missed"


_PUBLIC, _FASTIFY = bff.PUBLIC, fastify_undici.CONTENDER
# What is measured, in which figure, against what, at most, and the harder goal.
_RATIOS: tuple[tuple[str, str, Contender, Contender, float, float | None], ...] = (
    ("public screen / bare Fastify + undici", "cpu", _PUBLIC, _FASTIFY, 1.2, 1.0),
    ("public screen / FastAPI + aiohttp", "cpu", _PUBLIC, fastapi_aiohttp.CONTENDER, 0.45, 0.35),
    ("public screen / dutiful Fastify", "cpu", _PUBLIC, fastify_dutiful.CONTENDER, 0.8, 0.6),
    ("login (remembered token) / public", "cpu", bff.LOGIN, _PUBLIC, 1.1, None),
    ("Raw / public", "cpu", bff.RAW, _PUBLIC, 0.9, None),
    ("every trace sampled and exported / unsampled", "cpu", bff.SAMPLED, _PUBLIC, 1.5, 1.3),
    ("cached screen / public", "cpu", bff.CACHED, _PUBLIC, 0.5, None),
    ("304 by ETag of the cached screen / public", "cpu", bff.KNOWN, _PUBLIC, 0.35, None),
    ("new idempotent command with one call / public", "cpu", bff.COMMAND, _PUBLIC, 0.6, None),
    ("replay of a command / public", "cpu", bff.REPLAY, _PUBLIC, 0.3, None),
    ("p99 of the public screen / bare Fastify's", "p99", _PUBLIC, _FASTIFY, 1.1, None),
    ("p99.9 of the public screen / bare Fastify's", "p999", _PUBLIC, _FASTIFY, 1.1, None),
    ("two workers / one", "cpu", bff.WORKERS, _PUBLIC, 1.1, None),
    ("100 routes, 10,000 people / one of each", "cpu", bff.MANY, bff.ONE_PERSON, 1.05, None),
)
_MEMORY, _START = 75.0, 0.6


def goals(comparison: Comparison, connections: int) -> list[Goal]:
    """All goals, with what was found at so many connections."""
    rows = {one.contender.name: one for one in comparison.rows if one.connections == connections}
    found = [_ratio(rows, *one) for one in _RATIOS]
    public = rows.get(_PUBLIC.name)
    memory = Spread.of([public.memory]) if public is not None else None
    found.append(Goal("resident memory of one worker", _MEMORY, None, memory, "MB"))
    starts = comparison.starts
    now, earlier = (starts.now, starts.earlier) if starts is not None else (None, None)
    found.append(Goal(f"CPU of `import bff` / at {BASE}", _START, None, _times(now, earlier, "imported")))
    what = f"CPU from start to first answer / at {BASE}"
    return [*found, Goal(what, _START, None, _times(now, earlier, "served"))]


def _ratio(
    rows: dict[str, Result],
    what: str,
    figure: str,
    mine: Contender,
    base: Contender,
    limit: float,
    stretch: float | None,
) -> Goal:
    both = rows.get(mine.name), rows.get(base.name)
    found = both[0].against(both[1], figure) if both[0] is not None and both[1] is not None else None
    return Goal(what, limit, stretch, found)


def _times(now: Figures | None, earlier: Figures | None, figure: str) -> Spread | None:
    if now is None or earlier is None:
        return None
    pairs = zip(getattr(now, figure), getattr(earlier, figure), strict=True)
    return Spread.of([mine / other for mine, other in pairs])


def table(found: Sequence[Goal]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| what | goal | stretch | measured | |", "|---|---|---|---|---|"]
    for one in found:
        stretch = "–" if one.stretch is None else f"≤ {one.stretch:g} {one.unit}"
        spread = one.found
        digits = 0 if one.unit == "MB" else 2
        measured = "–"
        if spread is not None:
            measured = f"{spread.median:.{digits}f}"
            if spread.least != spread.most:
                measured += f" ({spread.least:.{digits}f}–{spread.most:.{digits}f})"
        lines.append(f"| {one.what} | ≤ {one.limit:g} {one.unit} | {stretch} | {measured} | {one.verdict} |")
    return lines
