"""`bff dev`: serve a gateway on this machine while it is being written."""

from .supervisor import run

__all__ = ["run"]
