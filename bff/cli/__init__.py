"""The command line: `bff new | dev | serve | check | routes | settings | events | keys | revoke`."""

from .main import main

__all__ = ["main"]
