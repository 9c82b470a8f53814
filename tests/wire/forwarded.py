"""A gateway that only forwards, for `bff serve tests.wire.forwarded:served`."""

from __future__ import annotations

from bff import Gateway, Upstream

from ..waiting import GUARD


class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    """The service for files."""


served = Gateway("forwarded", deadline=GUARD)
served.forward("/files/{name}", Shelf(), "/{name}", methods=("GET", "PUT", "POST"), upload=300_000_000)
served.forward("/open/{name}", Shelf(), "/{name}", public=True)
