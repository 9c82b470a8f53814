"""`bff keys rotate`: the next step in the life of the keys that internal tokens are signed with."""

from __future__ import annotations

from pathlib import Path

from ..calls import DeclarationError
from ..edge.signing_keys import rotate


def turn(path: Path) -> int:
    """Returns the exit code. Raises DeclarationError."""
    try:
        kids = rotate(path)
    except ValueError as error:
        raise DeclarationError(str(error)) from None
    except OSError as error:
        raise DeclarationError(f"{path}: {error.strerror}") from None
    for kid, what in zip(kids, ("signs", "is next", "signed before"), strict=False):
        print(f"{kid}  {what}")
    return 0
