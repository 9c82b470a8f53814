"""The gateway of an issue tracker: `bff dev tracker:app` serves it."""

from .gateway import app

__all__ = ["app"]
