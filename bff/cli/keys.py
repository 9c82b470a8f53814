"""`bff keys rotate`: rotates the keys that sign internal tokens."""

from __future__ import annotations

from pathlib import Path

from ..calls import DeclarationError
from ..edge.signing_keys import rotate


def rotate_keys(path: Path) -> int:
    """Rotate the keys in this file, which is created if there is none, and print them. Returns the exit code. Raises
    DeclarationError."""
    try:
        kids = rotate(path)
    except ValueError as error:
        raise DeclarationError(str(error)) from None
    except OSError as error:
        raise DeclarationError(f"{path}: {error.strerror}") from None
    for kid, use in zip(kids, ("signs", "is next", "signed before"), strict=False):
        print(f"{kid}  {use}")
    return 0
