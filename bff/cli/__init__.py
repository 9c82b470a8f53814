"""The command line: `bff serve | check | routes module:gateway`."""

from .main import main

__all__ = ["main"]
