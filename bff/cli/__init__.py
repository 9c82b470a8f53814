"""The command line: `bff new | dev | serve | check | routes | openapi | settings | completion | events | keys |
revoke`."""

from .main import main

__all__ = ["main"]
