"""The language of the person who asks, for every screen that shows words."""

from typing import Annotated

from bff import Depends, Header

from .upstreams import Language


def preferred(accepted: Annotated[list[str], Header("Accept-Language")] = []) -> Language:  # noqa: B006
    """The first language of the browser that the tracker speaks. The quality values are ignored: browsers list the
    languages in their order."""
    for entry in accepted:
        match entry.lower()[:2]:
            case "de":
                return "de"
            case "en":
                return "en"
    return "en"


Preferred = Annotated[Language, Depends(preferred)]
"""A parameter of this type gets the language; the screen then has `Vary: Accept-Language`."""
