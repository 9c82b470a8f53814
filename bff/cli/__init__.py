"""The command line: `bff serve | check | routes module:gateway`, `bff events dead | replay`, `bff revoke`."""

from .main import main

__all__ = ["main"]
