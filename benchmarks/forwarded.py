"""The gateway of the benchmark of forwards."""

from __future__ import annotations

from bff import Gateway, Upstream


class Files(Upstream, team="Bench", contact="#bench"):
    """The service behind."""


gateway = Gateway("bench", deadline=10)
gateway.forward("/files/{name}", Files(), "/{name}", public=True)
