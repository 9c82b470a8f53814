"""How large the body of a request may be, and how long it may take, by the route that it is for.

A body that the gateway reads whole is bounded by `max_body` in bytes and `http.body_timeout` in all. The body of a
forward is passed on piece by piece: it has the bound that the forward declares, and the time counts for each piece.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..settings import Settings
from .public_path import PublicPath


@dataclass(frozen=True, slots=True)
class BodyBound:
    """most: bytes; seconds: for all of the body, or for each piece of it where `each` is True."""

    most: int
    seconds: float
    each: bool = False


class BodyBounds:
    """The bounds of one gateway. uploads: path and bytes of each forward; default: the bound of every request that no
    forward takes."""

    def __init__(self, settings: Settings, uploads: Sequence[tuple[str, int]] = ()) -> None:
        self.default = BodyBound(settings.max_body, settings.http.body_timeout)
        self._prefix = PublicPath.of(settings.public_url).prefix.encode()
        idle = settings.http.forward.idle
        self._forwards = [(_pattern(path), BodyBound(most, idle, each=True)) for path, most in uploads]

    def of(self, target: bytes) -> BodyBound:
        """The bound for a request with this target, as it was sent. Only requests with a body need to be asked for."""
        path = target.partition(b"?")[0].removeprefix(self._prefix)
        found = [bound for pattern, bound in self._forwards if pattern.fullmatch(path)]
        return max(found, key=lambda bound: bound.most, default=self.default)


def _pattern(path: str) -> re.Pattern[bytes]:
    pieces = re.split(r"\{([^}]*)\}", path)
    text = "".join(
        (".+" if piece.endswith(":path") else "[^/]+") if at % 2 else re.escape(piece)
        for at, piece in enumerate(pieces)
    )
    return re.compile(text.encode())
